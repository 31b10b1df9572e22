"""Follows committed rows in PostgreSQL while a case runs, and checks afterwards that none is missing or there twice."""

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import psycopg2

POLL_SECONDS: Final = 0.05
_TABLES: Final = "processing_activities, scans, scan_messages, rejected_records, audit_log"


class Progress(NamedTuple):
    """A look at the database: when (perf_counter), and records committed by then."""

    at: float
    stored: int


class Watch:
    """Polls sum(records_stored) of `scans` every 50 ms from a thread of its own until `wanted` is reached."""

    def __init__(self, dsn: str, wanted: int) -> None:
        self._dsn = dsn
        self._wanted = wanted
        self._seen: list[Progress] = []
        self._begun = time.perf_counter()
        self._ended = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def _poll(self) -> None:
        try:
            with closing(psycopg2.connect(self._dsn)) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    while not self._stopping.is_set():
                        cursor.execute("SELECT coalesce(sum(records_stored), 0) FROM scans")
                        [(total,)] = cursor.fetchall()
                        stored = int(total)
                        if not self._seen or stored != self._seen[-1].stored:
                            self._seen.append(Progress(time.perf_counter(), stored))
                        if stored >= self._wanted:
                            return
                        self._stopping.wait(POLL_SECONDS)
        finally:
            self._ended.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    @property
    def stored(self) -> int:
        """The number of rows, as last seen."""
        return self._seen[-1].stored if self._seen else 0

    def wait(self, seconds: float) -> None:
        """Waits until all are there, or until nothing more has come for `seconds`."""
        last, since = -1, time.monotonic()
        while not self._ended.wait(0.1):
            if self.stored != last:
                last, since = self.stored, time.monotonic()
            elif time.monotonic() - since > seconds:
                return

    def silent(self, seconds: float) -> bool:
        """True where nothing more has come for so long."""
        return time.perf_counter() - (self._seen[-1].at if self._seen else self._begun) > seconds

    def last(self) -> Progress | None:
        """The look that found the last row."""
        return self._seen[-1] if self._seen and self._seen[-1].stored > 0 else None


def clear(dsn: str) -> None:
    """Empties what cases write (offsets stay), so that every case finds the same tables. Only when all is quiet."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {_TABLES}")
            cursor.execute("CHECKPOINT")


def server_version(dsn: str) -> str:
    """The version of PostgreSQL."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        [(version,)] = cursor.fetchall()
        return str(version)


def differences(dsn: str, sent: Mapping[str, int], *, wait_seconds: float = 5) -> list[str]:
    """Compares rows with what was sent per scan id: one sentence for every scan that differs; none when all is well.

    Rows are counted, keys are told apart again although the primary key does so already, and `scans` must say the same
    and call each scan completed.
    """
    deadline = time.monotonic() + wait_seconds
    found: list[str] = []
    while True:
        found = _compare(dsn, sent)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _compare(dsn: str, sent: Mapping[str, int]) -> list[str]:
    rows: dict[str, tuple[int, int]] = {}
    scans: dict[str, dict[str, Any]] = {}
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT scan_id::text, count(*), count(DISTINCT activity_key) FROM processing_activities GROUP BY scan_id"
        )
        rows = {scan: (count, keys) for scan, count, keys in cursor.fetchall()}
        cursor.execute("SELECT scan_id::text, status, records_stored FROM scans")
        scans = {scan: {"status": status, "stored": stored} for scan, status, stored in cursor.fetchall()}
    found = []
    for scan_id, count in sent.items():
        in_table = rows.pop(scan_id, (0, 0))
        row = scans.get(scan_id, {"status": "-", "stored": 0})
        if in_table != (count, count) or row["stored"] != count or row["status"] != "completed":
            found.append(f"{scan_id}: sent {count}, rows {in_table[0]}, keys {in_table[1]}, scans says {row}")
    found += [f"{scan_id}: never sent, rows {count[0]}" for scan_id, count in rows.items()]
    return found
