"""Measures what callers wait for their reads while workers write as fast as they can."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from infra.errors import InfraError
from infra.stack import Stack
from trials import generator
from trials.bench import machine
from trials.bench.direct import Backlog
from trials.bench.http import Answer, Call, call_one, percentile, submit_all
from trials.bench.results import Result
from trials.bench.row_watcher import Watch, clear, differences

_SILENCE: Final = 30.0
_REJECTED: Final = 200  # records of the scan whose errors are read
_PACE: Final = 0.01  # seconds between two reads, whether or not the one before was answered
_WAIT: Final = (("Prefer", "wait=30"),)


class Reads(NamedTuple):
    """Answers by what was read."""

    answers: dict[str, list[Answer]]

    def note(self) -> str:
        """The 99th percentile of each kind."""
        parts = [
            f"{name} {percentile([each.seconds for each in found], 0.99) * 1000:.0f}"
            for name, found in self.answers.items()
            if found
        ]
        return f"p99 ms: {', '.join(parts)}"


def read_while(base_urls: Sequence[str], calls: dict[str, Call], going: Callable[[], bool]) -> Reads:
    """Makes the calls in turn at a steady pace, each on a connection of its own, for as long as `going` says so."""
    return asyncio.run(_read_while(base_urls, calls, going))


async def _read_while(base_urls: Sequence[str], calls: dict[str, Call], going: Callable[[], bool]) -> Reads:
    begun = time.perf_counter()
    tasks: dict[str, list[asyncio.Task[Answer]]] = {name: [] for name in calls}
    for number, (name, call) in enumerate(itertools.cycle(calls.items())):
        await asyncio.sleep(max(0.0, begun + number * _PACE - time.perf_counter()))
        if not going():
            break
        tasks[name].append(asyncio.create_task(call_one(base_urls[number % len(base_urls)], call)))
    return Reads({name: list(await asyncio.gather(*each)) for name, each in tasks.items()})


class ReadsWhileWriting:
    """The case: status, list, rejected records and processing activities, read a hundred times a second beside a backlog of
    single records that is there all at once."""

    def __init__(self, stack: Stack, tenants: Sequence[str], records: int, ready: Callable[[], object]) -> None:
        """The backlog is `records` single records for each tenant; `ready` starts workers where none run."""
        self._stack = stack
        self._dsn = stack.postgres.superuser_dsn()
        self._tenants = tenants
        self._records = records
        self._ready = ready

    def __call__(self) -> Result:
        self._ready()
        urls = [service.base_url for service in self._stack.apis]
        calls = self._calls(urls)
        backlog = Backlog(self._tenants, self._records, 78)
        show = backlog.publish_hidden(self._stack.kafka.bootstrap)
        before = machine.cpu_seconds(self._stack)
        with Watch(self._dsn, backlog.total) as watch:
            began = time.perf_counter()
            show()
            reads = read_while(urls, calls, lambda: watch.stored < backlog.total and not watch.silent(_SILENCE))
        cpu = machine.since(before, machine.cpu_seconds(self._stack))
        last = watch.last()
        seconds = (last.at if last else time.perf_counter()) - began
        problems = differences(self._dsn, backlog.sent)
        clear(self._dsn)
        answers = [each for found in reads.answers.values() for each in found]
        problems += [f"{each.status} {each.document}" for each in answers if each.status != 200]
        latencies = [each.seconds for each in answers]
        note = f"{len(answers):,} reads, {reads.note()}; one every {_PACE} s"
        return Result(
            "reads-while-writing", backlog.total, watch.stored / seconds, seconds, latencies, cpu, problems, note
        )

    def _calls(self, urls: Sequence[str]) -> dict[str, Call]:
        """By what they read: a scan with nothing but rejected records, and what the first tenant has."""
        tenant = self._tenants[0]
        lines = [
            line.replace(b'"legal_basis":"', b'"legal_basis":"x') for line in generator.records(_REJECTED, 1, tenant)
        ]
        [answer] = submit_all(urls, [Call(tenant, generator.body(lines), headers=_WAIT)])
        if answer.document.get("records_rejected") != _REJECTED:
            raise InfraError.of("bench_scan_not_completed", document=answer.document)
        scan = f"/scans/{answer.scan_id}"
        paths = {"status": scan, "list": "/scans", "errors": f"{scan}/errors", "activities": "/processing-activities"}
        return {name: Call(tenant, path=path, method="GET") for name, path in paths.items()}
