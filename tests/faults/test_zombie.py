"""A worker is frozen, loses its partitions, and wakes up with work in hand: the moved offsets let it write nothing."""

import signal

import pytest

from infra.stack import Stack
from tests.frozen_worker import freeze_with_open_transaction
from tests.helpers import Database, wait_for
from tests.load import LONG, Load, assert_exactly, metric, unfinished, wait_for_lanes

PARTITIONS = 12
SETTINGS = {
    "SCANLINE_SESSION_TIMEOUT_SECONDS": "2",
    # also how long the frozen worker's open transactions may stand in the way
    "SCANLINE_WRITE_DEADLINE_SECONDS": "3",
}


@pytest.mark.parametrize("query", ["COPY%", pytest.param("%stream_offsets%", marks=pytest.mark.long)])
def test_a_frozen_worker_writes_nothing_after_it_wakes(stack: Stack, query: str) -> None:
    frozen = stack.start_worker(SETTINGS)
    with Load(stack.kafka.bootstrap, records=100) as load, Database(stack.postgres.superuser_dsn()) as database:
        freeze_with_open_transaction(frozen, database, query)
        other = stack.start_worker(SETTINGS)
        wait_for_lanes(other, PARTITIONS.__eq__, "all")
        before = dict(load.published)
        wait_for(lambda: not unfinished(database, before), "the other worker writes everything", LONG)
        frozen.signal(signal.SIGCONT)
        wait_for_lanes(other, PARTITIONS.__gt__, "only its share again")
        wait_for(lambda: metric(frozen, "scanline_sink_batches_total"), "the woken worker writes")
    assert_exactly(stack, load.published)
    assert frozen.returncode is None
