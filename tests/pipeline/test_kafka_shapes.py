"""What Kafka can look like: transactions, compression, holes, partitioners, several workers."""

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from infra.processes.services import Service
from tests.helpers import (
    PATIENCE,
    RECORDS,
    Database,
    Publisher,
    StatusTopic,
    array,
    assert_accounted,
    assert_told,
    new_scan,
    wait_for,
)
from tests.murmur2 import murmur2, partition_of
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")

GROUP: Final = "inventory"
KEYS: Final = [
    "", "a", "ab", "abc", "abcd", "abcde", "tenant-a", "công-ty-sao-mai", "Nguyễn Văn Đức", "hòa", "hoà", "ĐỒNG THÁP",
    "bệnh viện đa khoa tỉnh Bà Rịa – Vũng Tàu", "e\u0301", "é", "😀", "\x7f\x80ÿ", "x" * 300,
]  # fmt: skip


@pytest.fixture(autouse=True)
def told_at_the_end(database: Database, statuses: StatusTopic, tenant: str) -> Iterator[None]:
    yield
    assert_told(database, statuses, [tenant])


class Transactions:
    """A publisher that writes in Kafka transactions."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "transactional.id": name, "partitioner": "murmur2_random", "linger.ms": 0}
        )
        self._producer.init_transactions(PATIENCE)

    def write(self, tenant: str, scan: str, messages: list[tuple[str, bytes]], *, commit: bool) -> None:
        """(kind, value) each, flushed to the broker before the transaction ends either way."""
        self._producer.begin_transaction()
        for kind, value in messages:
            headers = [("ce_type", f"vn.scanline.scan.{kind}.v1".encode()), ("ce_subject", scan.encode())]
            self._producer.produce(RECORDS, value, tenant.encode(), headers=headers)
        assert not self._producer.flush(PATIENCE)
        if commit:
            self._producer.commit_transaction(PATIENCE)
        else:
            self._producer.abort_transaction(PATIENCE)


def keys_of(lines: list[bytes]) -> list[str]:
    return sorted(json.loads(line)["activity_key"] for line in lines)


def test_an_aborted_transaction_was_never_sent(servers: Servers, database: Database, tenant: str) -> None:
    kept, dropped = generator.records(40, 40, tenant), generator.records(40, 41, tenant)
    scan = new_scan()
    transactions = Transactions(servers.bootstrap, tenant)
    for at in range(0, 40, 10):
        transactions.write(tenant, scan, [("records", line) for line in dropped[at : at + 10]], commit=False)
        transactions.write(tenant, scan, [("records", array(kept[at : at + 10]))], commit=True)
    transactions.write(tenant, scan, [("cancelled", b"")], commit=False)
    transactions.write(tenant, scan, [("closed", b'{"records_total":40}')], commit=True)
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["messages_unreadable"]) == ("completed", 40, 0)
    assert database.keys(tenant, scan) == keys_of(kept)
    assert_accounted(database, tenant, scan)


def test_a_lane_goes_on_after_holes(servers: Servers, database: Database, worker: Service, tenant: str) -> None:
    """Aborted transactions leave offsets that nobody can read, at the end of one slice and at the start of the next."""
    lines = generator.records(60, 42, tenant)
    transactions = Transactions(servers.bootstrap, tenant)
    partition = partition_of(tenant.encode())
    scans = []
    for at in range(0, 60, 20):
        with Publisher(servers.bootstrap) as publisher:
            scans.append(publisher.scan(tenant, lines[at : at + 20]))
        database.finished(tenant, scans[-1])  # the lane is drained: what follows is a slice of its own
        for _ in range(3):
            transactions.write(tenant, new_scan(), [("records", lines[0])] * 5, commit=False)
    with Publisher(servers.bootstrap) as publisher:
        scans.append(publisher.scan(tenant, lines))
    for scan, count in zip(scans, (20, 20, 20, 60), strict=True):
        row = database.finished(tenant, scan)
        assert (row["status"], row["records_stored"], row["records_duplicate"]) == ("completed", count, 0)
    assert database.value("SELECT count(*) FROM scans WHERE tenant_id = %s", tenant) == 4
    stored = "SELECT next_offset FROM stream_offsets WHERE pipeline = %s AND partition = %s"
    assert database.value(stored, GROUP, partition) == ends_of(servers)[partition]
    assert worker.is_ready()


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_compression(codec: str, servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(3_000, 43, tenant)
    with Publisher(servers.bootstrap, **{"compression.type": codec, "linger.ms": 50}) as publisher:
        scan = new_scan()
        publisher.singles(tenant, scan, lines[:1_000])
        publisher.records(tenant, scan, lines[1_000:], at_once=500)
        publisher.closed(tenant, scan, len(lines))
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"]) == ("completed", 3_000)
    assert database.keys(tenant, scan) == keys_of(lines)
    assert_accounted(database, tenant, scan)


def ends_of(servers: Servers) -> dict[int, int]:
    with_consumer = Consumer({"bootstrap.servers": servers.bootstrap, "group.id": "not-used", "log_level": 0})
    try:
        places = with_consumer.list_topics(RECORDS, timeout=30).topics[RECORDS].partitions
        return {
            number: with_consumer.get_watermark_offsets(TopicPartition(RECORDS, number), timeout=30)[1]
            for number in places
        }
    finally:
        with_consumer.close()


def lags_of(servers: Servers) -> dict[int, int]:
    """As a lag monitor works them out: the partition's end less what the group has committed."""
    ends = ends_of(servers)
    consumer = Consumer({"bootstrap.servers": servers.bootstrap, "group.id": GROUP, "enable.auto.commit": False})
    try:
        committed = consumer.committed([TopicPartition(RECORDS, number) for number in ends], timeout=30)
    finally:
        consumer.close()
    return {place.partition: ends[place.partition] - place.offset for place in committed}


@pytest.mark.parametrize("last", ["a message", "a committed transaction", "an aborted transaction"])
def test_lag_monitors_see_the_end_reached(
    last: str, servers: Servers, database: Database, worker: Service, tenant: str
) -> None:
    lines = generator.records(20, 44, tenant)
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, lines)
    database.finished(tenant, scan)
    if last != "a message":
        records = [("records", line) for line in lines]
        transactions = Transactions(servers.bootstrap, tenant)
        transactions.write(tenant, new_scan(), records, commit=last == "a committed transaction")
    assert len(lags_of(servers)) == 12
    wait_for(lambda: not any(lags_of(servers).values()), "the group's lag is 0 everywhere")
    wait_for(lambda: set(metric_of(worker, "scanline_stream_lag_messages").values()) == {0.0}, "and the worker's own")


@pytest.fixture(scope="module")
def scratch(servers: Servers) -> str:
    """A topic of twelve partitions that nobody reads."""
    admin = AdminClient({"bootstrap.servers": servers.bootstrap})
    admin.create_topics([NewTopic("test.partitioners", 12, 1)])["test.partitioners"].result(30)
    return "test.partitioners"


def delivered(servers: Servers, topic: str, keys: list[bytes]) -> dict[bytes, int]:
    """The partition that confluent-kafka puts each key in."""
    found: dict[bytes, int] = {}

    def on_delivery(error: Any, message: Any) -> None:
        assert error is None, error
        found[message.key()] = message.partition()

    producer = Producer({"bootstrap.servers": servers.bootstrap, "partitioner": "murmur2_random"})
    for key in keys:
        producer.produce(topic, b"", key, on_delivery=on_delivery)
    assert not producer.flush(PATIENCE)
    return found


def test_murmur2_is_the_java_clients() -> None:
    """Values of Kafka's own tests (clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java)."""
    known = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert {key: murmur2(key) for key in known} == {key: value & 0xFFFFFFFF for key, value in known.items()}


def test_confluents_partitions_are_the_java_clients(servers: Servers, scratch: str) -> None:
    keys = [key.encode() for key in KEYS] + [f"tổ-chức-{number}".encode() for number in range(200)]
    assert delivered(servers, scratch, keys) == {key: partition_of(key) for key in keys}


def test_http_and_a_direct_publisher_meet_in_one_partition(
    servers: Servers, database: Database, http: httpx.Client, tenant: str
) -> None:
    for number in range(12):
        name = f"{tenant[:40]}.cong-ty_{number}"
        body = generator.body(generator.records(2, 45, name))
        answer = http.post(f"/v1/tenants/{name}/scans", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 202, answer.text
        by_http = database.finished(name, answer.json()["scan_id"])
        with Publisher(servers.bootstrap) as publisher:
            scan = publisher.scan(name, generator.records(2, 46, name))
        by_hand = database.finished(name, scan)
        assert by_http["kafka_partition"] == by_hand["kafka_partition"] == partition_of(name.encode())


def test_several_workers_share_the_partitions(
    servers: Servers, database: Database, statuses: StatusTopic, worker: Service, tenant: str
) -> None:
    tenants = [f"{tenant}-{number:02}" for number in range(24)]
    assert len({partition_of(name.encode()) for name in tenants}) > 6
    others = [servers.start_worker(), servers.start_worker()]
    try:
        workers = [worker, *others]
        wait_for(lambda: sorted(map(lanes_of, workers)) == [4, 4, 4], "four partitions each")
        # of a partition that was given away, the others tell
        wait_for(
            lambda: len(metric_of(worker, "scanline_stream_lag_messages")) == 4, "lags of its own partitions alone"
        )
        with Publisher(servers.bootstrap) as publisher:
            scans = {name: publisher.scan(name, generator.records(500, 47, name), at_once=50) for name in tenants}
        for name, scan in scans.items():
            row = database.finished(name, scan)
            assert (row["status"], row["records_stored"], row["records_duplicate"]) == ("completed", 500, 0)
        actors = {row["actor"] for name in tenants for row in database.audit(name)}
        assert len(actors) == 3
    finally:
        for other in others:
            assert other.stop() == 0
    wait_for(lambda: lanes_of(worker) == 12, "all partitions come back")
    with Publisher(servers.bootstrap) as publisher:
        scans = {name: publisher.scan(name, generator.records(50, 48, name)) for name in tenants}
    for name, scan in scans.items():
        assert database.finished(name, scan)["records_stored"] == 50
    assert_told(database, statuses, tenants)


def metric_of(worker: Service, name: str) -> dict[str, float]:
    """By its labels."""
    lines = httpx.get(worker.metrics_url, timeout=10).text.splitlines()
    samples = (line.removeprefix(name).rsplit(" ", 1) for line in lines if line.startswith((f"{name} ", f"{name}{{")))
    return {labels: float(value) for labels, value in samples}


def lanes_of(worker: Service) -> int:
    (count,) = metric_of(worker, "scanline_stream_lanes_count").values()
    return int(count)
