"""A load that goes on while tests break things, and the comparison of what was published with what is in the database."""

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import httpx
from confluent_kafka import Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import RECORDS, Database, Publisher, StatusTopic, assert_accounted, assert_told, new_scan, wait_for
from trials import generator
from trials.chaos.rig import Rig

Scan = tuple[str, str]  # tenant, scan
Published = Mapping[Scan, Sequence[str]]  # and its activity_keys
LONG: Final = 180.0  # seconds until what was broken must have recovered
_DIGEST: Final = """
SELECT tenant_id, scan_id::text AS scan_id, count(*) AS records,
       encode(sha256(convert_to(string_agg(activity_key, E'\\n' ORDER BY activity_key COLLATE "C"), 'UTF8')), 'hex') AS keys
FROM processing_activities GROUP BY 1, 2
"""


class Load:
    """Scans of several tenants, round after round until the block ends: half of each in numbered arrays, half in single
    records. A context manager; at its end everything published is acknowledged."""

    def __init__(self, bootstrap: str, *, tenants: int = 8, records: int = 40, pause: float = 0.4) -> None:
        """A round is one scan of `records` for each tenant, then `pause` seconds: as few as show what is shown, since every
        test that breaks things has a load all the while."""
        self._tenants = [f"tenant-{number:02}" for number in range(tenants)]
        self._records = records
        self._pause = pause
        # a broker may be away for a while: librdkafka goes on trying
        patient = {"message.timeout.ms": 300_000, "reconnect.backoff.max.ms": 500, "log_level": 0}
        self._publisher = Publisher(bootstrap, **patient)
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load")
        self.published: dict[Scan, Sequence[str]] = {}

    def _run(self) -> None:
        try:
            number = 0
            while not self._stopping.is_set():
                number += 1
                self._round(number)
                self._stopping.wait(self._pause)
        except BaseException as error:
            self._error = error

    def _round(self, number: int) -> None:
        scans = {tenant: new_scan() for tenant in self._tenants}
        lines = {tenant: generator.records(self._records, number, tenant) for tenant in self._tenants}
        half = self._records // 2
        for tenant, scan in scans.items():
            self.published[tenant, scan] = keys_of(lines[tenant])
            self._publisher.records(tenant, scan, lines[tenant][:half], at_once=10)
        for tenant, scan in scans.items():
            self._publisher.singles(tenant, scan, lines[tenant][half:])
            self._publisher.closed(tenant, scan, self._records)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if kind is None:
            assert self._error is None, self._error
            self._publisher.flush()


def keys_of(lines: Iterable[bytes]) -> list[str]:
    return [json.loads(line)["activity_key"] for line in lines]


@contextmanager
def looking_at(stack: Stack | Rig) -> Iterator[tuple[Database, StatusTopic]]:
    """What the servers hold in the end."""
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        yield database, statuses


def assert_exactly(stack: Stack | Rig, published: Published) -> None:
    """Every published scan is completed and holds exactly its records; nothing else is there; nobody was told otherwise."""
    assert published
    with looking_at(stack) as (database, statuses):
        wait_for(lambda: not unfinished(database, published), f"{len(published)} scans end", LONG)
        for (tenant, scan), keys in published.items():
            row = database.scan(tenant, scan)
            assert row is not None
            counts = [row[f"records_{name}"] for name in ("total", "stored", "rejected", "duplicate")]
            assert (row["status"], counts) == ("completed", [len(keys), len(keys), 0, 0]), (tenant, scan, counts)
        assert_same_keys(database, published)
        for tenant, scan in published:
            assert_accounted(database, tenant, scan)
        tenants = sorted({tenant for tenant, _ in published})
        assert_told(database, statuses, tenants, 90)
        assert set(statuses.read()) == {f"{tenant}/{scan}" for tenant, scan in published}


def unfinished(database: Database, published: Published) -> set[Scan]:
    """Published scans that are not completed."""
    rows = database.rows("SELECT tenant_id, scan_id::text AS scan_id FROM scans WHERE status = 'completed'")
    return set(published) - {(row["tenant_id"], row["scan_id"]) for row in rows}


def assert_same_keys(database: Database, published: Published) -> None:
    """processing_activities holds the published records and no others."""
    wanted = {scan: (len(keys), digest(keys)) for scan, keys in published.items()}
    found = {(row["tenant_id"], row["scan_id"]): (row["records"], row["keys"]) for row in database.rows(_DIGEST)}
    for tenant, scan in sorted(scan for scan in wanted.keys() | found.keys() if wanted.get(scan) != found.get(scan)):
        assert database.keys(tenant, scan) == sorted(published.get((tenant, scan), ())), (tenant, scan)
    assert found == wanted


def digest(keys: Iterable[str]) -> str:
    """Of a set of keys, whatever their order; as _DIGEST works it out."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()


def offsets(database: Database) -> int:
    """Messages that the database has taken, over all partitions."""
    return int(database.value("SELECT coalesce(sum(next_offset), 0) FROM stream_offsets"))


def group_offset(stack: Stack, partition: int) -> int:
    """What the workers' group has committed; below 0: nothing."""
    consumer = Consumer({"bootstrap.servers": stack.kafka.bootstrap, "group.id": "inventory", "log_level": 0})
    try:
        return int(consumer.committed([TopicPartition(RECORDS, partition)], timeout=30)[0].offset)
    finally:
        consumer.close()


def wait_for_messages(database: Database, count: int) -> None:
    """Until so many more messages have been written."""
    start = offsets(database)
    wait_for(lambda: offsets(database) >= start + count, f"{count} more messages after {start}", LONG)


def metric(service: Service, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    text = httpx.get(service.metrics_url, timeout=30).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def lanes(service: Service) -> int:
    """Partitions the worker owns."""
    return int(metric(service, "scanline_stream_lanes_count"))


def wait_for_lanes(service: Service, look: Any, what: str, seconds: float = 60) -> None:
    """Until look(number of lanes) holds."""
    wait_for(lambda: look(lanes(service)), f"{service.name} has {what} lanes", seconds)


def worker_log(service: Service) -> str:
    """Everything it wrote."""
    return service.log_file.read_text(errors="replace")


def hold(seconds: float) -> None:
    """For outages whose length is the point."""
    time.sleep(seconds)
