"""Records skipped, repeated or out of order while workers come and go.

https://github.com/faust-streaming/faust/issues/216 and 221 (skipped, and out of order: closed by seeking before the flow
resumes and by dropping what an older generation fetched), 502 (open: handled twice). Stock Faust 0.15.3 still hands on what it
has not committed yet a second time.
"""

from itertools import pairwise
from typing import Final

import pytest

from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import Database, wait_for
from tests.load import LONG, Load, assert_exactly, lanes, wait_for_messages
from tests.stock import Stock

MESSAGES: Final = 3_000
TIMES: Final = 6
SETTINGS: Final = {"SCANLINE_SESSION_TIMEOUT_SECONDS": "6"}
# Kept by PostgreSQL itself: every step of every partition's offset, in the order in which they were committed.
TRAIL: Final = """
CREATE TABLE offset_trail (id bigint GENERATED ALWAYS AS IDENTITY, partition int, before bigint, after bigint);
CREATE FUNCTION leave_trail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.offset_trail (partition, before, after) VALUES (new.partition, old.next_offset, new.next_offset);
    RETURN NULL;
END $$;
CREATE TRIGGER trail AFTER UPDATE ON stream_offsets FOR EACH ROW EXECUTE FUNCTION leave_trail();
"""


@pytest.mark.long
def test_stock_handles_messages_twice(stack: Stack) -> None:
    """A worker that dies between two commits: whatever it had handled since the last one comes again."""
    with Stock(stack, "repeating", "1") as stock:
        first = stock.start()
        stock.send([b"before"])
        wait_for(lambda: stock.committed() == [1], "stock has begun", LONG)
        stock.send([b"%d" % number for number in range(MESSAGES)])
        wait_for(lambda: len(stock.done()) > MESSAGES // 20, "some are handled", LONG)
        first.kill()
        stock.start()
        wait_for(lambda: stock.committed() == [MESSAGES + 1], "the next worker handles all", LONG)
        offsets = [done.offset for done in stock.done()]
        assert set(offsets) == set(range(MESSAGES + 1))
        assert len(offsets) > MESSAGES + 1


@pytest.mark.long
def test_ours_moves_on_without_a_gap_or_a_step_back(stack: Stack) -> None:
    """Workers join and leave without rest, every other one killed; each partition's offset is one unbroken chain."""
    with Database(stack.postgres.superuser_dsn()) as database:
        database.rows(TRAIL)
        workers = [stack.start_worker(SETTINGS)]
        with Load(stack.kafka.bootstrap, pause=0.6) as load:
            for number in range(TIMES):
                workers.append(stack.start_worker(SETTINGS, wait=False))
                wait_for(lambda: has_a_share(workers[-1]), "the new worker has a share", LONG)
                wait_for_messages(database, 80)
                leave(workers.pop(0), kill=number % 2 == 1)
            wait_for_messages(database, 80)
        assert_exactly(stack, load.published)
        assert_unbroken(database)


def has_a_share(worker: Service) -> bool:
    return worker.is_ready() and lanes(worker) > 0


def leave(worker: Service, *, kill: bool) -> None:
    if kill:
        worker.kill()
    else:
        assert worker.stop(30) == 0


def assert_unbroken(database: Database) -> None:
    """From 0 to the stored offset, each step begins where the one before it ended."""
    ends = {row["partition"]: row["next_offset"] for row in database.rows("SELECT * FROM stream_offsets")}
    for partition, end in ends.items():
        steps = database.rows("SELECT before, after FROM offset_trail WHERE partition = %s ORDER BY id", partition)
        assert [one["after"] for one, _ in pairwise(steps)] == [two["before"] for _, two in pairwise(steps)]
        assert not end or (steps[0]["before"], steps[-1]["after"]) == (0, end)
    assert len(ends) == 12 and sum(ends.values()) > 0
