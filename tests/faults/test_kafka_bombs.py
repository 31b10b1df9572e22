"""Compressed batches that the broker takes, and that unpack to far more than it would: they cost neither the worker nor a lane."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from infra.stack import Stack
from tests.commands import environment
from tests.helpers import (
    DEAD_LETTERS,
    Database,
    Publisher,
    StatusTopic,
    assert_accounted,
    assert_told,
    headers_of,
    new_scan,
    peak_in,
    peak_memory,
    wait_for,
)
from tests.load import keys_of, metric
from tests.own import views_of_own
from tests.stock_servers import copied_stack
from trials import generator

MIB: Final = 1024 * 1024
BOUND: Final = 400 * MIB
PARTITIONS: Final = 2
KEPT: Final = 20 * MIB  # the most that snappy makes of a megabyte
LARGE: Final = 40 * MIB
HUGE: Final = 140 * MIB
GOOD: Final = generator.records(60, 7)


def blank(size: int) -> bytes:
    """An array of nothing, as large as that."""
    return b"[" + b" " * (size - 2) + b"]"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, stock_dir: Path) -> Iterator[Stack]:
    with copied_stack(tmp_path_factory.mktemp("bombs"), stock_dir, partitions=PARTITIONS) as stack:
        stack.start_worker()
        yield stack


database, statuses = views_of_own()


class Letters:
    """Those of all tenants or of one, read anew each time."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "not-used", "log_level": 0})
        partitions = self._consumer.list_topics(DEAD_LETTERS, timeout=30).topics[DEAD_LETTERS].partitions
        self._consumer.assign([TopicPartition(DEAD_LETTERS, number, 0) for number in partitions])
        self._seen: list[Message] = []

    def all(self) -> list[Message]:
        while (message := self._consumer.poll(0.1)) is not None:
            assert message.error() is None, message.error()
            self._seen.append(message)
        return self._seen

    def of(self, tenant: str) -> list[Message]:
        return [message for message in self.all() if message.key() == tenant.encode()]

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture(scope="module")
def letters(own: Stack) -> Iterator[Letters]:
    opened = Letters(own.kafka.bootstrap)
    yield opened
    opened.close()


def bomber(own: Stack, codec: str) -> Publisher:
    """Its batches are as large as they like until they are compressed."""
    settings: dict[str, Any] = {"compression.type": codec, "linger.ms": 200, "message.max.bytes": 1_000_000_000}
    return Publisher(own.kafka.bootstrap, **settings, **{"batch.size": 1_000_000_000})


def assert_well(own: Stack) -> None:
    (worker,) = own.workers
    assert worker.is_ready()
    assert peak_memory(worker.pid) < BOUND
    assert metric(worker, "scanline_stream_stalls_total") == 0


@pytest.mark.parametrize("codec", ["snappy", "zstd"])
def test_what_can_be_kept_is_kept_as_it_came(
    codec: str, own: Stack, database: Database, statuses: StatusTopic, letters: Letters, tenant: str
) -> None:
    scan, value = new_scan(), blank(KEPT)
    with bomber(own, codec) as publisher:
        publisher.send(tenant, scan, "records", value)
        publisher.records(tenant, scan, GOOD)
        publisher.closed(tenant, scan, len(GOOD))
    row = database.finished(tenant, scan)
    assert (row["records_stored"], row["messages_unreadable"]) == (len(GOOD), 1)
    (letter,) = wait_for(lambda: letters.of(tenant), "the letter is there")
    assert letter.value() == value
    assert "scanline_not_kept_bytes" not in headers_of(letter)
    assert_told(database, statuses, [tenant])
    assert_well(own)


def test_many_at_once_are_kept_as_far_as_there_is_room(
    own: Stack, database: Database, statuses: StatusTopic, letters: Letters, tenant: str
) -> None:
    scan, value, count = new_scan(), blank(KEPT), 12
    headers = [("ce_type", b"vn.scanline.scan.records.v1"), ("ce_subject", scan.encode())]
    with bomber(own, "zstd") as publisher:
        for number in range(count):
            publisher.raw(tenant.encode(), value, headers, number % PARTITIONS)
        publisher.records(tenant, scan, GOOD)
        publisher.closed(tenant, scan, len(GOOD))
    row = database.finished(tenant, scan)
    assert row["records_stored"] == len(GOOD)
    found = wait_for(lambda: len(all_of := letters.of(tenant)) == count and all_of, "every letter")
    assert {letter.value() for letter in found} <= {value, None}
    assert all((letter.value() is None) == ("scanline_not_kept_bytes" in headers_of(letter)) for letter in found)
    wait_for(lambda: (now := database.scan(tenant, scan)) and now["messages_unreadable"] == count and now, "told")
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])
    assert_well(own)


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_only_the_message_that_is_too_large_is_left_out(
    codec: str, own: Stack, database: Database, statuses: StatusTopic, letters: Letters, tenant: str
) -> None:
    """It stands between others, in one batch with them."""
    scan, mark = new_scan(), [("mark", b"1"), ("nothing", None)]
    with bomber(own, codec) as publisher:
        publisher.records(tenant, scan, GOOD[:30], at_once=10)
        publisher.send(tenant, scan, "records", blank(LARGE), first=30, headers=mark)
        publisher.records(tenant, scan, GOOD[30:], at_once=10, first=31)
        publisher.closed(tenant, scan, len(GOOD))
    row = database.finished(tenant, scan)
    assert (row["records_stored"], row["messages_unreadable"]) == (len(GOOD), 1)
    assert database.keys(tenant, scan) == keys_of(GOOD)
    (letter,) = wait_for(lambda: letters.of(tenant), "the letter is there")
    told = headers_of(letter)
    assert letter.value() is None
    assert (told["scanline_reason"], told["ce_subject"], told["mark"]) == (b"message_too_large", scan.encode(), b"1")
    assert LARGE <= int(told["scanline_not_kept_bytes"]) < LARGE + 1000
    assert told["scanline_last_offset"] == told["scanline_offset"]
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])
    assert_well(own)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_batch_beyond_all_bounds_is_left_out(
    codec: str, own: Stack, database: Database, statuses: StatusTopic, letters: Letters, tenant: str
) -> None:
    """In every partition at once. What came before it and what comes behind it is read."""
    scan = new_scan()
    headers = [("ce_type", b"vn.scanline.scan.records.v1"), ("ce_subject", scan.encode())]
    with bomber(own, codec) as publisher:
        publisher.records(tenant, scan, GOOD[:30])
        publisher.flush()
        for partition in range(PARTITIONS):
            publisher.raw(tenant.encode(), blank(HUGE), headers, partition)
            publisher.flush()
        publisher.records(tenant, scan, GOOD[30:], first=30)
        publisher.closed(tenant, scan, len(GOOD))
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"]) == ("completed", len(GOOD))
    assert database.keys(tenant, scan) == keys_of(GOOD)
    found = wait_for(lambda: len(all_of := letters.of(tenant)) >= PARTITIONS and all_of, "a letter of each")
    told = [headers_of(letter) for letter in found]
    assert {each["scanline_partition"] for each in told} == {b"%d" % number for number in range(PARTITIONS)}
    assert {each["scanline_reason"] for each in told} == {b"batch_unreadable"}
    assert {letter.value() for letter in found} == {None}
    assert all(MIB < int(each["scanline_not_kept_bytes"]) < HUGE for each in told)
    assert len(told) == PARTITIONS
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])
    assert_well(own)


def test_large_batches_of_good_records_are_read_to_the_last(
    own: Stack, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    """Some clients gather far more than a megabyte where it compresses well."""
    lines = generator.records(6_000, 8, tenant)
    with bomber(own, "zstd") as publisher:
        scan = publisher.scan(tenant, lines, at_once=500)
    singles = new_scan()
    with bomber(own, "gzip") as publisher:
        publisher.singles(tenant, singles, lines)
        publisher.closed(tenant, singles, len(lines))
    for each in (scan, singles):
        row = database.finished(tenant, each)
        assert (row["status"], row["records_stored"]) == ("completed", len(lines))
        assert database.keys(tenant, each) == keys_of(lines)
    assert_told(database, statuses, [tenant])
    assert_well(own)


WATCHED: Final = """
import atexit, sys
from pathlib import Path
from cli import main
atexit.register(lambda: print(Path("/proc/self/status").read_text(), file=sys.stderr))
main()
"""


@pytest.mark.long
def test_a_replay_comes_to_the_same_end_within_the_same_bounds(
    own: Stack, database: Database, letters: Letters, tenant: str, tmp_path: Path
) -> None:
    """Of everything that the tests before this one have sent, too."""
    scan = new_scan()
    headers = [("ce_type", b"vn.scanline.scan.records.v1"), ("ce_subject", scan.encode())]
    for at, codec in enumerate(("gzip", "lz4", "zstd")):
        with bomber(own, codec) as publisher:
            publisher.records(tenant, scan, GOOD[20 * at : 20 * at + 10], first=20 * at)
            publisher.send(tenant, scan, "records", blank(LARGE), first=100 + at)
            publisher.records(tenant, scan, GOOD[20 * at + 10 : 20 * at + 20], first=20 * at + 10)
    with bomber(own, "gzip") as publisher:
        for partition in range(PARTITIONS):
            publisher.raw(tenant.encode(), blank(HUGE), headers, partition)
            publisher.flush()
        publisher.closed(tenant, scan, len(GOOD))
    database.finished(tenant, scan)
    wait_for(lambda: len(letters.of(tenant)) == 3 + PARTITIONS, "every letter")
    command = [sys.executable, "-c", WATCHED, "replay", "--to-ndjson", "-o", tmp_path / "rows", "--json"]
    done = subprocess.run(
        list(map(str, command)), env=environment(own.env), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert peak_in(done.stderr) < BOUND
    found = json.loads(done.stdout)
    assert found["unreadable"] == Counter(headers_of(letter)["scanline_reason"].decode() for letter in letters.all())
    rows = [json.loads(line) for line in (tmp_path / "rows").read_bytes().splitlines()]
    held = database.rows("SELECT tenant_id AS t, scan_id::text AS s, activity_key AS k FROM processing_activities")
    assert sorted((row["tenant_id"], row["scan_id"], row["activity_key"]) for row in rows) == sorted(
        (row["t"], row["s"], row["k"]) for row in held
    )
