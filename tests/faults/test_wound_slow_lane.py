"""Slow work on one partition starving the others.

https://github.com/faust-streaming/faust/issues/53. Stock Faust 0.15.3 puts the messages of every partition through one bounded
buffer after the other: once that of a slow actor is full, nothing is handed to anybody, even with isolated partitions.
"""

from collections.abc import Sequence

import pytest

from infra.stack import Stack
from tests.helpers import Database, Publisher, new_scan, wait_for
from tests.load import LONG, Scan, assert_exactly, hold, keys_of, metric
from tests.murmur2 import tenants_by_partition
from tests.row_locks import held
from tests.stock import Stock
from tests.stock_faust import SLOW
from trials import generator

MORE_THAN_A_BUFFER = 6_000  # stream_buffer_maxsize is 4,096
FREE = 20_000
# No attempt is given up and no lane is started again while the test holds the rows: only other threads can go on.
PATIENT = {"SCANLINE_WRITE_DEADLINE_SECONDS": "600", "SCANLINE_STREAM_STALL_SECONDS": "900"}
STALLED_SECONDS = 5  # long enough for stock to handle all of FREE several times over


@pytest.mark.long
def test_stock_starves_the_other_partition(stack: Stack) -> None:
    with Stock(stack, "starving", "isolated", partitions=2) as stock:
        stock.send([SLOW, *(b"%d" % number for number in range(MORE_THAN_A_BUFFER))], 0)
        stock.send([b"%d" % number for number in range(FREE)], 1)
        stock.start()
        wait_for(lambda: len(stock.done()) > 1_000, "stock has begun", LONG)
        handled = -1
        while handled != len(stock.done()):
            handled = len(stock.done())
            hold(STALLED_SECONDS)
        assert handled < FREE  # and it would stay so for as long as partition 0 takes


@pytest.mark.parametrize("slow_partitions", [1, pytest.param(9, marks=pytest.mark.long)])
def test_ours_goes_on_with_every_other_partition(stack: Stack, slow_partitions: int) -> None:
    """Nine slow ones are more than twice as many as write at the same time: who waits long gives its place to others."""
    tenants = tenants_by_partition("lane")
    slow: list[Scan] = [(tenant, new_scan()) for tenant in tenants[:slow_partitions]]
    published: dict[Scan, Sequence[str]] = {}
    stack.start_worker(PATIENT)
    with Database(stack.postgres.superuser_dsn()) as database:
        with Publisher(stack.kafka.bootstrap) as publisher:
            for tenant, scan in slow:
                publisher.records(tenant, scan, generator.records(100, 1, tenant)[:50])
        for scan in slow:
            wait_for(lambda: database.scan(*scan), "the scan is there to be held", LONG)  # noqa: B023
        with held(stack, slow):
            with Publisher(stack.kafka.bootstrap) as publisher:
                for tenant, scan in slow:
                    lines = generator.records(100, 1, tenant)
                    publisher.records(tenant, scan, lines[50:], first=50)
                    publisher.closed(tenant, scan, 100)
                    published[tenant, scan] = keys_of(lines)
                    flood = generator.records(2_000, 2, tenant)
                    published[tenant, publisher.scan(tenant, flood, at_once=100)] = keys_of(flood)
                free = [publish_free(publisher, tenant, published) for tenant in tenants[slow_partitions:]]
            for scan in free:
                database.finished(*scan, LONG)
            for scan in published.keys() - set(free):
                row = database.scan(*scan)
                assert row is None or row["status"] != "completed"
        assert_exactly(stack, published)
    assert metric(stack.workers[0], "scanline_stream_lanes_count") == 12


def publish_free(publisher: Publisher, tenant: str, published: dict[Scan, Sequence[str]]) -> Scan:
    lines = generator.records(3_000, 3, tenant)
    scan = (tenant, publisher.scan(tenant, lines, at_once=100))
    published[scan] = keys_of(lines)
    return scan
