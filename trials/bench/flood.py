"""Measures what a tenant that floods does to others: one scan after the other, from its submission to the answer that
it is completed."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Final, NamedTuple

import psycopg2

from infra.errors import InfraError
from infra.stack import Stack
from trials import generator
from trials.bench import machine
from trials.bench.direct import Backlog
from trials.bench.http import Answer, Call, submit_all
from trials.bench.results import Result
from trials.bench.row_watcher import clear, differences

_WAIT: Final = (("Prefer", "wait=30"),)
_SIZE: Final = 1_000  # records of a victim's scan
_PATIENCE: Final = 120.0  # seconds until a flood must have been written


class FloodSizes(NamedTuple):
    """The sizes of a flood."""

    scans: int = 44  # quiet, and beside a flood on another partition
    elsewhere: int = 500_000  # single records of that flood
    own: int = 100_000  # of each flood on the victim's own partition
    own_scans: int = 10


class Flood:
    """Floods a stack with an API and workers that run. A flood is single records of one tenant in one Kafka
    transaction: all there at once, as if published by another machine."""

    def __init__(self, stack: Stack, tenants: Sequence[str], sizes: FloodSizes) -> None:
        """Raises InfraError where the tenants do not lie as they must: two on a partition, others elsewhere."""
        self._stack = stack
        self._dsn = stack.postgres.superuser_dsn()
        self._sizes = sizes
        places = self._places(tenants)
        together = max(places.values(), key=len)
        if len(together) < 2 or len(places) < 2:
            raise InfraError.of("bench_flood_tenants")
        self._flooder, self._neighbour = together[:2]
        self._others = [names[0] for names in places.values() if names is not together]

    def quiet(self) -> Result:
        """Victims on every other partition in turn, and nothing else."""
        victims = self._others * (self._sizes.scans // len(self._others))
        return self._measured("flood-quiet", lambda: ([self._scan(victim) for victim in victims], {}), "nobody floods")

    def elsewhere(self) -> Result:
        """The same while the flooder's partition is worked off, for as long as that takes."""
        return self._measured(
            "flood-elsewhere", self._beside_a_flood, f"beside {self._sizes.elsewhere:,} records on another partition"
        )

    def own(self) -> Result:
        """A victim on the flooder's own partition: each scan comes behind a flood of its own."""
        return self._measured("flood-own", self._behind_floods, f"each behind {self._sizes.own:,} on its own partition")

    def _beside_a_flood(self) -> tuple[list[Answer], dict[str, int]]:
        flood = Backlog([self._flooder], self._sizes.elsewhere, 0)
        flood.publish_hidden(self._stack.kafka.bootstrap)()
        answers: list[Answer] = []
        sent = flood.sent
        while len(answers) < self._sizes.scans:
            answer = self._scan(self._others[len(answers) % len(self._others)])
            if self._completed(flood):
                sent[answer.scan_id] = _SIZE  # it may have had the machine for itself, and does not count
                break
            answers.append(answer)
        return answers, sent

    def _behind_floods(self) -> tuple[list[Answer], dict[str, int]]:
        answers: list[Answer] = []
        sent: dict[str, int] = {}
        for seed in range(self._sizes.own_scans):
            flood = Backlog([self._flooder], self._sizes.own, seed)
            flood.publish_hidden(self._stack.kafka.bootstrap)()
            answers.append(self._scan(self._neighbour))
            sent |= flood.sent
        return answers, sent

    def _scan(self, tenant: str) -> Answer:
        body = generator.body(generator.records(_SIZE, 1, tenant))
        return self._submit([Call(tenant, body, headers=_WAIT)])[0]

    def _submit(self, calls: Sequence[Call]) -> list[Answer]:
        return submit_all([service.base_url for service in self._stack.apis], calls)

    def _measured(self, case: str, run: Callable[[], tuple[list[Answer], dict[str, int]]], note: str) -> Result:
        before = machine.cpu_seconds(self._stack)
        answers, floods = run()
        cpu = machine.since(before, machine.cpu_seconds(self._stack))
        problems = [f"{answer.tenant}: {answer.status} {answer.document}" for answer in answers if answer.status != 200]
        if not answers:
            problems.append("the flood was over before the first scan was")
        sent = floods | {answer.scan_id: _SIZE for answer in answers}
        problems += differences(self._dsn, sent, wait_seconds=_PATIENCE)
        clear(self._dsn)
        seconds = sum(answer.seconds for answer in answers)
        records = _SIZE * len(answers)
        return Result(
            case, records, records / seconds if seconds else 0.0, seconds,
            [answer.seconds for answer in answers], cpu, problems, f"{len(answers)} scans, {note}",
        )  # fmt: skip

    def _places(self, tenants: Sequence[str]) -> Mapping[int, list[str]]:
        """Partition -> its tenants, as a scan of each shows them."""
        answers = self._submit(
            [Call(tenant, generator.body(generator.records(1, 1, tenant)), headers=_WAIT) for tenant in tenants]
        )
        if failed := [answer for answer in answers if answer.status != 200]:
            raise InfraError.of("bench_scan_not_completed", document=failed[0].document)
        places: dict[int, list[str]] = defaultdict(list)
        with closing(psycopg2.connect(self._dsn)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT kafka_partition, tenant_id FROM scans ORDER BY 1, 2")
            for partition, tenant in cursor.fetchall():
                places[partition].append(tenant)
        clear(self._dsn)
        return places

    def _completed(self, flood: Backlog) -> bool:
        with closing(psycopg2.connect(self._dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM scans WHERE scan_id::text = ANY(%s) AND status = 'completed'", (list(flood.sent),)
            )
            return bool(cursor.fetchone() == (len(flood.sent),))
