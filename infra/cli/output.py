"""How commands print: a table for people, JSON for programs."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console()


def show(
    rows: Sequence[dict[str, Any]], *, title: str, as_json: bool, empty: str = "-", whole: Collection[str] = ()
) -> None:
    """Rows of equal keys as one table, or as a JSON array. Columns in `whole` stay on one line as long as there is room,
    so that an id can be copied; no text is cut."""
    if as_json:
        print(json.dumps(list(rows), ensure_ascii=False, default=str))
        return
    if not rows:
        console.print(f"{title}: {empty}")
        return
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, no_wrap=name in whole, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    console.print(table)
