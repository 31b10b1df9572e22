"""After a bad deploy a lane stops before a whole topic goes to scan.dlq.v1, and goes on when somebody has looked."""

from typing import Any, Final

import pytest
from confluent_kafka import Consumer, TopicPartition

from infra.processes.services import Service
from infra.stack import Stack
from tests.commands import Commands, rows
from tests.helpers import (
    DEAD_LETTERS,
    Database,
    Publisher,
    StatusTopic,
    assert_accounted,
    assert_told,
    new_scan,
    wait_for,
)
from tests.load import LONG, metric, worker_log
from tests.murmur2 import partition_of
from trials import generator

RUN: Final = 20
SETTINGS: Final = {"SCANLINE_DEAD_LETTER_RUN": str(RUN), "SCANLINE_DEAD_LETTER_WINDOW": "200"}
GARBAGE: Final = b"{half a record"


def dead_letters_of(bootstrap: str) -> int:
    """Messages in the dead-letter topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "not-used", "log_level": 0})
    try:
        parts = consumer.list_topics(DEAD_LETTERS, timeout=30).topics[DEAD_LETTERS].partitions
        return sum(consumer.get_watermark_offsets(TopicPartition(DEAD_LETTERS, each), timeout=30)[1] for each in parts)
    finally:
        consumer.close()


def garbage(publisher: Publisher, tenant: str, scan: str, count: int) -> None:
    for _ in range(count):
        publisher.send(tenant, scan, "records", GARBAGE)


def tenants_of_one_partition(count: int) -> list[str]:
    """The first is `tenant-0`."""
    place = partition_of(b"tenant-0")
    names = (f"tenant-{number}" for number in range(10_000))
    return [name for name in names if partition_of(name.encode()) == place][:count]


def allow(stack: Stack, partition: int, count: int) -> dict[str, Any]:
    """As an operator does it."""
    (made,) = rows(Commands(stack.env)("dlq", "allow", "--partition", str(partition), "--count", str(count), "--json"))
    return made


def paused(worker: Service) -> float:
    return metric(worker, "scanline_stream_paused_lanes_count", reason="dead_letter_limit")


def test_a_lane_stops_and_goes_on_when_it_may(stack: Stack) -> None:
    """One sender, alone on its partition: what can be read before is stored, what cannot is held, what comes later waits."""
    worker = stack.start_worker(SETTINGS)
    lines, scan = generator.records(300, 1, "tenant-0"), new_scan()
    place = partition_of(b"tenant-0")
    with Publisher(stack.kafka.bootstrap) as publisher:
        publisher.records("tenant-0", scan, lines[:100])
        garbage(publisher, "tenant-0", scan, RUN - 1)
        publisher.records("tenant-0", scan, lines[100:200], first=100)
        garbage(publisher, "tenant-0", scan, 2 * RUN)
        publisher.records("tenant-0", scan, lines[200:], first=200)
        publisher.closed("tenant-0", scan, len(lines))
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        wait_for(lambda: paused(worker) == 1, "the lane stops", LONG)
        health = worker.health()
        assert not health["ok"] and health["paused_reasons"] == {str(place): "dead_letter_limit"}
        row = database.scan("tenant-0", scan)
        assert row is not None and row["records_stored"] == 200
        told = wait_for(
            lambda: (status := statuses.read()[f"tenant-0/{scan}"])["paused"] and status, "the scan is told to wait"
        )
        assert told["records_stored"] == 200 and told["version"] == row["version"]
        assert "người vận hành" in told["message"]["vi"] and "operator" in told["message"]["en"]
        before = dead_letters_of(stack.kafka.bootstrap)
        assert before < 2 * RUN - 1 + RUN  # not all
        made = allow(stack, place, RUN)  # not far enough
        assert made["before_offset"] - made["first_offset"] == RUN
        wait_for(lambda: dead_letters_of(stack.kafka.bootstrap) > before or paused(worker), "what may pass has passed")
        allow(stack, place, 1_000)
        row = database.finished("tenant-0", scan, LONG)
        assert (row["status"], row["records_stored"]) == ("completed_with_errors", 300)
        assert row["messages_unreadable"] == 3 * RUN - 1
        wait_for(worker.is_ready, "the worker is ready again")
        assert dead_letters_of(stack.kafka.bootstrap) == 3 * RUN - 1
        assert_accounted(database, "tenant-0", scan)
        assert_told(database, statuses, ["tenant-0"])
        assert not statuses.read()[f"tenant-0/{scan}"]["paused"]
        audit = database.rows("SELECT * FROM audit_log WHERE action = 'dead_letters_allowed' ORDER BY id")
        assert [row["details"]["partition"] for row in audit] == [place, place]
        assert all(row["message"]["vi"] and row["message"]["en"] and row["actor"] for row in audit)
    log = worker_log(worker)
    assert "quá nhiều thông điệp không đọc được" in log and "too many messages cannot be read" in log


@pytest.mark.long
def test_one_sender_cannot_stop_the_others_of_its_partition(stack: Stack) -> None:
    worker = stack.start_worker(SETTINGS)
    flood, other = tenants_of_one_partition(2)
    lines = generator.records(50, 2, other)
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        with Publisher(stack.kafka.bootstrap) as publisher:
            first = publisher.scan(other, lines)
        database.finished(other, first, LONG)
        with Publisher(stack.kafka.bootstrap) as publisher:
            garbage(publisher, flood, new_scan(), 20 * RUN)
            second = publisher.scan(other, lines)
        assert database.finished(other, second, LONG)["status"] == "completed"
        assert dead_letters_of(stack.kafka.bootstrap) == 20 * RUN
        assert metric(worker, "scanline_stream_dead_letter_limits_total") == 0
        assert_told(database, statuses, [flood, other])


@pytest.mark.long
def test_a_better_worker_goes_on_by_itself(stack: Stack) -> None:
    """Several senders at once: the fault is ours. A worker that can read the messages needs nobody's leave; here it is one
    whose limit is higher."""
    worker = stack.start_worker(SETTINGS)
    names = tenants_of_one_partition(4)
    scans = {name: new_scan() for name in names}
    with Publisher(stack.kafka.bootstrap) as publisher:
        for _ in range(RUN):
            for name, scan in scans.items():
                garbage(publisher, name, scan, 1)
    wait_for(lambda: paused(worker) == 1, "the lane stops", LONG)
    # Once the senders are known to share the partition the worst of them is left out: three in four messages count.
    assert RUN - 1 <= dead_letters_of(stack.kafka.bootstrap) <= RUN * 4 // 3
    assert worker.stop() == 0
    worker = stack.start_worker({"SCANLINE_DEAD_LETTER_RUN": "1000"})
    wait_for(lambda: dead_letters_of(stack.kafka.bootstrap) == RUN * len(names), "all are put aside", LONG)
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        for name, scan in scans.items():
            row = database.scan(name, scan)
            assert row is not None and row["messages_unreadable"] == RUN
        assert_told(database, statuses, names)
