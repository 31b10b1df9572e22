"""The output of a local replay: the protocol of what rows are written to."""

import datetime as dt
import sqlite3
from collections.abc import Sequence
from typing import Protocol

from sinks.files.rows import Row
from sinks.files.skipped_records import SkippedRecords


class Output(Protocol):
    """Takes rows between `begin` and `finish`; every call runs inside a transaction of the state's database, so what it
    writes there is kept or lost together with the offsets."""

    def begin(self, connection: sqlite3.Connection) -> None:
        """Makes what it needs there, and forgets everything it wrote after the state's last commit."""
        ...

    def take(self, connection: sqlite3.Connection, rows: Sequence[Row], day: dt.date | None) -> None:
        """Rows of one micro-batch, all received on that day (Asia/Ho_Chi_Minh). Raises OSError; anything else where a
        row cannot be written, and then nothing of this call is."""
        ...

    def finish(self, connection: sqlite3.Connection, passed_over: SkippedRecords) -> None:
        """Everything was taken. Rows that cannot be written are passed over. Raises OSError."""
        ...


class Nowhere:
    """Keeps nothing: for comparing alone."""

    def begin(self, connection: sqlite3.Connection) -> None:
        """Writes nothing."""

    def take(self, connection: sqlite3.Connection, rows: Sequence[Row], day: dt.date | None) -> None:
        """Writes nothing."""

    def finish(self, connection: sqlite3.Connection, passed_over: SkippedRecords) -> None:
        """Writes nothing."""
