"""A worker comes and goes under load: partitions change hands with nothing lost or doubled, and at once."""

import pytest
from confluent_kafka.admin import AdminClient

from infra.stack import Stack
from tests.helpers import Database, wait_for
from tests.load import Load, assert_exactly, lanes, metric, wait_for_lanes, wait_for_messages

PARTITIONS = 12
# Far longer than anything here waits: who leaves must say so, or the partitions would not move within the test.
SESSION = {"SCANLINE_SESSION_TIMEOUT_SECONDS": "600"}


def members(bootstrap: str) -> int:
    """Of the worker's consumer group, as the broker sees it."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    found = admin.describe_consumer_groups(["inventory"], request_timeout=30)
    return len(found["inventory"].result().members)


@pytest.mark.parametrize("times", [2, pytest.param(10, marks=pytest.mark.long)])
def test_a_worker_joins_and_leaves(stack: Stack, times: int) -> None:
    staying = stack.start_worker(SESSION)
    with Load(stack.kafka.bootstrap, pause=1.0) as load, Database(stack.postgres.superuser_dsn()) as database:
        for _ in range(times):
            coming = stack.start_worker(SESSION)
            wait_for(lambda: 0 < lanes(coming) < PARTITIONS, "the new worker has its share")  # noqa: B023
            wait_for_messages(database, 120)
            assert coming.stop(30) == 0
            assert members(stack.kafka.bootstrap) == 1
            wait_for_lanes(staying, PARTITIONS.__eq__, "all")
            wait_for_messages(database, 120)
    assert_exactly(stack, load.published)
    assert staying.returncode is None
    assert metric(staying, "scanline_stream_rebalances_total") >= 2 * times
    assert staying.stop(30) == 0
    assert members(stack.kafka.bootstrap) == 0
