"""A replay into PostgreSQL tables of its own: the live tables' twins, written once, by a role that cannot touch the live ones."""

import json
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from infra.processes.services import Service
from tests.commands import Commands
from tests.contents import contents_of
from tests.helpers import Database, Publisher, new_scan, wait_for
from tests.mixed_scans import mixed_scans
from tests.own import fixtures_on_servers
from tests.pipeline.test_dead_letters import read_at
from tests.poisoned_worker import SECRET
from tests.refusals import raising, refused
from tests.servers import Servers
from trials import generator

servers, worker, database, statuses = fixtures_on_servers("module")
ROUTINE: Final = "SELECT pg_get_functiondef('take_rejections'::regproc)"


class Analyst:
    """A role that may make schemas in one database and has no right on the live tables; and what it made there."""

    def __init__(self, database: Database, url: str, looking: Database) -> None:
        self._database = database
        self.url = url
        self._looking = looking

    def holds(self, schema: str) -> Database:
        """A look at the tables of the schema."""
        self._looking.rows(f"SET search_path = {schema}")
        return self._looking


@pytest.fixture(scope="module")
def analyst(servers: Servers, database: Database) -> Iterator[Analyst]:
    name, password = f"analyst_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    database.rows(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    database.rows(f"GRANT CREATE, TEMPORARY ON DATABASE {make_url(servers.urls.migrate).database} TO {name}")
    url = make_url(servers.urls.migrate).set(username=name, password=password)
    with Database(servers.admin_dsn) as looking:
        yield Analyst(database, url.render_as_string(hide_password=False), looking)
    database.rows(f"DROP OWNED BY {name} CASCADE")
    database.rows(f"DROP ROLE {name}")


@pytest.fixture
def scanline(servers: Servers, worker: Service, analyst: Analyst) -> Commands:
    kept = {name: value for name, value in servers.env.items() if name != "SCANLINE_POSTGRES_MIGRATE_URL"}
    return Commands({**kept, "SCANLINE_POSTGRES_REPLAY_URL": analyst.url})


@pytest.fixture
def schema() -> str:
    return f"replay_{uuid.uuid4().hex[:12]}"


def report(scanline: Commands, *arguments: str | Path) -> dict[str, Any]:
    done = scanline("replay", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.long
def test_a_tenant_and_the_whole_topic_are_what_the_live_tables_hold(
    scanline: Commands, servers: Servers, database: Database, analyst: Analyst, tenant: str, schema: str
) -> None:
    other = f"{tenant}-2"
    for each in (tenant, other):
        mixed_scans(servers.bootstrap, database, each)
    found = report(scanline, "--tenant", tenant, "--to-schema", schema)
    assert [found[name] for name in ("scans", "stored", "rejected", "duplicate")] == [3, 101, 4 + 10 + 3, 1 + 5]
    assert (found["schema"], found["unreadable"]) == (schema, {"message_unreadable": 1})
    assert contents_of(analyst.holds(schema), tenant, other) == contents_of(database, tenant)

    found = report(scanline, "--to-schema", f"{schema}_all")
    assert contents_of(analyst.holds(f"{schema}_all"), tenant, other) == contents_of(database, tenant, other)
    assert found["stored"] == analyst.holds(f"{schema}_all").value("SELECT count(*) FROM processing_activities")


def test_a_scan_alone(
    scanline: Commands, servers: Servers, database: Database, analyst: Analyst, tenant: str, schema: str
) -> None:
    scans = mixed_scans(servers.bootstrap, database, tenant)
    report(scanline, "--scan", scans[2], "--to-schema", schema)
    live = contents_of(database, tenant)
    assert contents_of(analyst.holds(schema), tenant) == {
        name: [row for row in rows if row["scan_id"] == scans[2]] for name, rows in live.items()
    }


def test_tables_and_routine_are_the_live_ones(
    scanline: Commands, database: Database, analyst: Analyst, tenant: str, schema: str
) -> None:
    report(scanline, "--tenant", tenant, "--to-schema", schema)
    made = analyst.holds(schema)
    described = (
        "SELECT c.relname, c.relkind, pg_get_partkeydef(c.oid) AS key, pg_get_expr(c.relpartbound, c.oid) AS bound,"
        " array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull ORDER BY a.attname)"
        " AS columns FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p', 'i', 'I')"
        " AND c.relname NOT IN ('replay', 'alembic_version', 'alembic_version_pkc')"
        " GROUP BY c.oid ORDER BY 1"
    )
    assert made.rows(described, schema) == database.rows(described, "public")
    assert made.value(ROUTINE).replace(schema, "public") == database.value(ROUTINE)


@pytest.mark.long
def test_a_killed_replay_goes_on_without_a_row_twice(
    scanline: Commands, servers: Servers, database: Database, analyst: Analyst, tenant: str, schema: str
) -> None:
    with Publisher(servers.bootstrap) as publisher:
        scans = [publisher.scan(tenant, generator.records(1_000, seed, tenant), at_once=50) for seed in range(3)]
    for scan in scans:
        database.finished(tenant, scan)
    command = ("--tenant", tenant, "--to-schema", schema)
    held = "SELECT coalesce(sum(records_stored), 0)::int FROM scans"
    # a minute's worth: it cannot be complete before it is looked at
    slow = scanline.start("replay", *command, "--rate", "50", "--json")
    wait_for(lambda: database.value("SELECT to_regclass(%s) IS NOT NULL", f"{schema}.scans"), "the tables are made")
    for _ in range(2):
        before = analyst.holds(schema).value(held)
        wait_for(lambda before=before: analyst.holds(schema).value(held) > before, "some rows are written")
        slow.send_signal(signal.SIGKILL)
        slow.communicate()
        assert 0 < analyst.holds(schema).value(held) < 3_000
        slow = scanline.start("replay", *command, "--rate", "50", "--json")
    slow.send_signal(signal.SIGKILL)
    slow.communicate()
    assert report(scanline, *command)["stored"] == 3_000
    assert contents_of(analyst.holds(schema), tenant) == contents_of(database, tenant)

    with Publisher(servers.bootstrap) as publisher:  # and what comes later is added by the same command
        later = publisher.scan(tenant, generator.records(100, 9, tenant))
    database.finished(tenant, later)
    assert report(scanline, *command)["stored"] == 3_100
    assert contents_of(analyst.holds(schema), tenant) == contents_of(database, tenant)


def test_only_its_own_schema_is_written_into_or_replaced(
    scanline: Commands, servers: Servers, database: Database, analyst: Analyst, tenant: str, schema: str
) -> None:
    scans = mixed_scans(servers.bootstrap, database, tenant)
    report(scanline, "--tenant", tenant, "--to-schema", schema)
    another = ("--scan", scans[0], "--to-schema", schema)
    assert scanline("replay", *another[:2], "--to-schema", "public").returncode == 1
    done = scanline("replay", *another)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 2
    assert tenant in done.stderr and "--overwrite" in done.stderr
    assert report(scanline, *another, "--overwrite")["scans"] == 1
    assert {row["scan_id"] for row in contents_of(analyst.holds(schema), tenant)["scans"]} == {scans[0]}

    stranger = f"{schema}_x"
    database.rows(f"CREATE SCHEMA {stranger}")
    database.rows(f"CREATE TABLE {stranger}.stream_offsets (LIKE stream_offsets)")
    try:
        done = scanline("replay", *another[:2], "--to-schema", stranger, "--overwrite")
        assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 2, done.stderr
        assert database.value("SELECT count(*) FROM pg_class WHERE relnamespace = %s::regnamespace", stranger) == 1
    finally:
        database.rows(f"DROP SCHEMA {stranger} CASCADE")


def test_offsets_of_a_topic_that_was_made_anew_are_not_gone_on_from(
    scanline: Commands, servers: Servers, database: Database, analyst: Analyst, tenant: str, schema: str
) -> None:
    mixed_scans(servers.bootstrap, database, tenant)
    command = ("--tenant", tenant, "--to-schema", schema)
    report(scanline, *command)
    database.rows(f"UPDATE {schema}.replay SET topic_id = '8xq2VnRZTnGm1Jr0Q5Yb7w'")
    done = scanline("replay", *command)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 2, done.stderr
    assert "được tạo lại" in done.stderr and "made anew" in done.stderr and "--overwrite" in done.stderr
    report(scanline, *command, "--overwrite")
    assert contents_of(analyst.holds(schema), tenant) == contents_of(database, tenant)


def test_a_second_replay_into_the_same_schema_waits_for_nothing(
    scanline: Commands, servers: Servers, database: Database, analyst: Analyst, tenant: str, schema: str
) -> None:
    with psycopg2.connect(servers.admin_dsn) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(8201508, hashtext(%s))", (schema,))
        done = scanline("replay", "--tenant", tenant, "--to-schema", schema)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 2, done.stderr
    assert "Another replay" in done.stderr


def test_another_database(scanline: Commands, servers: Servers, database: Database, tenant: str, schema: str) -> None:
    mixed_scans(servers.bootstrap, database, tenant)
    owner = make_url(servers.urls.migrate)
    database.rows(f"CREATE DATABASE {schema} OWNER {owner.username}")
    try:
        url = owner.set(database=schema).render_as_string(hide_password=False)
        done = scanline("replay", "--tenant", tenant, "--to-schema", schema, "--json", SCANLINE_POSTGRES_REPLAY_URL=url)
        assert done.returncode == 0, done.stderr
        with Database(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)) as there:
            there.rows(f"SET search_path = {schema}")
            assert contents_of(there, tenant) == contents_of(database, tenant)
    finally:
        database.rows(f"DROP DATABASE {schema} WITH (FORCE)")


@pytest.mark.parametrize("url", ["", "postgresql+psycopg2://nobody:x@127.0.0.1:1/none", "reader"])
def test_a_database_that_cannot_be_used_is_named(
    scanline: Commands, servers: Servers, tenant: str, schema: str, url: str
) -> None:
    found = servers.urls.read if url == "reader" else url
    if not url:
        scanline.env.pop("SCANLINE_POSTGRES_REPLAY_URL")
    done = scanline(
        "replay", "--tenant", tenant, "--to-schema", schema, **({"SCANLINE_POSTGRES_REPLAY_URL": found} if url else {})
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.strip().startswith(("--to-schema", "Vai trò", "Không chuẩn bị")), done.stderr
    assert "x@" not in done.stderr


@pytest.mark.parametrize(("table", "sqlstate"), [("rejected_records", "54000"), ("audit_log", "22P05")])
def test_a_message_that_the_database_refuses_is_named_and_the_others_are_stored(
    table: str,
    sqlstate: str,
    scanline: Commands,
    servers: Servers,
    database: Database,
    analyst: Analyst,
    tenant: str,
    schema: str,
) -> None:
    """As the worker puts it aside, outside the rows; where all of its scan's bookkeeping is refused (audit_log), without it."""
    other, scan, lines = f"{tenant}-b", new_scan(), generator.records(10, 6, tenant)
    whole = table == "audit_log"
    command = ("--tenant", tenant, "--tenant", other, "--to-schema", schema)
    report(scanline, *command)  # makes the tables
    when, ((kind, value, _, first),) = refused(tenant, table)
    with Publisher(servers.bootstrap) as publisher:
        if not whole:
            publisher.records(tenant, scan, lines[:5])
        publisher.send(tenant, scan, kind, value, first=first)
        if not whole:
            publisher.records(tenant, scan, lines[5:], first=5)
        beside = publisher.scan(other, generator.records(30, 7, other), at_once=3)
    database.finished(other, beside)
    with raising(database, f"{schema}.{table}", when, sqlstate):
        done = scanline("replay", *command, "--json")
    assert done.returncode == 3, done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    found = json.loads(done.stdout)
    (named,) = found["passed_over"]["first"]
    assert (found["passed_over"]["count"], found["unreadable"]) == (1, {"processing_failed": 1})
    assert f"(SQLSTATE {sqlstate}) at sinks.postgres." in named["reason"]
    assert (named["tenant_id"], named["scan_id"], named["activity_key"]) == (tenant, scan, None)
    assert read_at(servers.bootstrap, *map(int, named["message"].split(":"))).value() == value
    made = analyst.holds(schema)
    assert contents_of(made, other) == contents_of(database, other)
    stored = [row["activity_key"] for row in contents_of(made, tenant)["rows"]]
    assert stored == ([] if whole else sorted(json.loads(line)["activity_key"] for line in lines))
    assert [row["messages_unreadable"] for row in contents_of(made, tenant)["scans"]] == ([] if whole else [1])


def test_where_the_database_refuses_everything_the_replay_stops(
    scanline: Commands, servers: Servers, database: Database, tenant: str, schema: str
) -> None:
    command = ("--tenant", tenant, "--to-schema", schema)
    mixed_scans(servers.bootstrap, database, tenant)
    report(scanline, *command)
    mixed_scans(servers.bootstrap, database, tenant)
    with raising(database, f"{schema}.stream_offsets", "NEW.next_offset > 0", "22023"):
        done = scanline("replay", *command)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 2, done.stderr
    assert "mọi lần ghi" in done.stderr and "even without any message" in done.stderr
