"""A backlog far larger than memory allowed: it is worked off within bounds, to the last record.

`SCANLINE_TEST_BACKLOG_TIMES=5 pytest -s tests/faults/test_backlog.py` measures five times as much: 5,000,000 records in arrays, and
1,000,000 single ones.
"""

import json
import os
from collections.abc import Iterator

import pytest

from infra.stack import Stack
from tests.helpers import (
    Database,
    Publisher,
    StatusTopic,
    assert_accounted,
    assert_told,
    changed,
    new_scan,
    peak_memory,
    wait_for,
)
from tests.load import assert_same_keys
from trials import generator

pytestmark = pytest.mark.long

MIB = 1024 * 1024
BOUND = 400 * MIB
TIMES = int(os.environ.get("SCANLINE_TEST_BACKLOG_TIMES", "1"))
PATIENCE = 400.0 * TIMES
TENANTS = 25
_PLACE = b"%number%"


def templates(count: int) -> list[bytes]:
    """Records with a place in the key to be filled in."""
    lines = generator.records(count)
    return [changed(line, activity_key=f"{_PLACE.decode()}/{number:03}") for number, line in enumerate(lines)]


def alike(count: int) -> list[bytes]:
    """Records that differ in nothing but their key: together they compress to a fiftieth and less."""
    line = generator.records(1)[0]
    return [changed(line, activity_key=f"{_PLACE.decode()}/{number:03}") for number in range(count)]


def numbered(pieces: list[bytes], count: int) -> Iterator[bytes]:
    """`count` values made from the pieces, each with keys of its own."""
    for number in range(count):
        yield pieces[number % len(pieces)].replace(_PLACE, b"%06d" % number)


def keys_in(value: bytes) -> list[str]:
    """Of one record, or of an array."""
    read = json.loads(value)
    return [record["activity_key"] for record in (read if isinstance(read, list) else [read])]


def publish(bootstrap: str, pieces: list[bytes], messages: int, *, compression: str) -> dict[tuple[str, str], int]:
    """A scan for each tenant, of so many messages. Returns the scans with the numbers of their records."""
    each = messages // TENANTS
    per_message = pieces[0].count(_PLACE)
    scans = {(f"tenant-{number:02}", new_scan()): each * per_message for number in range(TENANTS)}
    with Publisher(bootstrap, **{"compression.type": compression, "linger.ms": 50}) as publisher:
        for tenant, scan in scans:
            for number, value in enumerate(numbered(pieces, each)):
                first = number * per_message if per_message > 1 else None
                publisher.send(tenant, scan, "records", value, first=first)
            publisher.closed(tenant, scan, each * per_message)
    return scans


def completed(database: Database) -> int:
    return int(database.value("SELECT count(*) FROM scans WHERE status = 'completed'"))


def assert_worked_off(stack: Stack, pieces: list[bytes], messages: int, *, compression: str) -> None:
    """Publishes, starts a worker, and compares what it made of the backlog and with how much memory."""
    scans = publish(stack.kafka.bootstrap, pieces, messages, compression=compression)
    worker = stack.start_worker(wait=False)
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        wait_for(lambda: completed(database) == TENANTS, f"{TENANTS} scans end", PATIENCE)
        peak = peak_memory(worker.pid)
        print(f"peak resident memory of the worker: {peak / MIB:.0f} MiB")
        assert peak < BOUND
        assert database.value("SELECT count(*) FROM processing_activities") == sum(scans.values())
        keys = [key for value in numbered(pieces, messages // TENANTS) for key in keys_in(value)]
        assert_same_keys(database, dict.fromkeys(scans, keys))
        for tenant, scan in scans:
            assert_accounted(database, tenant, scan)
        assert_told(database, statuses, [tenant for tenant, _ in scans], 90)


def test_a_million_records_in_arrays(stack: Stack) -> None:
    """Compressed as well as can be: what a fetch brings is many times its size."""
    assert_worked_off(stack, [generator.array(alike(1_000))], 1_000 * TIMES, compression="zstd")


def test_two_hundred_thousand_single_records(stack: Stack) -> None:
    assert_worked_off(stack, templates(1_000), 200_000 * TIMES, compression="none")
