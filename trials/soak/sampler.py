"""Looks at a running rig every few seconds: memory of every process, what lags behind, connections, records stored."""

import csv
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import psutil
import psycopg2

Sample = dict[str, float]
_MIB: Final = 1 << 20


def memory_mib(pids: Mapping[str, int]) -> Sample:
    """The memory of each named process that is there and of those below it, in MiB. PSS where the system gives it: what
    PostgreSQL's processes share counts once."""
    taken = {name: sum(map(_pss, _tree(pid))) / _MIB for name, pid in pids.items()}
    return {f"memory {name}": round(mib, 1) for name, mib in taken.items() if mib}


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
            [(write, read)] = cursor.fetchall()
            cursor.execute("SELECT coalesce(sum(records_stored), 0) FROM scans")
            [(stored,)] = cursor.fetchall()
            return {"connections write": write, "connections read": read, "stored": float(stored)}
    except psycopg2.Error:
        return {}


class Struck(NamedTuple):
    """A fault, from its strike to its heal, in seconds of the run."""

    name: str
    began: float
    ended: float


class Sampler:
    """Calls `look` from a thread of its own every `seconds` and keeps, and writes to `file`, what it says."""

    def __init__(self, look: Callable[[], Sample], file: Path, seconds: float = 5) -> None:
        self._look = look
        self._file = file
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.samples: list[Sample] = []
        self.struck: list[Struck] = []
        self.failed: list[str] = []  # looks that raised: a run of half an hour is not given up for one
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it was entered."""
        return round(time.monotonic() - self._started, 1)

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """Notes that the fault lasts as long as the block."""
        began = self.seconds
        try:
            yield
        finally:
            self.struck.append(Struck(name, began, self.seconds))

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            at = self.seconds
            try:
                self.samples.append({"seconds": at, **self._look()})
            except Exception as error:
                self.failed.append(f"{at:.0f} s: {error!r}")

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
        """Writes CSV, one line a sample; a column that a sample lacks stays empty."""
        with self._file.open("w", newline="") as opened:
            writer = csv.DictWriter(opened, columns(self.samples))
            writer.writeheader()
            writer.writerows(self.samples)


def columns(samples: Sequence[Sample]) -> list[str]:
    """Every name that a sample has, in the order in which they first came."""
    return list(dict.fromkeys(name for sample in samples for name in sample))


def load(file: Path) -> list[Sample]:
    """Samples as `Sampler.save` wrote them."""
    with file.open(newline="") as opened:
        return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(opened)]


def series(samples: Sequence[Sample], name: str) -> tuple[list[float], list[float]]:
    """Times in seconds, and the values of one column, of the samples that have it."""
    known = [sample for sample in samples if name in sample]
    return [sample["seconds"] for sample in known], [sample[name] for sample in known]
