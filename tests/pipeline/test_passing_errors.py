"""What passes by itself is waited for, whatever PostgreSQL calls it; scans in hand say so, and then that it has passed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg2
import pytest

from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import Database, Publisher, StatusTopic, assert_accounted, assert_told, new_scan, wait_for
from tests.load import metric
from tests.own import views_of_own
from tests.stock_servers import copied_stack
from tests.submissions import accepted, submit
from trials import generator

SETTINGS: Final = {
    "SCANLINE_WRITE_DEADLINE_SECONDS": "2",
    "SCANLINE_STREAM_BACKOFF_SECONDS": "0.05",
    "SCANLINE_STREAM_PROBE_SECONDS": "0.2",
}
_WORKERS: Final = "application_name = 'scanline-worker'"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, stock_dir: Path) -> Iterator[Stack]:
    with copied_stack(tmp_path_factory.mktemp("passing"), stock_dir, partitions=2) as stack:
        stack.start_worker(SETTINGS)
        stack.start_api()
        yield stack


database, statuses = views_of_own()


@contextmanager
def session(own: Stack) -> Iterator[Any]:
    """Another client's cursor, in a transaction."""
    connection: Any = psycopg2.connect(own.postgres.superuser_dsn())
    try:
        yield connection.cursor()
    finally:
        connection.close()


@contextmanager
def too_many_connections(own: Stack, database: Database, tenant: str, scan: str) -> Iterator[None]:
    role = database.value(f"SELECT usename FROM pg_stat_activity WHERE {_WORKERS} LIMIT 1")
    database.rows(f'ALTER ROLE "{role}" CONNECTION LIMIT 0')
    database.rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_WORKERS}")
    try:
        yield
    finally:
        database.rows(f'ALTER ROLE "{role}" CONNECTION LIMIT -1')


@contextmanager
def sessions_ended_by_an_administrator(own: Stack, database: Database, tenant: str, scan: str) -> Iterator[None]:
    """Each as soon as it is seen, over and over."""
    done = threading.Event()

    def end() -> None:
        with Database(own.postgres.superuser_dsn()) as other:
            while not done.wait(0.01):
                other.rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_WORKERS}")

    with locked(own, database, tenant, scan):  # so that they are ended in the middle of a statement
        thread = threading.Thread(target=end)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@contextmanager
def locked(own: Stack, database: Database, tenant: str, scan: str) -> Iterator[None]:
    with session(own) as cursor:
        cursor.execute("SELECT FROM scans WHERE tenant_id = %s AND scan_id = %s FOR UPDATE", (tenant, scan))
        yield


@contextmanager
def deadlocks(own: Stack, database: Database, tenant: str, scan: str) -> Iterator[None]:
    """A session that takes the same locks the other way round, and never looks for deadlocks: the worker's session does, a second
    after it began to wait, and is the victim."""
    done = threading.Event()
    waiting = f"SELECT pid FROM pg_stat_activity WHERE {_WORKERS} AND wait_event_type = 'Lock'"

    def cross() -> None:
        while not done.is_set():
            with session(own) as cursor, Database(own.postgres.superuser_dsn()) as other:
                cursor.execute("SET deadlock_timeout = '1h'; SET lock_timeout = '5s'")
                cursor.execute("SELECT FROM scans WHERE tenant_id = %s AND scan_id = %s FOR UPDATE", (tenant, scan))
                while not (done.is_set() or other.rows(waiting)):
                    done.wait(0.02)
                with suppress(psycopg2.errors.LockNotAvailable):
                    cursor.execute("SELECT FROM stream_offsets FOR UPDATE")

    thread = threading.Thread(target=cross)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def read_only(own: Stack, database: Database, tenant: str, scan: str) -> Iterator[None]:
    """As an administrator or a hosting service makes it when the disk is nearly full."""
    database.rows("ALTER SYSTEM SET default_transaction_read_only = on")
    database.rows("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        database.rows("ALTER SYSTEM RESET default_transaction_read_only")
        database.rows("SELECT pg_reload_conf()")


@contextmanager
def in_recovery(own: Stack, database: Database, tenant: str, scan: str) -> Iterator[None]:
    """A failover that is not over: at the address a standby answers, which reads everything and writes nothing until it is
    promoted."""
    signal_file = Path(database.value("SHOW data_directory")) / "standby.signal"
    database.close()
    own.postgres.stop()
    signal_file.touch()
    own.postgres.start()
    own.postgres.wait_until_ready()
    try:
        assert database.value("SELECT pg_is_in_recovery()")
        yield
    finally:
        assert database.value("SELECT pg_promote()")


Fault = Callable[[Stack, Database, str, str], AbstractContextManager[None]]
# By SQLSTATE class. What is said before a session exists, libpq gives no SQLSTATE for: it counts as a connection failure.
FAULTS: Final[dict[str, tuple[tuple[str, ...], Fault]]] = {
    "53300 too many connections": (("53", "08"), too_many_connections),
    "57P01 ended by an administrator": (("57", "08"), sessions_ended_by_an_administrator),
    "57014 or 55P03 a lock": (("55", "57"), locked),
    "40P01 a deadlock": (("40",), deadlocks),
    "25006 read-only": (("25",), read_only),
    "25006 a server in recovery": (("25",), in_recovery),
}


def errors(worker: Service, classes: tuple[str, ...]) -> float:
    """Failed attempts of these classes."""
    return sum(metric(worker, "scanline_sink_errors_total", sqlstate_class=each) for each in classes)


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_waited_for_and_nothing_is_dropped(
    fault: str, own: Stack, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    (worker,) = own.workers
    classes, make = FAULTS[fault]
    lines, scan = generator.records(400, 5, tenant), new_scan()
    with Publisher(own.kafka.bootstrap) as publisher:
        publisher.records(tenant, scan, lines[:200], at_once=100)
    wait_for(lambda: (row := database.scan(tenant, scan)) and row["records_stored"] == 200, "half of it is there")
    before = errors(worker, classes)
    with make(own, database, tenant, scan):
        with Publisher(own.kafka.bootstrap) as publisher:
            publisher.records(tenant, scan, lines[200:], at_once=100, first=200)
            publisher.closed(tenant, scan, len(lines))
        wait_for(lambda: errors(worker, classes) > before, f"attempts fail with {classes}")
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["records_duplicate"]) == ("completed", 400, 0)
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])
    wait_for(worker.is_ready, "no lane waits any more")
    assert metric(worker, "scanline_stream_dead_letters_total") == 0


def test_a_pause_shows_in_the_status_and_ends_there(own: Stack, tenant: str) -> None:
    """Of a scan the worker knows, and of one that only the API and the lane's buffer know."""
    (worker,), (api,) = own.workers, own.apis
    lines, begun = generator.records(300, 6, tenant), new_scan()
    with (
        httpx.Client(base_url=api.base_url, timeout=60) as http,
        StatusTopic(own.kafka.bootstrap) as statuses,
        Database(own.postgres.superuser_dsn()) as database,
    ):
        with Publisher(own.kafka.bootstrap) as publisher:
            publisher.records(tenant, begun, lines[:100])
        known = wait_for(lambda: database.scan(tenant, begun), "the scan is known")
        database.close()
        own.postgres.stop()
        with Publisher(own.kafka.bootstrap) as publisher:
            publisher.records(tenant, begun, lines[100:200], first=100)
        queued = accepted(submit(http, tenant, generator.body(lines)))["scan_id"]
        first = dict(statuses.read()[f"{tenant}/{queued}"])

        def told_to_wait() -> bool:
            told = statuses.read()
            return all(told[f"{tenant}/{scan}"]["paused"] for scan in (begun, queued))

        wait_for(told_to_wait, "both are told to wait")
        told = statuses.last[f"{tenant}/{begun}"]
        assert (told["version"], told["records_stored"]) == (known["version"], 100)
        assert "cơ sở dữ liệu" in told["message"]["vi"] and "nothing is lost" in told["message"]["en"]
        waiting = dict(statuses.last[f"{tenant}/{queued}"])
        changed = {name for name in first if first[name] != waiting[name]}
        assert changed <= {"paused", "message"}, (first, waiting)
        answer = wait_for(
            lambda: (found := http.get(f"/v1/tenants/{tenant}/scans/{queued}").json())["paused"] and found,
            "GET says so",
        )
        assert answer["status"] == "queued"
        assert set(worker.health()["paused_reasons"].values()) == {"database"}
        assert not worker.is_ready()
        assert metric(worker, "scanline_stream_paused_lanes_count", reason="database") >= 1
        own.postgres.start()
        own.postgres.wait_until_ready()
        with Publisher(own.kafka.bootstrap) as publisher:
            publisher.records(tenant, begun, lines[200:], first=200)
        database.finished(tenant, queued)
        wait_for(lambda: (row := database.scan(tenant, begun)) and row["records_stored"] == 300, "all is stored")
        assert_told(database, statuses, [tenant], 60)
        wait_for(
            lambda: not any(each["paused"] for key, each in statuses.read().items() if key.startswith(f"{tenant}/")),
            "nobody is told to wait any more",
        )
        wait_for(worker.is_ready, "it is ready again")
        assert metric(worker, "scanline_stream_paused_lanes_count", reason="database") == 0
