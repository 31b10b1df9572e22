"""However far behind it starts, a worker's memory stays bounded."""

import re
from pathlib import Path

import pytest

from infra import generator
from infra.processes import Service
from infra.stack import Stack
from tests.helpers import Database, Publisher, assert_told, new_scan, wait_for
from tests.load import LONG, looking_at

MIB = 1024 * 1024
LIMIT = 400 * MIB
TENANTS = 20


def peak(service: Service) -> int:
    """Most memory the process has ever held, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{service.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize(
    ("records", "at_once"), [(1_000_000, 1_000), (200_000, None)], ids=["a million in arrays", "singles"]
)
def test_memory_of_a_worker_that_starts_far_behind(stack: Stack, records: int, at_once: int | None) -> None:
    each = records // TENANTS
    scans = {f"tenant-{number:02}": new_scan() for number in range(TENANTS)}
    with Publisher(stack.kafka.bootstrap, **{"compression.type": "lz4", "linger.ms": 20}) as publisher:
        for number, (tenant, scan) in enumerate(scans.items()):
            lines = generator.records(each, number, tenant)
            if at_once is None:
                publisher.singles(tenant, scan, lines)
            else:
                publisher.records(tenant, scan, lines, at_once=at_once)
            publisher.closed(tenant, scan, each)
    worker = stack.start_worker()
    with looking_at(stack) as (database, statuses):
        wait_for(lambda: completed(database) == TENANTS, f"{records} records are stored", LONG)
        count, keys = database.rows(
            "SELECT count(*) AS n, count(DISTINCT (tenant_id, activity_key)) AS k FROM processing_activities"
        )[0].values()
        assert (count, keys) == (records, records)
        assert_told(database, statuses, list(scans))
    held = peak(worker)
    print(f"peak of the worker: {held / MIB:.0f} MiB")
    assert held < LIMIT


def completed(database: Database) -> int:
    return int(database.value("SELECT count(*) FROM scans WHERE status = 'completed'"))
