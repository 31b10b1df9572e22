"""Rows into processing_activities: COPY straight in, or through a staging table when something stands in the way."""

from collections.abc import Sequence
from typing import Final
from zlib import crc32

import msgspec
import psycopg2
from sqlalchemy.dialects import postgresql

from schemas.tables import WRITTEN_COLUMNS
from sinks.columns import COLUMNS
from sinks.effects import Key, Stored
from sinks.postgres.calls import TimedCursor
from sinks.postgres.errors import meaning, sqlstate
from sinks.postgres.large_values import GATHERED, send_in_pieces
from sinks.postgres.metrics import BYTES, COPY_SECONDS, ROWS
from sinks.postgres.rows import Lines, texts_of

_COLUMN_LIST: Final = ", ".join(COLUMNS)
_ROWS: Final = "processing_activities"
_COPY: Final = f"COPY {{table}} ({_COLUMN_LIST}) FROM STDIN"
_TYPES: Final = [column.type.compile(postgresql.dialect()) for column in WRITTEN_COLUMNS]
# A pooler keeps sessions for longer than a worker lives: one of another version, with other columns, makes a table of its own.
_STAGED: Final = f"staged_activities_{crc32(repr([COLUMNS, _TYPES]).encode()):08x}"
_INSERT: Final = f"""
INSERT INTO {{table}} ({_COLUMN_LIST})
SELECT {", ".join(f"(row->>{at})::{kind}" for at, kind in enumerate(_TYPES))} FROM (SELECT {GATHERED}::json) AS one (row)
"""

_STAGE: Final = f"""
CREATE TEMP TABLE IF NOT EXISTS {_STAGED} (
    LIKE processing_activities INCLUDING DEFAULTS, place bigint GENERATED ALWAYS AS IDENTITY) ON COMMIT DELETE ROWS
"""
# Sorted by key, so that two lanes waiting for each other's rows wait in one order; `place` keeps the first of two equal keys
# (not ctid: a short row may go into the room that is left on an earlier page).
_MERGE: Final = f"""
WITH stored AS (
    INSERT INTO processing_activities ({_COLUMN_LIST})
    SELECT {_COLUMN_LIST} FROM {_STAGED} ORDER BY tenant_id, scan_id, activity_key, place
    ON CONFLICT DO NOTHING
    RETURNING tenant_id, scan_id, array_to_string(data_categories, ',') AS categories, sensitive, cross_border)
SELECT tenant_id, scan_id::text, categories, sensitive, cross_border, count(*) FROM stored GROUP BY 1, 2, 3, 4, 5
"""


def copy_straight(cursor: TimedCursor, rows: Sequence[Lines]) -> None:
    """All rows or none. Raises psycopg2's error as it is."""
    if cursor.parts.limit is None:  # then no line need be looked at
        _copy(cursor, _ROWS, b"".join([each.data for each in rows]), sum([len(each.ends) for each in rows]))
        return
    for part in cursor.parts.cut(_lines(rows), len):
        _copy(cursor, _ROWS, b"".join(part), len(part))


def _lines(rows: Sequence[Lines]) -> list[bytes]:
    return [line for each in rows for line in each.lines]


def _copy(cursor: TimedCursor, table: str, data: bytes, count: int) -> None:
    BYTES.inc(len(data))
    ROWS.inc(count)
    limit = cursor.parts.limit
    if limit is not None and count == 1 and len(data) > limit:
        send_in_pieces(cursor, msgspec.json.encode(texts_of(data)).decode())
        cursor.execute(_INSERT.format(table=table))
    else:
        with COPY_SECONDS.time():
            cursor.copy_in(_COPY.format(table=table), data)


def copy_staged(cursor: TimedCursor, rows: Sequence[Lines]) -> tuple[dict[Key, Stored], dict[int, str]]:
    """Stores what can be stored: duplicates are skipped, rows that the database refuses are left out.

    Returns what each scan gained, and {position among all rows: SQLSTATE} of the refused.
    """
    cursor.execute(_STAGE)
    gained: dict[Key, Stored] = {}
    refused: dict[int, str] = {}
    first = 0
    for part in cursor.parts.cut(_lines(rows), len):
        _store(cursor, part, first, gained, refused)
        first += len(part)
    return gained, refused


def _store(
    cursor: TimedCursor, lines: Sequence[bytes], first: int, gained: dict[Key, Stored], refused: dict[int, str]
) -> None:
    """Halves until a line that the database refuses stands alone. What the staging table takes the real one may refuse still:
    only that one has constraints and triggers."""
    cursor.execute("SAVEPOINT part")
    try:
        if first:
            cursor.execute(f"TRUNCATE {_STAGED}")  # of the part before
        _copy(cursor, _STAGED, b"".join(lines), len(lines))
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
    for tenant_id, scan_id, *kind, count in rows:
        gained.setdefault((tenant_id, scan_id), Stored())[tuple(kind)] += count
