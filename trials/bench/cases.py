"""The cases of the benchmark. Each checks what it wrote and leaves empty tables behind."""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from infra.processes.services import Service
from infra.stack import Stack
from trials import generator
from trials.bench import copy_baseline, machine
from trials.bench.direct import Backlog
from trials.bench.flood import Flood, FloodSizes
from trials.bench.http import Answer, Call, submit_all
from trials.bench.reads import ReadsWhileWriting
from trials.bench.replay_impact import BesideAReplay
from trials.bench.results import Result
from trials.bench.row_watcher import Watch, clear, differences

_SILENCE: Final = 30.0  # seconds without a new row after which a case is given up
_NDJSON: Final = "application/x-ndjson"
_WAIT: Final = (("Prefer", "wait=30"),)
Say = Callable[[str], None]


class Sizes(NamedTuple):
    """The sizes of the cases."""

    tenants: int = 100
    direct_records: int = 2_000  # per tenant
    repeats: int = 10
    large: int = 10_000
    raw_repeats: int = 3
    rounds: int = 3  # of each case with a hundred tenants; the median counts
    warm_up: int = 5  # rounds before anything counts
    flood: FloodSizes = FloodSizes()
    replayed: int = 5_000  # per tenant, in the topic that is replayed
    beside_replay: int = 40  # scans submitted meanwhile
    beside_reads: int = 10_000  # per tenant, while others read


QUICK: Final = Sizes(
    tenants=100,
    direct_records=300,
    repeats=3,
    large=2_000,
    raw_repeats=1,
    rounds=1,
    warm_up=1,
    flood=FloodSizes(scans=11, elsewhere=100_000, own=20_000, own_scans=2),
    replayed=1_000,
    beside_replay=10,
    beside_reads=2_000,
)


class Bench:
    """Runs cases on a stack whose servers run and that has an API; workers are started and stopped as a case needs
    it."""

    def __init__(self, stack: Stack, workers: int, sizes: Sizes, say: Say = lambda _: None) -> None:
        self._stack = stack
        self._dsn = stack.postgres.superuser_dsn()
        self._worker_count = workers
        self._sizes = sizes
        self._say = say
        self._tenants = [f"bench-{number:03}" for number in range(sizes.tenants)]
        self._workers: list[Service] = []
        self._bodies: list[bytes] = []
        self._seed = 0
        self._beside_a_replay = BesideAReplay(
            stack, self._tenants, sizes.replayed, sizes.beside_replay, self._start_workers, self._judged, say
        )

    @property
    def cases(self) -> dict[str, Callable[[], Result]]:
        """Name -> what runs it, in order."""
        return {
            "direct": lambda: self._median(self._direct),
            "direct-live": lambda: self._median(self._direct_live),
            "http-1x1000": lambda: self._waiting("http-1x1000", 1_000),
            "http-10x1000": lambda: self._median(lambda: self._http("http-10x1000", 10)),
            "http-100x1000": lambda: self._median(lambda: self._http("http-100x1000", 100)),
            "http-100x1000-2s": lambda: self._median(lambda: self._http("http-100x1000-2s", 100, spread=2.0)),
            "http-1x10000": lambda: self._waiting("http-1x10000", 10_000),
            "http-100x10000": self._large,
            "flood-quiet": lambda: self._flood().quiet(),
            "flood-elsewhere": lambda: self._flood().elsewhere(),
            "flood-own": lambda: self._flood().own(),
            "reads-while-writing": ReadsWhileWriting(
                self._stack, self._tenants, self._sizes.beside_reads, self._start_workers
            ),
            **self._beside_a_replay.cases,
        }

    def raw(self) -> dict[int, list[float]]:
        """Rows a second of raw COPY with 1 and 4 connections."""
        texts = copy_baseline.copy_lines(self._tenants)
        copy_baseline.make_scratch(self._dsn)
        try:
            return {n: copy_baseline.measure(self._dsn, texts, n, self._sizes.raw_repeats) for n in (1, 4)}
        finally:
            copy_baseline.drop_scratch(self._dsn)

    def warm_up(self) -> None:
        """Rounds that do not count: a broker that has just started runs byte code that is not compiled yet, and takes
        three times the processor seconds for the same messages."""
        for _ in range(self._sizes.warm_up):
            self._http("warm-up", self._sizes.tenants)
            self._direct_live()

    def _median(self, case: Callable[[], Result]) -> Result:
        return Result.median([case() for _ in range(self._sizes.rounds)])

    def _direct(self) -> Result:
        """A backlog of single records that becomes visible to running workers all at once: from then to the last
        row."""
        self._start_workers()
        backlog = self._backlog()
        show = backlog.publish_hidden(self._stack.kafka.bootstrap)
        before = machine.cpu_seconds(self._stack)
        with Watch(self._dsn, backlog.total) as watch:
            began = time.perf_counter()
            show()
            watch.wait(_SILENCE)
        note = "one Kafka transaction; from its commit to the last committed row, polled every 50 ms"
        return self._direct_result("direct", backlog, watch, began, before, note)

    def _direct_live(self) -> Result:
        """The same while the records are being published."""
        self._start_workers()
        backlog = self._backlog()
        before = machine.cpu_seconds(self._stack)
        with Watch(self._dsn, backlog.total) as watch:
            began = time.perf_counter()
            backlog.publish(self._stack.kafka.bootstrap)
            watch.wait(_SILENCE)
        note = "published meanwhile by a client on the same machine; from its first message"
        return self._direct_result("direct-live", backlog, watch, began, before, note)

    def _direct_result(
        self, case: str, backlog: Backlog, watch: Watch, began: float, before: dict[str, float], note: str
    ) -> Result:
        cpu = machine.since(before, machine.cpu_seconds(self._stack))
        problems = differences(self._dsn, backlog.sent)
        last = watch.last()
        seconds = (last.at if last else time.perf_counter()) - began
        clear(self._dsn)
        return Result(case, backlog.total, watch.stored / seconds, seconds, (), cpu, problems, note)

    def _backlog(self) -> Backlog:
        self._seed += 1
        return Backlog(self._tenants, self._sizes.direct_records, self._seed)

    def _http(self, case: str, tenants: int, spread: float = 0.0) -> Result:
        """One scan of 1,000 records for each tenant, in the same instant or evenly over `spread` seconds."""
        names = self._tenants[:tenants]
        if not self._bodies:
            self._bodies = [
                generator.body(generator.records(1_000, number, tenant)) for number, tenant in enumerate(self._tenants)
            ]
        calls = [
            Call(tenant, self._bodies[number], after=spread * number / len(names))
            for number, tenant in enumerate(names)
        ]
        return self._submit(case, calls, 1_000, "spread over two seconds" if spread else "all in the same instant")

    def _large(self) -> Result:
        """100 tenants with 10,000 records each, as NDJSON streams; the tenants share four bodies."""
        size = self._sizes.large
        bodies = [generator.ndjson(generator.records(size, seed)) for seed in range(4)]
        calls = [Call(tenant, bodies[at % 4], _NDJSON) for at, tenant in enumerate(self._tenants)]
        return self._submit("http-100x10000", calls, size, f"NDJSON, {size:,} records each, all in the same instant")

    def _flood(self) -> Flood:
        self._start_workers()
        return Flood(self._stack, self._tenants, self._sizes.flood)

    def _submit(self, case: str, calls: Sequence[Call], size: int, note: str) -> Result:
        self._start_workers()
        total = size * len(calls)
        before = machine.cpu_seconds(self._stack)
        with Watch(self._dsn, total) as watch:
            began = time.perf_counter()
            answers = submit_all(self._api_urls(), calls)
            watch.wait(_SILENCE)
        cpu = machine.since(before, machine.cpu_seconds(self._stack))
        last = watch.last()
        seconds = (last.at if last else time.perf_counter()) - began
        return self._judged(case, answers, size, watch.stored / seconds, seconds, cpu, note)

    def _waiting(self, case: str, size: int) -> Result:
        """One scan after the other, each answered when it is completed (Prefer: wait)."""
        self._start_workers()
        tenant = self._tenants[0]
        bodies = [generator.body(generator.records(size, seed, tenant)) for seed in range(self._sizes.repeats)]
        before = machine.cpu_seconds(self._stack)
        answers = [submit_all(self._api_urls(), [Call(tenant, body, headers=_WAIT)])[0] for body in bodies]
        cpu = machine.since(before, machine.cpu_seconds(self._stack))
        seconds = sum(answer.seconds for answer in answers)
        late = [
            f"{answer.scan_id}: {answer.status}, not completed in time" for answer in answers if answer.status != 200
        ]
        result = self._judged(
            case, answers, size, size * len(answers) / seconds, seconds, cpu, f"{len(answers)} times, Prefer: wait"
        )
        return result._replace(problems=[*result.problems, *late])

    def _judged(
        self,
        case: str,
        answers: Sequence[Answer],
        size: int,
        rate: float,
        seconds: float,
        cpu: dict[str, float],
        note: str,
    ) -> Result:
        accepted = [answer for answer in answers if answer.status in (200, 202)]
        problems = [
            f"{answer.tenant}: {answer.status} {answer.document.get('code', answer.document)}"
            for answer in answers
            if answer.status not in (200, 202)
        ]
        problems += differences(self._dsn, {answer.scan_id: size for answer in accepted})
        clear(self._dsn)
        return Result(
            case, size * len(answers), rate, seconds, [answer.seconds for answer in answers], cpu, problems, note
        )

    def _api_urls(self) -> list[str]:
        return [service.base_url for service in self._stack.apis]

    def _start_workers(self) -> None:
        if not self._workers:
            self._say(f"{self._worker_count} worker")
            self._workers = [self._stack.start_worker(wait=False) for _ in range(self._worker_count)]
            for worker in self._workers:
                worker.wait_until_ready()
