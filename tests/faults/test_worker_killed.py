"""A worker is killed, again and again: what it had in hand is read and written again, once."""

import signal

from infra.stack import Stack
from tests.helpers import Database
from tests.load import Load, assert_exactly, lanes, wait_for_messages

KILLS = 2
SESSION = {"SCANLINE_SESSION_TIMEOUT_SECONDS": "2"}  # how soon the other worker takes over


def test_workers_killed_while_records_arrive(stack: Stack) -> None:
    workers = [stack.start_worker(SESSION), stack.start_worker(SESSION)]
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
        for number in range(KILLS):
            wait_for_messages(database, 400)
            assert workers[number % 2].kill() == -signal.SIGKILL
            workers[number % 2] = stack.start_worker(SESSION)
        wait_for_messages(database, 400)
        for worker in workers:  # and both at once
            worker.kill()
        workers = [stack.start_worker(SESSION), stack.start_worker(SESSION)]
        wait_for_messages(database, 400)
    assert_exactly(stack, load.published)
    assert sum(map(lanes, workers)) == 12
