"""A worker is frozen, loses its partitions, and wakes up with work in hand: the moved offsets let it write nothing."""

import signal

import psutil
import pytest

from infra.processes import Service
from infra.stack import Stack
from tests.helpers import Database, wait_for
from tests.load import LONG, Load, assert_exactly, metric, unfinished, wait_for_lanes

PARTITIONS = 12
SETTINGS = {
    "SCANLINE_SESSION_TIMEOUT_SECONDS": "2",
    # also how long the frozen worker's open transactions may stand in the way
    "SCANLINE_WRITE_DEADLINE_SECONDS": "3",
}
_TRANSACTIONS = """
SELECT query FROM pg_stat_activity
WHERE client_port = ANY(%s) AND xact_start IS NOT NULL AND wait_event = 'ClientRead' AND query LIKE %s
"""


def freeze_with_open_transaction(worker: Service, database: Database, query: str) -> None:
    """Stops the worker at a moment when one of its transactions waits for it, in a statement like `query`."""

    def stopped() -> bool:
        worker.signal(signal.SIGSTOP)
        ports = [each.laddr.port for each in psutil.Process(worker.pid).net_connections()]
        if all(database.rows(_TRANSACTIONS, ports, query) for _ in range(3)):
            return True
        worker.signal(signal.SIGCONT)
        return False

    wait_for(stopped, f"{worker.name} is caught in {query}", LONG)


@pytest.mark.parametrize("query", ["COPY%", "%stream_offsets%"])
def test_a_frozen_worker_writes_nothing_after_it_wakes(stack: Stack, query: str) -> None:
    frozen = stack.start_worker(SETTINGS)
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
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
