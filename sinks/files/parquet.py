"""Rows as Parquet: one file for each tenant and day (Asia/Ho_Chi_Minh, by the broker's clock) on which records came in.

Rows wait in the replay's own state until everything was read, so that what is committed and what is written can never
differ; then each file is written beside its place and renamed."""

import datetime as dt
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Double, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from schemas.tables import WRITTEN_COLUMNS
from sinks.files.rows import Row
from sinks.files.skipped_records import SkippedRecords

MANIFEST: Final = "_manifest.json"  # DuckDB and pandas leave names with an underscore alone
_UNKNOWN_DAY: Final = "unknown"
_ROWS: Final = 20_000  # of a row group
_WAITING: Final = """
CREATE TABLE IF NOT EXISTS waiting (tenant_id TEXT, day TEXT, number INTEGER, row BLOB NOT NULL,
  PRIMARY KEY (tenant_id, day, number)) WITHOUT ROWID
"""
_ARROW: Final[dict[type[TypeEngine[Any]], Any]] = {
    Text: pa.string(),
    Uuid: pa.string(),
    JSONB: pa.string(),
    Integer: pa.int32(),
    BigInteger: pa.int64(),
    Double: pa.float64(),
    Boolean: pa.bool_(),
    DateTime: pa.timestamp("us", tz="UTC"),
}


def _arrow_of(kind: TypeEngine[Any]) -> Any:
    return pa.list_(_arrow_of(kind.item_type)) if isinstance(kind, ARRAY) else _ARROW[type(kind)]


SCHEMA: Final = pa.schema(
    [
        *(pa.field(column.name, _arrow_of(column.type), nullable=bool(column.nullable)) for column in WRITTEN_COLUMNS),
        pa.field("received_on", pa.date32()),
    ]
)
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode  # whatever it is: Arrow says which column is wrong


class ParquetOutput:
    """DIR/<tenant>_<yyyy-mm-dd>.parquet, and a manifest of them, written last."""

    def __init__(self, folder: Path, selection: str) -> None:
        self._folder = folder
        self._selection = selection
        self._number = 0

    def begin(self, connection: sqlite3.Connection) -> None:
        connection.execute(_WAITING)
        self._number = connection.execute("SELECT coalesce(max(number), 0) FROM waiting").fetchone()[0]
        for left in self._folder.glob("*.parquet.new"):
            left.unlink()

    def take(self, connection: sqlite3.Connection, rows: Sequence[Row], day: dt.date | None) -> None:
        name = day.isoformat() if day else _UNKNOWN_DAY
        first = self._number + 1
        self._number += len(rows)
        connection.executemany(
            "INSERT INTO waiting VALUES (?, ?, ?, ?)",
            [(row.tenant_id, name, number, _encode(row)) for number, row in enumerate(rows, first)],
        )

    def finish(self, connection: sqlite3.Connection, passed_over: SkippedRecords) -> None:
        """An earlier result is replaced: its files go when the new ones are there."""
        groups = connection.execute(
            "SELECT tenant_id, day, count(*) FROM waiting GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
        files: list[dict[str, Any]] = []
        for tenant, day, count in groups:
            name = f"{tenant}_{day}.parquet"  # a tenant id holds nothing that a file's name may not
            received_on = None if day == _UNKNOWN_DAY else dt.date.fromisoformat(day)
            before = passed_over.count
            self._write(name, _rows(connection, tenant, day), received_on, passed_over)
            written = count - (passed_over.count - before)
            files.append({"file": name, "tenant_id": tenant, "received_on": day, "rows": written})
        self._remove_earlier(kept={file["file"] for file in files})
        document = {"selection": json.loads(self._selection), "day_zone": "Asia/Ho_Chi_Minh", "files": files}
        arriving = self._folder / f"{MANIFEST}.new"
        arriving.write_text(json.dumps(document, ensure_ascii=False, indent=1))
        arriving.rename(self._folder / MANIFEST)
        connection.execute("DELETE FROM waiting")

    def _remove_earlier(self, kept: set[str]) -> None:
        """Files that an earlier run's manifest names, and nothing else."""
        manifest = self._folder / MANIFEST
        if manifest.exists():
            for file in json.loads(manifest.read_text())["files"]:
                if file["file"] not in kept:
                    (self._folder / Path(file["file"]).name).unlink(missing_ok=True)

    def _write(self, name: str, rows: Iterator[list[Row]], day: dt.date | None, passed_over: SkippedRecords) -> None:
        arriving = self._folder / f"{name}.new"
        with pq.ParquetWriter(arriving, SCHEMA, compression="zstd") as writer:
            for some in rows:
                for table in _tables(some, day, passed_over):
                    writer.write_table(table)
        arriving.rename(self._folder / name)


def _tables(rows: list[Row], day: dt.date | None, passed_over: SkippedRecords) -> Iterator[pa.Table]:
    """All rows in one table; where one of them cannot be in it, all others."""
    try:
        yield _table(rows, day)
        return
    except (ArithmeticError, TypeError, ValueError, pa.ArrowException) as error:
        if len(rows) == 1:
            passed_over.add_row(rows[0], error)
            return
    middle = len(rows) // 2
    yield from _tables(rows[:middle], day, passed_over)
    yield from _tables(rows[middle:], day, passed_over)


def _table(rows: list[Row], day: dt.date | None) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=False)]
    return pa.Table.from_arrays([*arrays, pa.array([day] * len(rows), pa.date32())], schema=SCHEMA)


def _rows(connection: sqlite3.Connection, tenant: str, day: str) -> Iterator[list[Row]]:
    """Gives the rows in the order they were stored, some at a time."""
    cursor = connection.execute(
        "SELECT row FROM waiting WHERE tenant_id = ? AND day = ? ORDER BY number", (tenant, day)
    )
    while some := cursor.fetchmany(_ROWS):
        yield [Row(_decode(row[0])) for row in some]
