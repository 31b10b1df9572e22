"""Measures what a replay does to live scans: a scan of 1,000 records at a steady pace, alone and beside a replay of a
large topic."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import psycopg2

from infra.errors import InfraError
from infra.processes.child import Child
from infra.stack import Stack
from trials import generator
from trials.bench import machine
from trials.bench.direct import Backlog
from trials.bench.http import Answer, Call, submit_all
from trials.bench.results import Result
from trials.bench.row_watcher import Watch, clear, differences

_SILENCE: Final = 60.0  # seconds without a new row after which filling the topic is given up
_RECORDS: Final = 1_000
_PACE: Final = 0.5  # seconds between two scans
_SCHEMA: Final = "bench_replay"
_BEGIN: Final = 60.0
_WAIT: Final = (("Prefer", "wait=30"),)
Judge = Callable[[str, Sequence[Answer], int, float, float, dict[str, float], str], Result]
Say = Callable[[str], None]


class BesideAReplay:
    """Cases that share one filled topic. `judge` compares what a case sent with what is in the tables, and empties
    them."""

    def __init__(
        self,
        stack: Stack,
        tenants: Sequence[str],
        records: int,
        scans: int,
        ready: Callable[[], None],
        judge: Judge,
        say: Say,
    ) -> None:
        """The topic is filled with `records` single records for each tenant; a case submits so many `scans`."""
        self._stack = stack
        self._dsn = stack.postgres.superuser_dsn()
        self._tenants = tenants
        self._records = records
        self._scans = scans
        self._ready = ready
        self._judge = judge
        self._say = say
        self._filled = False
        self._folder = stack.data_dir / "replay"

    @property
    def cases(self) -> dict[str, Callable[[], Result]]:
        """Name -> what runs it, in order."""
        file, schema = ("--to-ndjson", "-o", str(self._folder / "rows")), ("--to-schema", _SCHEMA)
        targets = {
            "replay-none": (),
            "replay-ndjson": file,
            "replay-ndjson-nice-0": (*file, "--nice", "0"),
            "replay-schema": schema,
            "replay-schema-nice-0": (*schema, "--nice", "0"),
            "replay-ndjson-5000": (*file, "--rate", "5000"),
            "replay-schema-5000": (*schema, "--rate", "5000"),
            "replay-none-again": (),  # a shared machine changes its pace
        }
        return {name: partial(self._steady, name, target) for name, target in targets.items()}

    def _steady(self, case: str, target: Sequence[str]) -> Result:
        self._ready()
        if not self._filled:
            self._fill()
        bodies = [generator.body(generator.records(_RECORDS, seed, "steady")) for seed in range(4)]
        calls = [
            Call(self._tenants[at % len(self._tenants)], bodies[at % 4], after=at * _PACE, headers=_WAIT)
            for at in range(self._scans)
        ]
        with self._replay(target) as replayed:
            first, before, began = replayed(), machine.cpu_seconds(self._stack), time.perf_counter()
            answers = submit_all([service.base_url for service in self._stack.apis], calls)
            seconds = time.perf_counter() - began
            rate = (replayed() - first) / seconds
        cpu = machine.since(before, machine.cpu_seconds(self._stack))
        note = f"a scan of {_RECORDS:,} every {_PACE} s, Prefer: wait; replayed meanwhile: {rate:,.0f} records/s"
        self._say(f"{case}: {rate:,.0f} records/s")
        result = self._judge(case, answers, _RECORDS, _RECORDS * len(answers) / seconds, seconds, cpu, note)
        late = [
            f"{answer.scan_id}: {answer.status}, not completed in time" for answer in answers if answer.status != 200
        ]
        return result._replace(problems=[*result.problems, *late])

    def _fill(self) -> None:
        backlog = Backlog(self._tenants, self._records, 77)
        with Watch(self._dsn, backlog.total) as watch:
            backlog.publish(self._stack.kafka.bootstrap)
            watch.wait(_SILENCE)
        if found := differences(self._dsn, backlog.sent):
            raise InfraError.of("bench_topic_not_filled", reason=found[0])
        clear(self._dsn)
        self._filled = True

    @contextmanager
    def _replay(self, target: Sequence[str]) -> Iterator[Callable[[], int]]:
        """Running and writing; yields what tells how many records it has written. Ended, and taken away, at the end."""
        if not target:
            yield lambda: 0
            return
        self._take_away()
        self._folder.mkdir(parents=True)
        command = [str(Path(sys.executable).parent / "scanline"), "replay", *target, "--json"]
        child = Child("replay", command, log_file=self._folder / "log", env={**os.environ, **self._stack.env})
        written = self._rows_held if _SCHEMA in target else self._lines
        try:
            deadline = time.monotonic() + _BEGIN
            while not written():
                if child.returncode is not None or time.monotonic() > deadline:
                    said = child.log_file.read_text()
                    raise InfraError.of("bench_replay_not_begun", reason=said)
                time.sleep(0.1)
            yield written
            if child.returncode is not None:
                self._say("the replay ended before the scans did")
        finally:
            child.stop()
            self._take_away()

    def _lines(self) -> int:
        with suppress(FileNotFoundError), (self._folder / "rows").open("rb") as file:
            return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
        return 0

    def _rows_held(self) -> int:
        with closing(psycopg2.connect(self._dsn)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{_SCHEMA}.scans",))
            if cursor.fetchone() != (True,):
                return 0
            cursor.execute(f"SELECT coalesce(sum(records_stored), 0)::bigint FROM {_SCHEMA}.scans")
            [(total,)] = cursor.fetchall()
            return int(total)

    def _take_away(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        with closing(psycopg2.connect(self._dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
