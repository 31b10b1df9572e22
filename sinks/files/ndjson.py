"""Rows as NDJSON, a line each: into a file that can be gone on with exactly, or into a stream."""

import datetime as dt
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from sinks.columns import COLUMNS
from sinks.files.rows import JSON_COLUMNS, Row
from sinks.files.skipped_records import SkippedRecords

_encode: Final = msgspec.json.Encoder().encode
_LENGTH: Final = "output_length"


def line(row: Row, day: dt.date | None) -> bytes:
    """The row as one JSON object; what is JSON as the JSON that it is. `received_on` is the day's."""
    values = list(row)
    for column in JSON_COLUMNS:
        if values[column] is not None:
            values[column] = msgspec.Raw(_one_line(values[column]))
    fields: dict[str, Any] = dict(zip(COLUMNS, values, strict=True))
    fields["received_on"] = day
    return _encode(fields) + b"\n"


def _one_line(text: str) -> bytes:
    """Line feeds in JSON can only stand between its tokens."""
    return text.replace("\n", " ").replace("\r", " ").encode()


class StreamOutput:
    """Writes into a pipe or a terminal: what was written cannot be taken back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def begin(self, connection: sqlite3.Connection) -> None:
        """Lines written after the last commit are written again: a pipe cannot be cut."""

    def take(self, connection: sqlite3.Connection, rows: Sequence[Row], day: dt.date | None) -> None:
        self._stream.write(b"".join([line(row, day) for row in rows]))
        self._stream.flush()

    def finish(self, connection: sqlite3.Connection, passed_over: SkippedRecords) -> None:
        """Does nothing: every line is written already."""


def _length(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (_LENGTH,)).fetchone()
    return int(found[0]) if found else 0


def _cut_back(file: BinaryIO, length: int) -> None:
    if file.tell() != length:
        file.truncate(length)
        file.seek(length)


class FileOutput:
    """Writes into a file beside which the state stands: an interrupted replay cuts it back to what was committed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, connection: sqlite3.Connection) -> None:
        """Raises OSError, also where the file is shorter than it was."""
        length = _length(connection)
        with self._path.open("r+b" if length else "wb") as file:
            if file.seek(0, os.SEEK_END) < length:
                raise OSError(f"{self._path} is shorter than its checkpoint says")
            _cut_back(file, length)

    def take(self, connection: sqlite3.Connection, rows: Sequence[Row], day: dt.date | None) -> None:
        """Cuts off what a transaction that failed has left in the file."""
        with self._path.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            _cut_back(file, _length(connection))
            file.write(b"".join([line(row, day) for row in rows]))
            file.flush()
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_LENGTH, str(file.tell())))

    def finish(self, connection: sqlite3.Connection, passed_over: SkippedRecords) -> None:
        with self._path.open("r+b") as file:
            os.fsync(file.fileno())
