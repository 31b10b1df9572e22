"""An offset committed past a message that is still in hand: lost if the worker is killed then.

https://github.com/faust-streaming/faust/issues/606 (open, as is its pull request 707; the earlier report is 312). Stock Faust
0.15.3 with two actors on a stream commits the highest offset that is done, where the one before it is not.
"""

import pytest

from infra.stack import Stack
from tests.helpers import Database, Publisher, new_scan, wait_for
from tests.load import LONG, Scan, assert_exactly, group_offset, keys_of
from tests.murmur2 import partition_of, tenants_by_partition
from tests.row_locks import held
from tests.stock import Stock
from tests.stock_faust import SLOW
from trials import generator

OTHERS = 10
SESSION = {"SCANLINE_SESSION_TIMEOUT_SECONDS": "2"}  # how soon the other worker takes over


@pytest.mark.long
def test_stock_loses_the_message_it_was_working_on(stack: Stack) -> None:
    with Stock(stack, "gaps", "2") as stock:
        stock.send([SLOW, *(b"%d" % number for number in range(OTHERS))])
        worker = stock.start()
        wait_for(lambda: stock.committed() == [OTHERS + 1], "stock commits past the slow message", LONG)
        assert sorted(done.offset for done in stock.done()) == list(range(1, OTHERS + 1))
        worker.kill()
        stock.start()
        stock.send([b"after"])
        wait_for(lambda: stock.committed() == [OTHERS + 2], "the next worker goes on", LONG)
        assert 0 not in {done.offset for done in stock.done()}  # and nobody will ever read it again


def stored_offset(database: Database, partition: int) -> int:
    return int(database.value("SELECT next_offset FROM stream_offsets WHERE partition = %s", partition))


def test_ours_commits_nothing_past_a_slow_message_and_reads_it_again_after_a_kill(stack: Stack) -> None:
    """The head message waits for a lock in PostgreSQL; those behind it, of the same partition and of others, need not."""
    first, other = tenants_by_partition("gap")[:2]
    partition = partition_of(first.encode())
    slow: Scan = (first, new_scan())
    lines = generator.records(40, 1, first)
    worker = stack.start_worker(SESSION)
    published = {slow: keys_of(lines)}
    with Database(stack.postgres.superuser_dsn()) as database:
        with Publisher(stack.kafka.bootstrap) as publisher:
            publisher.records(*slow, lines[:20])
        wait_for(lambda: database.scan(*slow), "the scan is there to be held", LONG)
        head = stored_offset(database, partition)
        with held(stack, [slow]):
            with Publisher(stack.kafka.bootstrap) as publisher:
                publisher.records(*slow, lines[20:], first=20)
                publisher.closed(*slow, 40)
                for tenant in (first, other) * OTHERS:
                    more = generator.records(5, len(published), tenant)
                    published[tenant, publisher.scan(tenant, more)] = keys_of(more)
            for scan in published:
                if scan[0] == other:
                    database.finished(*scan, LONG)
            assert stored_offset(database, partition) == head
            # the group's offset is only for lag monitors, and comes from PostgreSQL's
            wait_for(lambda: group_offset(stack, partition_of(other.encode())) > 0, "group offsets are committed")
            assert group_offset(stack, partition) <= head
            worker.kill()
        stack.start_worker(SESSION)
    assert_exactly(stack, published)
