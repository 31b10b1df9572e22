"""Looks at a running rig every few seconds: memory of every process, what lags behind, connections, records stored."""

import csv
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil
import psycopg2

Sample = dict[str, float]
_MIB: Final = 1 << 20


def memory_mib(pids: Mapping[str, int]) -> Sample:
    """Of each named process and those below it, MiB. PSS where the system tells it: what PostgreSQL's processes share
    counts once."""
    return {f"memory {name}": round(sum(map(_pss, _tree(pid))) / _MIB, 1) for name, pid in pids.items()}


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _pss(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def database_figures(dsn: str) -> Sample:
    """Connections of the writer's and the reader's pools, and records stored; nothing while the server is away."""
    try:
        with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FILTER (WHERE usename = 'scanline_writer'),"
                " count(*) FILTER (WHERE usename = 'scanline_reader') FROM pg_stat_activity"
            )
            write, read = cursor.fetchone()  # type: ignore[misc]
            cursor.execute("SELECT coalesce(sum(records_stored), 0) FROM scans")
            return {"connections write": write, "connections read": read, "stored": float(cursor.fetchone()[0])}  # type: ignore[index]
    except psycopg2.OperationalError:
        return {}


class Sampler:
    """Calls `look` from a thread of its own every `seconds` and keeps, and writes to `file`, what it says."""

    def __init__(self, look: Callable[[], Sample], file: Path, seconds: float = 5) -> None:
        self._look = look
        self._file = file
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.samples: list[Sample] = []
        self.events: list[tuple[float, str]] = []
        self._started = time.monotonic()

    def event(self, name: str) -> None:
        """Notes that something was done now."""
        self.events.append((round(time.monotonic() - self._started, 1), name))

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self.samples.append({"seconds": round(time.monotonic() - self._started, 1), **self._look()})

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self.save()

    def save(self) -> None:
        """As CSV, one line a sample; a column that a sample lacks stays empty."""
        names = list(dict.fromkeys(name for sample in self.samples for name in sample))
        with self._file.open("w", newline="") as opened:
            writer = csv.DictWriter(opened, names)
            writer.writeheader()
            writer.writerows(self.samples)


def slope_per_hour(times: Sequence[float], values: Sequence[float]) -> float:
    """Of the straight line through the second half of the samples, in units an hour: the first half warms up."""
    half = len(times) // 2
    xs, ys = times[half:], values[half:]
    if len(xs) < 2:
        return 0.0
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - middle_x) ** 2 for x in xs)
    return 3600 * sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0
