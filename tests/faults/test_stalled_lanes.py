"""A lane that has work and gets nowhere is noticed, told and started again; what does not help ends the process."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
import psycopg2
import pytest

from infra.processes.child import free_port
from infra.processes.services import Service
from infra.stack import Stack
from stream_app.lanes.watchdog import EXIT_STALLED
from tests.helpers import Database, Publisher, new_scan, wait_for
from tests.load import LONG, Load, assert_exactly, hold, keys_of, metric, wait_for_messages, worker_log
from tests.stopping_worker import CHANGED, WAY_VARIABLE
from trials import generator

# Attempts may take far longer than a lane may stand still: only the watchdog helps in time.
SETTINGS: Final = {
    "SCANLINE_STREAM_STALL_SECONDS": "3",
    "SCANLINE_STREAM_STALL_RESTARTS": "50",
    "SCANLINE_WRITE_DEADLINE_SECONDS": "600",
    "SCANLINE_STREAM_WRITERS": "2",
}


def stalls(worker: Service) -> float:
    return metric(worker, "scanline_stream_stalls_total")


@contextmanager
def locked_scan(stack: Stack, tenant: str, scan: str) -> Iterator[None]:
    """Another session holds the scan's row."""
    holder: Any = psycopg2.connect(stack.postgres.superuser_dsn())
    try:
        with holder.cursor() as cursor:
            cursor.execute("SELECT 1 FROM scans WHERE tenant_id = %s AND scan_id = %s FOR UPDATE", (tenant, scan))
            assert cursor.fetchone() == (1,)
        yield
    finally:
        holder.close()


def test_a_lane_that_waits_for_a_lock_is_started_again(stack: Stack) -> None:
    """Its thread is caught in PostgreSQL; the session it leaves behind must not stand in the way of the next."""
    worker = stack.start_worker(SETTINGS)
    lines = generator.records(3_000, 1, "caught")
    scan = new_scan()
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
        with Publisher(stack.kafka.bootstrap) as publisher:
            publisher.records("caught", scan, lines[:1_000])
        wait_for(lambda: database.scan("caught", scan), "the scan is known")
        with locked_scan(stack, "caught", scan):
            with Publisher(stack.kafka.bootstrap) as publisher:
                publisher.records("caught", scan, lines[1_000:], first=1_000)
                publisher.closed("caught", scan, len(lines))
            wait_for(lambda: stalls(worker) >= 2, "the lane is started again", LONG)
            wait_for_messages(database, 120)  # the others go on all the while
    assert_exactly(stack, load.published | {("caught", scan): keys_of(lines)})
    log = worker_log(worker)
    assert "đứng yên" in log and "has stood still" in log and "(writing)" in log
    assert " > sinks.postgres.sink.write:" in log  # where the thread hung
    assert worker.returncode is None
    wait_for(lambda: metric(worker, "scanline_stream_progress_age_seconds") == 0, "all lanes get on")


def waiting_backend(database: Database) -> int | None:
    """A session of the worker that waits for a lock: it holds rows, but nothing that all of PostgreSQL needs."""
    rows = database.rows(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'scanline-worker' AND wait_event_type = 'Lock'"
    )
    return int(rows[0]["pid"]) if rows else None


@pytest.mark.long
def test_a_session_that_is_frozen_in_postgresql(stack: Stack) -> None:
    """The server's side of a connection stands still: its kernel answers, and no timeout of ours runs there. The partition's
    offset stays locked until it ends; the other partitions go on."""
    worker = stack.start_worker(SETTINGS)
    lines = generator.records(1_500, 1, "caught")
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
        with Publisher(stack.kafka.bootstrap) as publisher:
            scan = new_scan()
            publisher.records("caught", scan, lines[:1_000])
        wait_for(lambda: database.scan("caught", scan), "the scan is known")
        with locked_scan(stack, "caught", scan):
            with Publisher(stack.kafka.bootstrap) as publisher:
                publisher.records("caught", scan, lines[1_000:], first=1_000)
                publisher.closed("caught", scan, len(lines))
            pid = wait_for(lambda: waiting_backend(database), "a session waits for the row", LONG)
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: stalls(worker) >= 1, "the lane is started again", LONG)
            wait_for_messages(database, 120)
        finally:
            os.kill(pid, signal.SIGCONT)
    assert_exactly(stack, load.published | {("caught", scan): keys_of(lines)})
    assert worker.returncode is None


def start_stopping_worker(stack: Stack, way: str, settings: dict[str, str]) -> Service:
    """See tests/stopping_worker.py."""
    port = free_port()
    env = {
        "SCANLINE_WORKER_METRICS_PORT": str(port),
        "SCANLINE_STREAM_DATA_DIR": str(stack.data_dir / "faust"),
        WAY_VARIABLE: way,
    }
    worker = stack._spawn("worker", "tests.stopping_worker", port, {**env, **settings})
    worker.wait_until_ready()
    return worker


@pytest.mark.long
@pytest.mark.parametrize("way", ["paused", "buffer full"])
def test_a_consumer_that_stops_delivering_is_made_to_go_on(stack: Stack, way: str) -> None:
    """Partitions are left out behind the lanes' backs: their word for what is to be read cannot be trusted then."""
    worker = start_stopping_worker(stack, way, SETTINGS)
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
        wait_for_messages(database, 120)
        worker.signal(signal.SIGUSR1)
        wait_for(lambda: stalls(worker) >= 1, "a lane is started again", LONG)
        wait_for_messages(database, 400)
    assert_exactly(stack, load.published)
    assert worker.returncode is None
    assert "(fetching)" in worker_log(worker)


@pytest.mark.long
def test_a_consumer_in_the_wrong_place_is_called_back(stack: Stack) -> None:
    """Its lanes know where they wait."""
    worker = start_stopping_worker(stack, "wrong place", {"SCANLINE_STREAM_STALL_SECONDS": "600"})
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
        wait_for_messages(database, 120)
        worker.signal(signal.SIGUSR1)
        wait_for(lambda: metric(worker, "scanline_stream_rewinds_total") >= 1, "a partition is fetched again", LONG)
        wait_for_messages(database, 400)
    assert_exactly(stack, load.published)
    assert worker.returncode is None
    assert stalls(worker) == 0


def test_what_was_fetched_and_dropped_is_fetched_again(stack: Stack) -> None:
    """Also where no later message shows the gap, and long before the watchdog would look."""
    worker = start_stopping_worker(stack, "dropping", {"SCANLINE_STREAM_STALL_SECONDS": "600"})
    with Database(stack.postgres.superuser_dsn()) as database, Publisher(stack.kafka.bootstrap) as publisher:
        before = publisher.scan("before", generator.records(100, 1, "before"))
        assert database.finished("before", before, LONG)["status"] == "completed"
        worker.signal(signal.SIGUSR1)
        wait_for(lambda: CHANGED in worker_log(worker), "nothing reaches the lanes")
        published = {}
        for number in range(8):
            lines = generator.records(100, 2, f"dropped-{number}")
            published[f"dropped-{number}", publisher.scan(f"dropped-{number}", lines)] = keys_of(lines)
        for tenant, scan in published:
            assert database.finished(tenant, scan, LONG)["status"] == "completed"
    assert stalls(worker) == 0
    assert metric(worker, "scanline_stream_rewinds_total") > 0


def test_what_no_restart_helps_ends_the_process(stack: Stack) -> None:
    """Its supervisor starts another, which loses and doubles nothing."""
    worker = start_stopping_worker(stack, "flow stopped", SETTINGS | {"SCANLINE_STREAM_STALL_RESTARTS": "1"})
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
        wait_for_messages(database, 120)
        assert httpx.get(f"{worker.base_url}/healthz", timeout=30).status_code == 200
        worker.signal(signal.SIGUSR1)

        def is_sick() -> dict[str, Any] | None:
            answer = httpx.get(f"{worker.base_url}/healthz", timeout=30)
            return answer.json() if answer.status_code == 503 else None

        assert "stalled" in wait_for(is_sick, "the worker says that it is beyond help", LONG)
        wait_for(lambda: worker.returncode is not None, "the worker ends", LONG)
        assert worker.returncode == EXIT_STALLED
        stack.start_worker()
        wait_for_messages(database, 120)
    assert_exactly(stack, load.published)


@pytest.mark.long
def test_waiting_is_not_standing_still(stack: Stack) -> None:
    """Lanes that wait for a database that is away, and a worker that was frozen, are nobody to be started again."""
    worker = stack.start_worker(SETTINGS)
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
        wait_for_messages(database, 120)
        worker.signal(signal.SIGSTOP)
        hold(5)
        worker.signal(signal.SIGCONT)
        wait_for_messages(database, 120)
        stack.postgres.stop()
        wait_for(lambda: metric(worker, "scanline_stream_paused_lanes_count", reason="database"), "lanes wait", LONG)
        hold(5)
        stack.postgres.start()
        stack.postgres.wait_until_ready()
    assert_exactly(stack, load.published)
    assert stalls(worker) == 0
    assert worker.returncode is None
