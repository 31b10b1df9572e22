"""The demo from start to end: sends, follows, checks."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from infra.stack import Stack
from operations.progress_columns import CountColumn
from operations.status_follower import Change, StatusFollower, accounted
from schemas.numbers import number
from trials.bench.http import percentile
from trials.demo import reconciliation, senders
from trials.demo.scans import RECORDS, SPREAD, TENANTS, Sent, generated, samples

_SILENCE: Final = 30.0  # seconds without a word of any scan after which the demo gives up
_SETTLE: Final = 5.0  # seconds the status topic may take to say the last of what the tables hold


class Phase(NamedTuple):
    """One of the demo's two parts. `seconds` from the first submission to the last scan's end."""

    name: str
    sent: list[Sent]
    seconds: float

    @property
    def records(self) -> int:
        return sum(scan.wanted.records for scan in self.sent)

    @property
    def rate(self) -> float:
        """Rows stored a second."""
        return sum(scan.wanted.stored for scan in self.sent) / self.seconds if self.seconds else 0.0


class DemoResult(NamedTuple):
    """The outcome of the demo."""

    phases: list[Phase]
    rows: list[dict[str, Any]]
    latency_ms: dict[str, float]
    problems: list[str]


def run(stack: Stack, progress_on: Console) -> DemoResult:
    """Runs the demo on a stack that runs and is empty. Raises InfraError when a scan is not taken."""
    bars = _Bars(progress_on)
    with StatusFollower(stack.kafka.bootstrap, on_change=bars.told) as follower:
        api_url = stack.apis[0].base_url
        real = samples()
        rows = [
            (f"{sample.name} · {sample.tenant} · {sample.way}", sample.tenant, len(sample.lines)) for sample in real
        ]
        phases = [
            _phase(
                "samples",
                bars,
                follower,
                rows,
                lambda: senders.send_samples(real, api_url, stack.kafka.bootstrap),
            )
        ]
        made = generated()
        title = f"{TENANTS} × {number(RECORDS, 'vi')} trong {SPREAD:.0f} giây / within {SPREAD:.0f} s"
        phases.append(
            _phase(
                "generated",
                bars,
                follower,
                [(title, None, TENANTS * RECORDS)],
                lambda: senders.send_generated(made, api_url),
            )
        )
        sent = [scan for phase in phases for scan in phase.sent]
        told, problems = _check(stack, follower, sent)
    latencies = [scan.answered - scan.began for scan in phases[1].sent if scan.answered is not None]
    return DemoResult(
        phases,
        [_row(scan, told.get(scan.key, {}), follower.ended_at(scan.key)) for scan in sent],
        {f"p{share}": round(percentile(latencies, share / 100) * 1000, 1) for share in (50, 95, 99)},
        problems,
    )


def _phase(
    name: str,
    bars: "_Bars",
    follower: StatusFollower,
    rows: Sequence[tuple[str, str | None, int]],
    send: Callable[[], list[Sent]],
) -> Phase:
    with bars.shown(rows), ThreadPoolExecutor(1) as pool:
        sending_now = pool.submit(send)
        while not sending_now.done():
            time.sleep(0.05)
            bars.draw()
        sent = sending_now.result()
        follower.wait_final([scan.key for scan in sent], _SILENCE, bars.draw)
        bars.draw()
    began = min(scan.began for scan in sent)
    ends = [follower.ended_at(scan.key) or time.perf_counter() for scan in sent]
    return Phase(name, sent, max(ends) - began)


def _check(
    stack: Stack, follower: StatusFollower, sent: Sequence[Sent]
) -> tuple[Mapping[tuple[str, str], Mapping[str, Any]], list[str]]:
    """Compares until all agrees, for a while: the tables come first, the topic a moment later."""
    deadline = time.monotonic() + _SETTLE
    while True:
        told = follower.last(scan.key for scan in sent)
        problems = reconciliation.differences(sent, reconciliation.read(stack.postgres.superuser_dsn()), told)
        if not problems or time.monotonic() > deadline:
            return told, problems
        time.sleep(0.5)


def _row(scan: Sent, told: Mapping[str, Any], ended: float | None) -> dict[str, Any]:
    names = ("total", "stored", "rejected", "duplicate", "sensitive", "cross_border")
    return {
        "tenant": scan.tenant,
        "scan_id": scan.scan_id,
        "way": scan.way,
        "status": told.get("status"),
        **{("records" if name == "total" else name): told.get(f"records_{name}") for name in names},
        "seconds": None if ended is None else round(ended - scan.began, 2),
    }


class _Bars:
    """Live progress: `told` comes from the follower's thread, drawing is done by ours."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._tasks: dict[str | None, TaskID] = {}
        self._done: dict[tuple[str, str], int] = {}

    def told(self, change: Change) -> None:
        if change.status is not None:
            self._done[change.key] = accounted(change.status)

    def shown(self, rows: Sequence[tuple[str, str | None, int]]) -> Progress:
        """A bar for each (title, tenant or None for everybody new, records)."""
        self._done.clear()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            CountColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._tasks = {tenant: self._progress.add_task(title, total=total) for title, tenant, total in rows}
        return self._progress

    def draw(self) -> None:
        assert self._progress is not None
        done = dict(self._done)
        for tenant, task in self._tasks.items():
            count = sum(n for key, n in done.items() if tenant is None or key[0] == tenant)
            self._progress.update(task, completed=count)
