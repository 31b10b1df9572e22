"""Offsets that compaction took away for good: a lane looks for them once, and goes on."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import ResourceType

from infra.stack import Stack
from tests.broker_settings import COMPACTED, configure
from tests.helpers import RECORDS, Database, Publisher, StatusTopic, assert_accounted, assert_told, new_scan, wait_for
from trials import generator

pytestmark = pytest.mark.long

ROUNDS: Final = 4


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path / "compaction", partitions=1) as stack:
        stack.start_servers()
        yield stack


def left(own: Stack) -> list[int]:
    """The offsets that a stranger can still read."""
    settings = {"bootstrap.servers": own.kafka.bootstrap, "group.id": "not-used", "enable.auto.commit": False}
    consumer = Consumer({**settings, "enable.partition.eof": True})
    consumer.assign([TopicPartition(RECORDS, 0, 0)])
    found: list[int] = []
    try:
        while (message := consumer.poll(30)) is not None and message.error() is None:
            found.append(message.offset())
        assert message is not None  # the partition's end
    finally:
        consumer.close()
    return found


def test_a_lane_reads_past_what_compaction_took(own: Stack, tenant: str) -> None:
    configure(own.kafka.bootstrap, ResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "100"})
    configure(own.kafka.bootstrap, ResourceType.TOPIC, RECORDS, COMPACTED)
    scans = {f"{tenant}-{number}": new_scan() for number in range(ROUNDS + 1)}
    for name, scan in scans.items():
        time.sleep(0.2)  # longer than segment.ms: each of these begins a segment
        with Publisher(own.kafka.bootstrap) as publisher:
            # of each key only the last message stays
            publisher.records(name, new_scan(), generator.records(50, 60, name), at_once=5)
            publisher.records(name, scan, generator.records(20, 61, name))
    lasts = [11 * number + 10 for number in range(ROUNDS)]
    active = range(11 * ROUNDS, 11 * ROUNDS + 11)
    wait_for(lambda: left(own) == [*lasts, *active], "compaction of all segments but the last")
    assert_all_that_is_left_is_stored(own, scans)


def assert_all_that_is_left_is_stored(own: Stack, scans: dict[str, str]) -> None:
    worker = own.start_worker()
    after = f"{next(iter(scans))}-after"
    with Database(own.postgres.superuser_dsn()) as database, StatusTopic(own.kafka.bootstrap) as statuses:
        with Publisher(own.kafka.bootstrap) as publisher:
            live = publisher.scan(after, generator.records(30, 62, after))
        row = database.finished(after, live)
        assert (row["status"], row["records_stored"]) == ("completed", 30)
        for name, scan in scans.items():
            found = database.scan(name, scan)
            assert found is not None and found["records_stored"] == 20
            assert_accounted(database, name, scan)
        assert database.value("SELECT next_offset FROM stream_offsets") == left(own)[-1] + 1
        # besides these only the scan whose segment was never compacted
        assert database.value("SELECT count(*) FROM scans") == len(scans) + 2
        assert_told(database, statuses, [*scans, after])
    assert worker.is_ready()
