"""A worker that is asked to stop while nobody answers it ends within its time, and the next one goes on where it stood."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from infra.stack import Stack
from tests.helpers import Database, wait_for
from tests.load import Load, assert_exactly, hold, wait_for_messages

pytestmark = pytest.mark.long

SHUTDOWN_SECONDS = 5
PATIENCE = 30.0  # far below what clients wait for a broker by themselves (minutes), and enough on a busy machine
AWAY_SECONDS = 2  # until the worker has noticed
SETTINGS = {"SCANLINE_SHUTDOWN_SECONDS": str(SHUTDOWN_SECONDS), "SCANLINE_SESSION_TIMEOUT_SECONDS": "6"}


@contextmanager
def broker_killed(stack: Stack) -> Iterator[None]:
    stack.kafka.kill()
    yield
    stack.kafka.start()
    stack.kafka.wait_until_ready()


@contextmanager
def nobody_there(stack: Stack) -> Iterator[None]:
    """The broker's connections are open and nothing comes; PostgreSQL is down."""
    stack.kafka.freeze()
    stack.postgres.stop()
    yield
    stack.kafka.thaw()
    stack.postgres.start()
    stack.kafka.wait_until_ready()
    stack.postgres.wait_until_ready()


Away = Callable[[Stack], AbstractContextManager[None]]


@pytest.mark.parametrize("away", [broker_killed, nobody_there])
def test_sigterm_while_the_broker_is_away(stack: Stack, away: Away) -> None:
    worker = stack.start_worker(SETTINGS)
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
        wait_for_messages(database, 120)
        database.close()
        with away(stack):
            hold(AWAY_SECONDS)
            worker.signal(signal.SIGTERM)
            wait_for(lambda: worker.returncode is not None, "the worker ends", PATIENCE)
        assert worker.returncode == 0
        stack.start_worker(SETTINGS)
    assert_exactly(stack, load.published)
