"""Behind a real PgBouncer in transaction mode everything works as it does without: each record once, deadlines of each process
in force, transactions that die leave nothing; and what cannot work there is refused."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from sqlalchemy import create_engine

from infra.errors import InfraError
from infra.postgres.cluster import Urls
from infra.processes.services import Service
from infra.stack import Stack
from operations.dead_letters.ledger import DeadLetterLedger
from operations.pipelines import check
from schemas.session_settings import begin_with, deciding
from sinks.postgres import PostgresSink
from sinks.postgres.engine import write_engine
from tests.api.api_client import Tenant, assert_problem
from tests.commands import Commands
from tests.helpers import Database, Publisher, StatusTopic, assert_accounted, assert_told, changed, new_scan, wait_for
from tests.load import Load, assert_exactly, metric, worker_log
from tests.own import views_of_own
from tests.pooler import Pooler, pooler
from tests.refusals import locked
from tests.stock_servers import end, lay, stock
from trials import generator

# Other than the roles' own: what is in force is what the process was told.
WRITE_SECONDS: Final = 4
READ_SECONDS: Final = 2
IN_FORCE: Final = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "client_connection_check_interval",
    "synchronous_commit",
    "transaction_read_only",
    "TimeZone",
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, stock_dir: Path) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("pooled") / "stack"
    lay(stock(stock_dir), folder)
    stack = Stack(folder)
    try:
        stack.start_servers()
        yield stack
    finally:
        end(stack)


database, statuses = views_of_own()


@pytest.fixture(scope="module")
def between(own: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooler]:
    with pooler(tmp_path_factory.mktemp("pgbouncer"), own.postgres.urls) as running:
        yield running


@pytest.fixture(scope="module")
def worker(own: Stack, between: Pooler) -> Service:
    return own.start_worker(
        {
            "SCANLINE_POSTGRES_WRITE_URL": between.urls.write,
            "SCANLINE_WRITE_DEADLINE_SECONDS": str(WRITE_SECONDS),
        }
    )


@pytest.fixture(scope="module")
def api(own: Stack, between: Pooler) -> Service:
    return own.start_api(
        {"SCANLINE_POSTGRES_READ_URL": between.urls.read, "SCANLINE_READ_DEADLINE_SECONDS": str(READ_SECONDS)}
    )


@pytest.fixture
def caller(api: Service, tenant: str) -> Iterator[Tenant]:
    with httpx.Client(base_url=api.base_url, timeout=60) as http:
        yield Tenant(http, tenant)


@pytest.fixture
def scanline(own: Stack, between: Pooler) -> Commands:
    """Commands of whoever knows the pooler alone, but for migrations."""
    return Commands({**own.env, **service_urls(between.urls), "SCANLINE_DATA_DIR": str(own.data_dir)})


def service_urls(urls: Urls) -> dict[str, str]:
    return {
        "SCANLINE_POSTGRES_WRITE_URL": urls.write,
        "SCANLINE_POSTGRES_READ_URL": urls.read,
        "SCANLINE_POSTGRES_MONITOR_URL": urls.monitor or "",
    }


def test_a_scan_through_all_of_it_is_stored_once(
    own: Stack, worker: Service, caller: Tenant, tenant: str, database: Database, statuses: StatusTopic
) -> None:
    lines = generator.records(3_000, 1, tenant)
    bad = [changed(line, activity_key=f"bad-{at}", legal_basis="none") for at, line in enumerate(lines[:5])]
    scan = caller.submit([*lines, *bad])
    status = caller.ended(scan)
    counts = [status[f"records_{name}"] for name in ("total", "stored", "rejected", "duplicate")]
    assert counts == [3_005, 3_000, 5, 0]
    assert len(caller.everything("/processing-activities", "processing_activities", scan_id=scan, limit=1_000)) == 3_000
    assert len(caller.get(f"/scans/{scan}/errors")["errors"]) == 5
    # the same again, record by record: through the staging table
    before = metric(worker, "scanline_sink_batches_total", way="staged")
    twice = new_scan()
    with Publisher(own.kafka.bootstrap) as publisher:
        publisher.singles(tenant, twice, [*lines[:500], *lines[:500]])
        publisher.closed(tenant, twice, 1_000)
    row = database.finished(tenant, twice)
    assert (row["records_stored"], row["records_duplicate"]) == (500, 500)
    assert metric(worker, "scanline_sink_batches_total", way="staged") > before
    for each in (scan, twice):
        assert_accounted(database, tenant, each)
    assert_told(database, statuses, [tenant])
    assert "scanline migrate" not in worker_log(worker)  # the roles lack nothing


@contextmanager
def telling(database: Database) -> Iterator[None]:
    """PostgreSQL writes into its log which settings are in force where a row is written by the writer or read by the reader."""
    values = ", ".join(f"'{name}', current_setting('{name}')" for name in IN_FORCE)
    database.rows(f"""
        CREATE FUNCTION tell() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
            RAISE LOG 'in force: %%', json_build_object('role', session_user, {values}); RETURN true;
        END $$;
        CREATE FUNCTION tell_of_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM tell(); RETURN NEW; END $$;
        CREATE TRIGGER tell BEFORE UPDATE ON scans FOR EACH ROW EXECUTE FUNCTION tell_of_row();
        ALTER TABLE rejected_records ENABLE ROW LEVEL SECURITY;
        CREATE POLICY everything ON rejected_records TO scanline_writer USING (true) WITH CHECK (true);
        CREATE POLICY tell ON rejected_records FOR SELECT TO scanline_reader USING (tell())""")
    try:
        yield
    finally:
        database.rows("""
            DROP POLICY tell ON rejected_records; DROP POLICY everything ON rejected_records;
            ALTER TABLE rejected_records DISABLE ROW LEVEL SECURITY;
            DROP TRIGGER tell ON scans; DROP FUNCTION tell_of_row(); DROP FUNCTION tell()""")


def told(own: Stack, role: str) -> list[dict[str, str]]:
    lines = [line for line in own.postgres.log_file.read_text().splitlines() if "in force: " in line]
    found = [json.loads(line.partition("in force: ")[2]) for line in lines]
    return [each for each in found if each.pop("role") == role]


def test_the_settings_in_force_are_those_of_each_process(
    own: Stack, worker: Service, caller: Tenant, tenant: str, database: Database
) -> None:
    bad = [changed(line, legal_basis="none") for line in generator.records(3, 1, tenant)]
    with telling(database):
        scan = caller.submit(bad)
        caller.ended(scan)
        assert len(caller.get(f"/scans/{scan}/errors")["errors"]) == 3
    writer, reader = told(own, "scanline_writer"), told(own, "scanline_reader")
    assert writer and reader
    for found in writer:
        deadline = f"{WRITE_SECONDS}s"
        assert [found[name] for name in IN_FORCE] == [deadline, deadline, deadline, "2s", "off", "off", "UTC"]
    for found in reader:
        assert found["statement_timeout"] == f"{READ_SECONDS}s"
        assert (found["transaction_read_only"], found["TimeZone"]) == ("on", "UTC")


def test_deadlines_end_what_waits_and_nothing_is_left_of_it(
    own: Stack, worker: Service, caller: Tenant, tenant: str, database: Database, statuses: StatusTopic
) -> None:
    lines = generator.records(200, 2, tenant)
    done = caller.submit(lines)
    caller.ended(done)
    failed = metric(worker, "scanline_sink_errors_total")
    with locked(own.postgres.superuser_dsn(), "processing_activities"):
        scan = caller.submit(generator.records(200, 3, tenant))
        for language in ("vi", "en"):
            answer = caller.call("GET", "/processing-activities", headers={"Accept-Language": language})
            assert_problem(answer, 503, "reads_unavailable")
        wait_for(lambda: metric(worker, "scanline_sink_errors_total") > failed, "a transaction waited in vain")
        # smaller attempts may have stored that the scan has begun, and no record of it
        left = "SELECT sum(records_stored), count(*) FILTER (WHERE finished_at IS NOT NULL) FROM scans WHERE tenant_id = %s"
        assert list(database.rows(left, tenant)[0].values()) == [200, 1]
    assert caller.ended(scan)["records_stored"] == 200
    assert len(caller.everything("/processing-activities", "processing_activities", limit=1_000)) == 400
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])


@pytest.mark.long
def test_sessions_pooler_and_workers_that_are_killed_lose_and_double_nothing(stack: Stack, tmp_path: Path) -> None:
    with pooler(tmp_path, stack.postgres.urls) as between, Database(stack.postgres.superuser_dsn()) as database:
        settings = {"SCANLINE_POSTGRES_WRITE_URL": between.urls.write}
        worker = stack.start_worker(settings)
        with Load(stack.kafka.bootstrap) as load:
            for _ in range(3):
                _wait_for_more(database)
                database.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = 'scanline_writer' AND state <> 'idle'"
                )
                _wait_for_more(database)
                between.kill()
                between.start()
                _wait_for_more(database)
                worker.kill()
                worker = stack.start_worker(settings)
        assert_exactly(stack, load.published)


def _wait_for_more(database: Database) -> None:
    total = "SELECT coalesce(sum(records_stored), 0) FROM scans"
    before = database.value(total)
    wait_for(lambda: database.value(total) > before, "more records are stored", 120)


def test_doctor_and_processes_say_what_a_role_lacks_and_migrate_mends_it(
    own: Stack, between: Pooler, scanline: Commands, database: Database
) -> None:
    assert _looks(scanline) == {"write": True, "read": True, "monitor": True}
    database.rows("ALTER ROLE scanline_writer RESET statement_timeout; ALTER ROLE scanline_reader RESET ALL")
    _reconnect(between)
    assert _looks(scanline) == {"write": False, "read": False, "monitor": True}
    service = own.start_worker({**service_urls(between.urls), "SCANLINE_STREAM_PIPELINE": "another"})
    api = own.start_api(service_urls(between.urls))
    with httpx.Client(base_url=api.base_url) as http:
        assert http.get("/v1/tenants/nobody/processing-activities").status_code == 200
    for each, role in ((service, "scanline_writer"), (api, "scanline_reader")):
        assert f"vai trò {role} chưa có" in worker_log(each) and f"the role {role} does not" in worker_log(each)
        each.stop()
    alone = Commands({"SCANLINE_POSTGRES_MIGRATE_URL": own.postgres.urls.migrate, "SCANLINE_DATA_DIR": "/nowhere"})
    said = alone("migrate").stderr
    for role in ("scanline_writer", "scanline_reader"):  # which may not be changed by the migrator
        assert f"Vai trò {role} chưa có" in said and f"The role {role} lacks" in said, said
    assert not scanline("migrate", "--json").stderr  # by each role's own right
    _reconnect(between)
    assert _looks(scanline) == {"write": True, "read": True, "monitor": True}


def _looks(scanline: Commands) -> dict[str, bool]:
    found = [row for row in json.loads(scanline("doctor", "--json").stdout) if row["part"].startswith("postgresql: ")]
    assert all("through a pooler" in row["found"] for row in found), found
    assert all(row["ok"] or "scanline migrate" in row["to do"] for row in found), found
    return {row["part"].removeprefix("postgresql: "): row["ok"] for row in found}


def _reconnect(between: Pooler) -> None:
    """Sessions that began before do not learn of a role's new settings."""
    between.kill()
    between.start()


def test_doctor_tells_a_direct_way_from_a_pooler(own: Stack) -> None:
    found = json.loads(Commands({**own.env, "SCANLINE_DATA_DIR": str(own.data_dir)})("doctor", "--json").stdout)
    sessions = [row for row in found if row["part"].startswith("postgresql: ")]
    assert len(sessions) == 3
    assert all(row["ok"] and "direct" in row["found"] for row in sessions)


def test_what_needs_a_session_of_its_own_is_refused(own: Stack, between: Pooler) -> None:
    pooled = Commands({**own.env, "SCANLINE_POSTGRES_MIGRATE_URL": between.urls.migrate})
    for command in (["migrate"], ["replay", "--to-schema", "behind"]):
        done = pooled(*command)
        assert done.returncode != 0
        assert "pooler" in done.stderr and "SCANLINE_POSTGRES_" in done.stderr, done.stderr


def test_one_operator_at_a_time_behind_it_too_and_no_lock_is_left(between: Pooler, database: Database) -> None:
    with DeadLetterLedger(between.urls.write) as first, DeadLetterLedger(between.urls.write) as second:
        first.take_turn()
        with pytest.raises(InfraError, match="dlq"):
            second.take_turn()
    with DeadLetterLedger(between.urls.write) as third:
        third.take_turn()
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    wait_for(lambda: database.value(held) == 0, "no lock is left")


def test_what_an_operator_decides_is_on_disk_whatever_the_role_says(own: Stack, between: Pooler) -> None:
    for url in (between.urls.write, own.postgres.urls.write):
        engine = create_engine(url)
        begin_with(engine, deciding(7))
        with engine.connect() as connection:
            found = [
                connection.exec_driver_sql(f"SHOW {name}").scalar()
                for name in ("synchronous_commit", "statement_timeout")
            ]
        engine.dispose()
        assert found == ["on", "7s"]


def test_lag_and_exporter_look_through_it(own: Stack, between: Pooler, worker: Service, scanline: Commands) -> None:
    assert json.loads(scanline("lag", "--json").stdout)["counted_by"] == "postgresql"
    check(between.urls.read, "inventory")
    exporter = own.start_exporter(service_urls(between.urls))
    wait_for(lambda: metric(exporter, "scanline_postgres_up") == 1, "it sees PostgreSQL")
    assert "does not tell" not in worker_log(exporter)
    exporter.stop()


def test_a_deadline_costs_the_sink_no_message_of_its_own(between: Pooler, own: Stack) -> None:
    """A transaction's settings go with its first statement."""
    for url in (own.postgres.urls.write, between.urls.write):
        sink = PostgresSink(write_engine(url, connections=1, deadline_seconds=WRITE_SECONDS), "counted")
        sink.probe()
        with sink._cursor() as cursor:
            before = cursor.call.answers
            cursor.begin("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
            assert cursor.fetchall() == [(f"{WRITE_SECONDS}s", f"{WRITE_SECONDS}s")]
            assert cursor.call.answers == before + 1
            cursor.execute("ROLLBACK")
            cursor.alone("SELECT current_setting('statement_timeout')")
            assert cursor.fetchall() == [(f"{WRITE_SECONDS}s",)]
        sink.close()
