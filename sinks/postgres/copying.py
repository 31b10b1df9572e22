"""Rows into processing_activities: COPY straight in, or through a staging table when something stands in the way."""

import io
from typing import Any, Final, NamedTuple

import psycopg2

from sinks.postgres.errors import meaning, sqlstate
from sinks.postgres.metrics import BYTES
from sinks.postgres.rows import COLUMNS

Key = tuple[str, str]
_COLUMN_LIST: Final = ", ".join(COLUMNS)
_COPY_ROWS: Final = f"COPY processing_activities ({_COLUMN_LIST}) FROM STDIN"
_COPY_STAGED: Final = f"COPY staged_activities ({_COLUMN_LIST}) FROM STDIN"
_BUFFER: Final = 1 << 20

_STAGE: Final = """
CREATE TEMP TABLE IF NOT EXISTS staged_activities (
    LIKE processing_activities INCLUDING DEFAULTS, place bigint GENERATED ALWAYS AS IDENTITY) ON COMMIT DELETE ROWS
"""
# Sorted by key, so that two lanes waiting for each other's rows wait in one order; `place` keeps the first of two equal keys
# (not ctid: a short row may go into the room that is left on an earlier page).
_MERGE: Final = f"""
WITH stored AS (
    INSERT INTO processing_activities ({_COLUMN_LIST})
    SELECT {_COLUMN_LIST} FROM staged_activities ORDER BY tenant_id, scan_id, activity_key, place
    ON CONFLICT DO NOTHING
    RETURNING tenant_id, scan_id, sensitive, cross_border)
SELECT tenant_id, scan_id::text, count(*), count(*) FILTER (WHERE sensitive), count(*) FILTER (WHERE cross_border)
FROM stored GROUP BY tenant_id, scan_id
"""


class Stored(NamedTuple):
    """What a scan gained."""

    stored: int = 0
    sensitive: int = 0
    cross_border: int = 0


def copy_straight(cursor: Any, lines: list[str]) -> None:
    """All lines or none. Raises psycopg2's error as it is."""
    _copy(cursor, _COPY_ROWS, lines)


def _copy(cursor: Any, statement: str, lines: list[str]) -> None:
    data = "".join(lines).encode()
    BYTES.inc(len(data))
    cursor.copy_expert(statement, io.BytesIO(data), _BUFFER)


def copy_staged(cursor: Any, lines: list[str]) -> tuple[dict[Key, Stored], dict[int, str]]:
    """Stores what can be stored: duplicates are skipped, lines that the database refuses are left out.

    Returns what each scan gained, and {position in lines: SQLSTATE} of the refused.
    """
    cursor.execute(_STAGE)
    gained: dict[Key, Stored] = {}
    refused: dict[int, str] = {}
    _store(cursor, lines, 0, gained, refused)
    return gained, refused


def _store(cursor: Any, lines: list[str], first: int, gained: dict[Key, Stored], refused: dict[int, str]) -> None:
    """Halves until a line that the database refuses stands alone. What the staging table takes the real one may refuse still:
    only that one has constraints and triggers."""
    cursor.execute("SAVEPOINT part")
    try:
        if first:
            cursor.execute("TRUNCATE staged_activities")  # of the part before
        _copy(cursor, _COPY_STAGED, lines)
        cursor.execute(_MERGE)
        rows = cursor.fetchall()
        cursor.execute("RELEASE SAVEPOINT part")
    except psycopg2.Error as error:
        if meaning(error) != "data":
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")
        if len(lines) == 1:
            refused[first] = sqlstate(error)
            return
        middle = len(lines) // 2
        _store(cursor, lines[:middle], first, gained, refused)
        _store(cursor, lines[middle:], first + middle, gained, refused)
        return
    for tenant_id, scan_id, *counts in rows:
        before = gained.get((tenant_id, scan_id), Stored())
        gained[tenant_id, scan_id] = Stored(*(a + b for a, b in zip(before, counts, strict=True)))
