"""Reads the live tables in the form of a replay, in one snapshot and with the reader's rights."""

import datetime as dt
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import psycopg2
from sqlalchemy import Uuid
from sqlalchemy.engine import make_url

from infra.errors import InfraError
from operations.replay.selection import Range, Selection
from schemas.session_settings import local, reading
from schemas.topics import RECORDS_TOPIC
from sinks.columns import COLUMNS, positions_of
from sinks.effects import Key
from sinks.files.rows import JSON_COLUMNS, TIME_COLUMNS, Row


class LiveScan(NamedTuple):
    """A row of `scans`; names as there."""

    status: str
    records_total: int | None
    records_stored: int
    records_rejected: int
    records_duplicate: int
    records_sensitive: int
    records_cross_border: int
    messages_unreadable: int


COUNTS: Final = LiveScan._fields
# the reader's own limit is for requests that somebody waits for
_SETTINGS: Final = local({**reading(1), "statement_timeout": "0"})
_AT_ONCE: Final = 200  # rows fetched; one can have a quarter of a megabyte
_AS_TEXT: Final = frozenset(COLUMNS[at] for at in (*positions_of(Uuid), *JSON_COLUMNS, *TIME_COLUMNS))
# Of attributes, as PostgreSQL writes them: what is accepted has at most 6 KiB; what once was could have 60 MB.
_MOST_BYTES: Final = 64 * 1024
_ATTRIBUTES: Final = f"CASE WHEN octet_length(attributes::text) <= {_MOST_BYTES} THEN attributes::text ELSE '' END"
_SELECT: Final = ", ".join(
    _ATTRIBUTES if name == "attributes" else f"{name}::text" if name in _AS_TEXT else name for name in COLUMNS
)
_WHERE: Final = """
WHERE (%(tenants)s::text[] IS NULL OR tenant_id = ANY (%(tenants)s::text[]))
  AND (%(scans)s::uuid[] IS NULL OR scan_id = ANY (%(scans)s::uuid[]))
"""
# Each micro-batch left an audit row that says between which offsets it stood, and of which topic, where that was known.
_OUTSIDE: Final = f"""
SELECT DISTINCT tenant_id, scan_id::text FROM audit_log AS a
LEFT JOIN unnest(%(partitions)s::int[], %(starts)s::bigint[], %(ends)s::bigint[]) AS r (p, s, e)
       ON r.p = (a.details->>'partition')::int
{_WHERE} AND details->>'topic' = %(topic)s AND details ? 'first_offset'
  AND (r.p IS NULL OR (details->>'first_offset')::bigint < r.s OR (details->>'next_offset')::bigint > r.e
       OR details->>'topic_id' <> %(topic_id)s::text)
"""
_REFUSED: Final = """
SELECT DISTINCT activity_key FROM rejected_records
WHERE tenant_id = %s AND scan_id = %s AND code = 'database_refused' AND activity_key IS NOT NULL
"""
_OFFSETS: Final = "SELECT partition, next_offset FROM stream_offsets WHERE pipeline = %s AND topic = %s"


class Live:
    """The tables behind the reader's URL. A context manager; `begin` takes the snapshot. Raises InfraError."""

    def __init__(self, url: str) -> None:
        where = make_url(url).set(drivername="postgresql")
        try:
            self._connection = psycopg2.connect(
                where.render_as_string(hide_password=False),
                connect_timeout=10,
                application_name="scanline-replay",
            )
        except psycopg2.OperationalError as error:
            raise InfraError.of("replay_postgres_no_answer", reason=str(error).strip()) from None

    def offsets(self, pipeline: str) -> dict[int, int]:
        """The stored offset of each partition."""
        found = dict(self._all(_SETTINGS + _OFFSETS, (pipeline, RECORDS_TOPIC)))
        self._connection.rollback()
        return found

    def begin(self) -> None:
        """Everything read from here on is of this moment."""
        self._connection.rollback()
        self._connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with self._connection.cursor() as cursor:
            cursor.execute(_SETTINGS)

    def scans(self, selection: Selection) -> dict[Key, LiveScan]:
        """The selected scans."""
        query = f"SELECT tenant_id, scan_id::text, {', '.join(COUNTS)} FROM scans {_WHERE}"
        return {(row[0], row[1]): LiveScan(*row[2:]) for row in self._all(query, _of(selection))}

    def rows(self, selection: Selection) -> Iterator[Row]:
        """The selected rows, in no order, some at a time. Attributes that are longer than any that is accepted are
        empty, which is no JSON."""
        with self._connection.cursor("rows") as cursor:
            cursor.itersize = _AT_ONCE
            cursor.execute(f"SELECT {_SELECT} FROM processing_activities {_WHERE}", _of(selection))
            for row in cursor:
                values = list(row)
                for column in TIME_COLUMNS:
                    values[column] = None if values[column] is None else _moment(values[column])
                yield Row(values)

    def outside(self, selection: Selection, read: Mapping[int, Range], topic_id: str | None) -> set[Key]:
        """Selected scans of which something stands, or may stand, before or behind the offsets that were read, or in
        another topic of that name."""
        places = {
            "partitions": list(read),
            "starts": [place.start for place in read.values()],
            "ends": [place.end for place in read.values()],
            "topic": RECORDS_TOPIC,
            "topic_id": topic_id,
        }
        return {(row[0], row[1]) for row in self._all(_OUTSIDE, {**_of(selection), **places})}

    def refused(self, key: Key) -> set[str]:
        """activity_keys of the scan that PostgreSQL itself refused: no replay can know."""
        return {row[0] for row in self._all(_REFUSED, key)}

    def _all(self, query: str, parameters: Any) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


def _moment(text: str) -> dt.datetime:
    """Reads a time as PostgreSQL writes it, in UTC. It has times that Python has not: of those the last one stands for
    all."""
    try:
        return dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except ValueError:
        return dt.datetime.max.replace(tzinfo=dt.UTC)


def _of(selection: Selection) -> dict[str, Any]:
    """Parameters of _WHERE; no list means all."""
    return {"tenants": list(selection.tenants) or None, "scans": list(selection.scans) or None}
