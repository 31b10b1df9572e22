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

from sinks.files.rows import Row
from sinks.files.skipped_records import PassedOver

MANIFEST: Final = "_manifest.json"  # DuckDB and pandas leave names with an underscore alone
_UNKNOWN_DAY: Final = "unknown"
_ROWS: Final = 20_000  # of a row group
_WAITING: Final = """
CREATE TABLE IF NOT EXISTS waiting (tenant_id TEXT, day TEXT, number INTEGER, row BLOB NOT NULL,
  PRIMARY KEY (tenant_id, day, number)) WITHOUT ROWID
"""
_text: Final = pa.string()
_texts: Final = pa.list_(pa.string())
SCHEMA: Final = pa.schema(
    [
        pa.field("tenant_id", _text, nullable=False),
        pa.field("scan_id", _text, nullable=False),
        pa.field("activity_key", _text, nullable=False),
        pa.field("record_index", pa.int32()),
        pa.field("name", _text, nullable=False),
        pa.field("source_system", _text, nullable=False),
        pa.field("asset", _text, nullable=False),
        pa.field("data_fields", _texts, nullable=False),
        pa.field("data_categories", _texts, nullable=False),
        pa.field("data_subjects", _texts, nullable=False),
        pa.field("purpose", _text, nullable=False),
        pa.field("legal_basis", _text, nullable=False),
        pa.field("controller_role", _text),
        pa.field("recipients", _texts, nullable=False),
        pa.field("storage_country", _text, nullable=False),
        pa.field("provider_country", _text),
        pa.field("transfer", _text),  # JSON
        pa.field("retention_days", pa.int32()),
        pa.field("subject_count", pa.int64()),
        pa.field("confidence", pa.float64()),
        pa.field("discovered_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("attributes", _text, nullable=False),  # JSON
        pa.field("sensitive", pa.bool_(), nullable=False),
        pa.field("cross_border", pa.bool_(), nullable=False),
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

    def finish(self, connection: sqlite3.Connection, passed_over: PassedOver) -> None:
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

    def _write(self, name: str, rows: Iterator[list[Row]], day: dt.date | None, passed_over: PassedOver) -> None:
        arriving = self._folder / f"{name}.new"
        with pq.ParquetWriter(arriving, SCHEMA, compression="zstd") as writer:
            for some in rows:
                for table in _tables(some, day, passed_over):
                    writer.write_table(table)
        arriving.rename(self._folder / name)


def _tables(rows: list[Row], day: dt.date | None, passed_over: PassedOver) -> Iterator[pa.Table]:
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
        yield [Row(*_decode(row[0])) for row in some]
