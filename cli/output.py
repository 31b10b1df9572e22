"""Prints what commands found: a table for people, JSON for programs."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Self

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli import terminal
from cli.headings import HEADINGS
from schemas.numbers import number


class WholeWords(Console):
    """Ends a line between two words. One that is longer than the terminal, as a path or a link, stays whole, so that it
    can be copied. What is printed with `soft_wrap` is one line for a pipe; a terminal would break it anywhere."""

    def print(self, *objects: Any, soft_wrap: bool | None = None, **how: Any) -> None:
        """As of Console."""
        one_line = (self.soft_wrap if soft_wrap is None else soft_wrap) and not self.is_terminal
        if len(objects) == 1 and isinstance(objects[0], str) and not one_line:
            plain = how.pop("markup", None) is False
            text = self.render_str(objects[0], markup=not plain, highlight=how.get("highlight"))
            lines = (line for whole in text.split(allow_blank=True) for line in self._wrapped(whole))
            objects, one_line = (Text("\n").join(lines),), True
        super().print(*objects, soft_wrap=one_line, **how)

    def _wrapped(self, line: Text) -> Iterator[Text]:
        """The line as several, where it does not fit; those below an indented one are indented further. Rich by itself
        would break or cut a word that is too long."""
        own = len(line.plain) - len(line.plain.lstrip())
        indent = min(own, _DEEPEST) + len(_INDENT) if own else 0
        breaks, used = [], 0
        for word in _WORD.finditer(line.plain):
            if used and used + cell_len(word[0].rstrip()) > self.width:
                breaks.append(word.start())
                used = indent
            used += cell_len(word[0])
        first, *others = line.divide(breaks)
        for at, each in enumerate((first, *others)):
            if at:
                each.pad_left(indent)
            each.rstrip()
            yield each


console = WholeWords()
stderr = WholeWords(stderr=True, soft_wrap=True, highlight=False)  # so that standard output is the result alone
_taken = False
_NUMBER: Final = re.compile(r"[-+]?[0-9][0-9.,]*( ?%)?|[-?∑]?")
_INDENT: Final = "  "
_DEEPEST: Final = 6
_WORD: Final = re.compile(r"\s*\S+\s*")
_FRAME: Final = 3  # a line and two spaces around each column


def print_json(document: Any) -> None:
    """Prints JSON on one line. An encoding that lacks letters gets them as escapes: it is the same JSON."""
    plain = not terminal.takes_every_letter(sys.stdout)
    sys.stdout.write(json.dumps(document, ensure_ascii=plain, default=str) + "\n")
    sys.stdout.flush()
    take_output()


def take_output() -> None:
    """Standard output belongs to what the command was asked for; an error that comes later is no part of it."""
    global _taken
    _taken = True


def is_taken() -> bool:
    """True where standard output has, or will have, what the command was asked for."""
    return _taken


def show(rows: Sequence[dict[str, Any]], *, title: str, as_json: bool, empty: str = "-") -> None:
    """Rows of equal keys as one table, or as a JSON array. No text is cut, and no word is broken, so that an id can be
    copied: where the terminal is too narrow for that, each row is a block of a few lines instead."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        console.print(f"{title}: {empty}")
        return
    texts = [{HEADINGS.get(name, name): shown(value) for name, value in row.items()} for row in rows]
    columns = [_Column.of(name, [row[name] for row in texts]) for name in texts[0]]
    room = console.width - 1 - sum(column.least + _FRAME for column in columns)
    if room >= 0:
        console.print(_table(columns, texts, title, room))
        return
    console.rule(title, align="left")
    for row in texts:
        _print_block(row)


def shown(value: Any) -> str:
    """A value of a table as people write it."""
    match value:
        case None:
            return ""
        case bool():
            return "có / yes" if value else "không / no"
        case int():
            return number(value, "vi")
        case float():
            return str(value).replace(".", ",")
    return str(value)


def _print_block(row: dict[str, str]) -> None:
    """The first column's value (a number with its name, which alone would say nothing), then all others with their
    names; a line ends between two of them."""
    (heading, first), *others = row.items()
    head = f"{heading}: {first}" if _NUMBER.fullmatch(first) else first
    console.print(f"[bold]{head}[/bold]", highlight=False, soft_wrap=True)
    line = ""
    for name, text in others:
        fact = f"{name}: {text}"
        if line and cell_len(Text.from_markup(f"{line} · {fact}").plain) + len(_INDENT) > console.width:
            console.print(f"{_INDENT}{line}", highlight=False, soft_wrap=True)
            line = ""
        line = f"{line} · {fact}" if line else fact
    if line:
        console.print(f"{_INDENT}{line}", highlight=False, soft_wrap=True)


class _Column(NamedTuple):
    """`least` and `most`: cells for its longest word (numbers stay on one line), and for its longest line."""

    heading: str  # in two languages on two lines, not on twice the width
    least: int
    most: int
    is_number: bool

    @classmethod
    def of(cls, name: str, texts: Sequence[str]) -> Self:
        heading = name.replace(" / ", "\n")
        lines = [line for text in (heading, *texts) for line in Text.from_markup(text).plain.splitlines()]
        words = [word for line in lines for word in line.split()]
        longest_word, longest_line = (max(map(cell_len, parts), default=0) for parts in (words, lines))
        is_number = all(_NUMBER.fullmatch(text) for text in texts)
        return cls(heading, longest_line if is_number else longest_word, longest_line, is_number)


def _table(columns: Sequence[_Column], rows: Sequence[dict[str, str]], title: str, room: int) -> Table:
    """`room`: cells that are left when each column has its least; shared by those that could use them. Rich
    itself would take from the widest columns first, and break words."""
    wanted = sum(column.most - column.least for column in columns)
    share = min(1.0, room / wanted) if wanted else 0.0
    table = Table(title=title)
    for column in columns:
        width = column.least + int((column.most - column.least) * share)
        table.add_column(column.heading, justify="right" if column.is_number else "left", width=width)
    for row in rows:
        table.add_row(*row.values())
    return table
