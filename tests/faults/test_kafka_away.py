"""The broker is killed and comes back: a publisher that goes on trying and a worker that is left alone end with exactly the set."""

from infra.stack import Stack
from tests.helpers import Database
from tests.load import Load, assert_exactly, hold, wait_for_messages

KILLS = 2
AWAY_SECONDS = 2
SETTINGS = {"SCANLINE_SESSION_TIMEOUT_SECONDS": "6"}


def test_broker_killed_while_records_arrive(stack: Stack) -> None:
    workers = [stack.start_worker(SETTINGS), stack.start_worker(SETTINGS)]
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
        for _ in range(KILLS):
            wait_for_messages(database, 400)
            stack.kafka.kill()
            hold(AWAY_SECONDS)
            stack.kafka.start()
            stack.kafka.wait_until_ready()
        wait_for_messages(database, 400)
    assert_exactly(stack, load.published)
    assert [worker.returncode for worker in workers] == [None, None]
