"""PostgreSQL crashes under load. Commits do not wait for the disk: a crash takes the last of them, with their offsets."""

import signal

import pytest

from infra.processes.services import Service
from infra.stack import Stack
from tests.frozen_worker import freeze_with_open_transaction
from tests.helpers import Database, Publisher, new_scan, wait_for
from tests.load import LONG, Load, assert_exactly, keys_of, offsets, wait_for_messages
from trials import generator

CRASHES = 4
COPIES = 2
TENANTS = 4
PORTION = 2_000  # records
TRIES = 3


def crash(stack: Stack) -> None:
    """SIGQUIT: no checkpoint, nothing flushed; then started again."""
    stack.postgres.stop("immediate")
    stack.postgres.start()
    stack.postgres.wait_until_ready()


@pytest.mark.long
def test_crashes_under_load(stack: Stack) -> None:
    worker = stack.start_worker()
    with Load(stack.kafka.bootstrap, records=100) as load:
        for number in range(CRASHES):
            with Database(stack.postgres.superuser_dsn()) as database:
                wait_for_messages(database, 200)
            if number % 2:
                crash(stack)
            else:  # as by a lack of memory: the server's processes notice one after the other
                stack.postgres.kill()
                stack.postgres.start()
                stack.postgres.wait_until_ready()
        with Database(stack.postgres.superuser_dsn()) as database:
            wait_for_messages(database, 200)
    assert_exactly(stack, load.published)
    assert worker.returncode is None


def test_a_crash_in_the_middle_of_a_copy(stack: Stack) -> None:
    """The worker has sent half of its rows, and finds the connection and the transaction gone when it goes on."""
    worker = stack.start_worker()
    with Load(stack.kafka.bootstrap, records=100) as load:
        for _ in range(COPIES):
            with Database(stack.postgres.superuser_dsn()) as database:
                freeze_with_open_transaction(worker, database, "COPY%")
            crash(stack)
            worker.signal(signal.SIGCONT)
            with Database(stack.postgres.superuser_dsn()) as database:
                wait_for_messages(database, 120)
    assert_exactly(stack, load.published)
    assert worker.returncode is None


def lose_a_tail(stack: Stack, worker: Service) -> int:
    """Crashes while the worker is frozen. Returns how many messages the database had taken and does not know any more."""
    worker.signal(signal.SIGSTOP)
    with Database(stack.postgres.superuser_dsn()) as database:
        before = offsets(database)
    crash(stack)
    with Database(stack.postgres.superuser_dsn()) as database:
        after = offsets(database)
    worker.signal(signal.SIGCONT)
    return before - after


class Open:
    """Scans that are never closed while they are sent, so that no commit waits for the disk."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self.scans = {f"tenant-{number}": new_scan() for number in range(TENANTS)}
        self.lines = {tenant: generator.records(PORTION * TRIES * 2, 1, tenant) for tenant in self.scans}
        self.sent = 0  # of each tenant's records
        self.messages = 0

    def more(self) -> None:
        """A portion of each, half of it in arrays."""
        with Publisher(self._bootstrap) as publisher:
            for tenant, scan in self.scans.items():
                lines = self.lines[tenant][self.sent : self.sent + PORTION]
                publisher.records(tenant, scan, lines[: PORTION // 2], at_once=20, first=self.sent)
                publisher.singles(tenant, scan, lines[PORTION // 2 :])
        self.sent += PORTION
        self.messages += publisher.acknowledged

    def close(self) -> None:
        with Publisher(self._bootstrap) as publisher:
            for tenant, scan in self.scans.items():
                publisher.closed(tenant, scan, self.sent)

    def keys(self) -> dict[tuple[str, str], list[str]]:
        return {(tenant, scan): keys_of(self.lines[tenant][: self.sent]) for tenant, scan in self.scans.items()}


@pytest.mark.long
def test_what_a_crash_takes_is_read_again(stack: Stack) -> None:
    """From lanes with work in hand, and from lanes with nothing to do. PostgreSQL's log is flushed every ten seconds whatever
    happens: a crash just after that takes nothing, and another is needed."""
    with Database(
        stack.postgres.superuser_dsn()
    ) as database:  # nothing else is flushed but by commits that wait for it
        database.rows("ALTER SYSTEM SET wal_writer_delay = '10s'")
        database.rows("ALTER SYSTEM SET wal_writer_flush_after = '1GB'")
        database.rows("ALTER SYSTEM SET autovacuum = off")
        database.rows("SELECT pg_reload_conf()")
    worker = stack.start_worker()
    scans = Open(stack.kafka.bootstrap)

    def lost(idle: bool) -> bool:
        already = scans.messages
        scans.more()
        wanted = scans.messages if idle else already + (scans.messages - already) // 3
        with Database(stack.postgres.superuser_dsn()) as database:
            wait_for(lambda: offsets(database) >= wanted, "they are taken", LONG)
        return lose_a_tail(stack, worker) > 0

    for idle in (False, True):
        assert any(lost(idle) for _ in range(TRIES)), f"a crash takes something, idle: {idle}"
        with Database(stack.postgres.superuser_dsn()) as database:
            wait_for(lambda: offsets(database) == scans.messages, "all are taken again", LONG)
    scans.close()
    assert_exactly(stack, scans.keys())
