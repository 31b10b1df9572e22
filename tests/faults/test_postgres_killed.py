"""PostgreSQL crashes under load. Commits do not wait for the disk: a crash takes the last of them, with their offsets."""

import signal

from infra import generator
from infra.processes import Service
from infra.stack import Stack
from tests.helpers import Database, Publisher, new_scan, wait_for
from tests.load import LONG, Load, assert_exactly, keys_of, offsets, wait_for_messages

CRASHES = 4
TENANTS = 4


def crash(stack: Stack) -> None:
    """SIGQUIT: no checkpoint, nothing flushed; then started again."""
    stack.postgres.stop("immediate")
    stack.postgres.start()
    stack.postgres.wait_until_ready()


def test_crashes_under_load(stack: Stack) -> None:
    worker = stack.start_worker()
    with Load(stack.kafka.bootstrap) as load:
        for number in range(CRASHES):
            with Database(stack.postgres.superuser_dsn()) as database:
                wait_for_messages(database, 500)
            if number % 2:
                crash(stack)
            else:  # as by a lack of memory: the server's processes notice one after the other
                stack.postgres.kill()
                stack.postgres.start()
                stack.postgres.wait_until_ready()
        with Database(stack.postgres.superuser_dsn()) as database:
            wait_for_messages(database, 500)
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


def test_what_a_crash_takes_is_read_again(stack: Stack) -> None:
    with Database(stack.postgres.superuser_dsn()) as database:  # nothing is flushed but by commits that wait for it
        database.rows("ALTER SYSTEM SET wal_writer_delay = '10s'")
        database.rows("ALTER SYSTEM SET wal_writer_flush_after = '1GB'")
        database.rows("SELECT pg_reload_conf()")
    worker = stack.start_worker()
    scans = {f"tenant-{number}": new_scan() for number in range(TENANTS)}
    lines = {tenant: generator.records(4_000, 1, tenant) for tenant in scans}
    with Publisher(stack.kafka.bootstrap) as publisher:
        for tenant, scan in scans.items():  # not closed, and so never flushed
            publisher.records(tenant, scan, lines[tenant][:2_000], at_once=20)
            publisher.singles(tenant, scan, lines[tenant][2_000:])
    sent = publisher.acknowledged
    with Database(stack.postgres.superuser_dsn()) as database:
        wait_for(lambda: offsets(database) > sent // 3, "some are taken", LONG)
    lost_busy = lose_a_tail(stack, worker)  # lanes with work in hand
    with Database(stack.postgres.superuser_dsn()) as database:
        wait_for(lambda: offsets(database) == sent, "all are taken", LONG)
    lost_idle = lose_a_tail(stack, worker)  # lanes with nothing to do
    assert lost_busy > 0 and lost_idle > 0
    with Database(stack.postgres.superuser_dsn()) as database:
        wait_for(lambda: offsets(database) == sent, "all are taken again", LONG)
    with Publisher(stack.kafka.bootstrap) as publisher:
        for tenant, scan in scans.items():
            publisher.closed(tenant, scan, len(lines[tenant]))
    assert_exactly(stack, {(tenant, scan): keys_of(lines[tenant]) for tenant, scan in scans.items()})
