"""The tables as migrations make them are the tables of the code; each role can do its work and nothing else."""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from infra.postgres.migrate import current_revision, upgrade
from infra.processes.services import Service
from schemas.tables import HASH_PARTITIONS, metadata
from tests.helpers import Database
from tests.servers import Servers

DENIED: Final = "42501"
READ_ONLY: Final = "25006"
TABLES: Final = sorted(metadata.tables)
# a column of each that is text
COLUMN: Final = {name: "tenant_id" if "tenant_id" in table.c else "pipeline" for name, table in metadata.tables.items()}
# Settings of Faust's own, which it takes from the environment where it is not told otherwise.
TEMPTING: Final = {
    "PROCESSING_GUARANTEE": "exactly_once",
    "BROKER_URL": "kafka://127.0.0.1:1",
    "BROKER_CONSUMER_URL": "kafka://127.0.0.1:1",
    "CONSUMER_AUTO_OFFSET_RESET": "latest",
    "STREAM_WAIT_EMPTY": "true",
    "TOPIC_ALLOW_DECLARE": "true",
    "FAUST_PROCESSING_GUARANTEE": "exactly_once",
    "SCANLINE_PROCESSING_GUARANTEE": "exactly_once",
    "SCANLINE_STREAM_PROCESSING_GUARANTEE": "exactly_once",
    "WEB_ENABLED": "true",
    "FAUST_WEB_ENABLED": "true",
    "SCANLINE_WEB_ENABLED": "true",
}
ASK_FAUST: Final = """
import json
from stream_app.app import build_app, build_lanes
from stream_app.settings import WorkerSettings
settings = WorkerSettings()
conf = build_app(settings, build_lanes(settings)).conf
print(json.dumps({"broker": str(conf.broker[0]), "reset": conf.consumer_auto_offset_reset,
                  "guarantee": conf.processing_guarantee.value, "web": conf.web_enabled, "store": str(conf.store),
                  "leader": not conf.topic_disable_leader, "declare": conf.topic_allow_declare}))
"""


def test_migrations_make_the_tables_of_the_code(servers: Servers) -> None:
    engine = create_engine(servers.urls.migrate)
    with engine.connect() as connection:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            # its sixteen parts are named in the migration alone
            "include_name": lambda name, kind, _: kind != "table" or not str(name).startswith("processing_activities_"),
        }
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()
    assert differences == []


def test_migrating_again_changes_nothing(servers: Servers) -> None:
    before = current_revision(servers.urls.migrate)
    gc.disable()  # the lock of one migration is not left to the garbage collector: the next would wait for it
    try:
        upgrade(servers.urls.migrate)
        upgrade(servers.urls.migrate)
    finally:
        gc.enable()
    assert current_revision(servers.urls.migrate) == before is not None


def test_sixteen_parts_share_the_tenants(database: Database) -> None:
    bounds = database.rows(
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_inherits AS i JOIN pg_class AS c"
        " ON c.oid = i.inhrelid WHERE i.inhparent = 'processing_activities'::regclass ORDER BY 1"
    )
    assert bounds == [
        {
            "relname": f"processing_activities_{number:02}",
            "bound": f"FOR VALUES WITH (modulus 16, remainder {number})",
        }
        for number in range(16)
    ]
    assert HASH_PARTITIONS == 16
    strategy = "SELECT pg_get_partkeydef('processing_activities'::regclass)"
    assert database.value(strategy) == "HASH (tenant_id)"


@contextmanager
def connected(url: str) -> Iterator[Any]:
    connection: Any = psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def refusal(cursor: Any, statement: str) -> str | None:
    """The SQLSTATE; None where it was allowed."""
    try:
        cursor.execute(statement)
    except psycopg2.Error as error:
        return error.pgcode
    return None


DEFINING: Final = [
    "CREATE TABLE mine (x int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE mine",
    *(
        f"{verb} {table} {rest}".strip()
        for table in TABLES
        for verb, rest in [("ALTER TABLE", "ADD COLUMN mine int"), ("DROP TABLE", ""), ("TRUNCATE", "")]
    ),
]


def test_the_writer_cannot_define_or_take_back(servers: Servers) -> None:
    with connected(servers.urls.write) as cursor:
        taking_back = [f"DELETE FROM {table}" for table in TABLES]
        changing = [
            f"UPDATE {table} SET {COLUMN[table]} = ''" for table in TABLES if table not in ("scans", "stream_offsets")
        ]
        found = {statement: refusal(cursor, statement) for statement in [*DEFINING, *taking_back, *changing]}
        assert {statement: state for statement, state in found.items() if state != DENIED} == {}
        for table in TABLES:
            assert refusal(cursor, f"SELECT * FROM {table} LIMIT 1") is None


def test_the_reader_cannot_write(servers: Servers) -> None:
    with connected(servers.urls.read) as cursor:
        writing = [
            f"INSERT INTO {table} ({COLUMN[table]}) VALUES ('')" for table in TABLES if table != "stream_offsets"
        ]
        writing += [f"UPDATE {table} SET {COLUMN[table]} = ''" for table in TABLES if table != "stream_offsets"]
        writing += [
            "INSERT INTO stream_offsets (next_offset) VALUES (0)",
            "UPDATE stream_offsets SET next_offset = 0",
            *(f"DELETE FROM {table}" for table in TABLES),
        ]
        # by default, and where a client switches its default off
        for refused in ({DENIED, READ_ONLY}, {DENIED}):
            found = {statement: refusal(cursor, statement) for statement in [*DEFINING, *writing]}
            assert {statement: state for statement, state in found.items() if state not in refused} == {}
            cursor.execute("SET default_transaction_read_only = off")
        for table in TABLES:
            assert refusal(cursor, f"SELECT * FROM {table} LIMIT 1") is None
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("30s",)


def test_the_monitor_sees_no_record_and_cannot_write(servers: Servers) -> None:
    assert servers.urls.monitor is not None
    with connected(servers.urls.monitor) as cursor:
        cursor.execute("SET default_transaction_read_only = off")
        reading = [f"SELECT * FROM {table}" for table in TABLES if table != "stream_offsets"]
        writing = [f"DELETE FROM {table}" for table in TABLES]
        found = {statement: refusal(cursor, statement) for statement in [*DEFINING, *reading, *writing]}
        assert {statement: state for statement, state in found.items() if state != DENIED} == {}
        for allowed in (
            "SELECT * FROM stream_offsets",
            "SELECT sum(stored) FROM tenant_day_counts WHERE day = '2026-01-01'",
            "SELECT letter_offset FROM dead_letter_actions WHERE action = 'sent'",
            "SELECT count(*) FROM pg_ls_archive_statusdir()",
        ):
            assert refusal(cursor, allowed) is None, allowed
        assert refusal(cursor, "SELECT tenant_id FROM tenant_day_counts") == DENIED


@pytest.mark.parametrize("role", ["write", "read", "monitor"])
def test_no_service_role_is_more_than_a_login(servers: Servers, database: Database, role: str) -> None:
    name = make_url(getattr(servers.urls, role)).username
    attributes = database.rows(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = %s",
        name,
    )
    assert [set(row.values()) for row in attributes] == [{False}]
    owned = "SELECT count(*) FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner WHERE r.rolname = %s"
    assert database.value(f"{owned} AND c.relnamespace = 'public'::regnamespace", name) == 0


def test_faust_is_never_asked_for_exactly_once_nor_for_its_web_view(servers: Servers, tmp_path: Path) -> None:
    env = {**os.environ, **servers.env, **TEMPTING, "SCANLINE_STREAM_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ASK_FAUST], env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "broker": f"kafka://{servers.bootstrap}",
        "reset": "earliest",
        "guarantee": "at_least_once",
        "web": False,
        "store": "memory:",
        "leader": False,
        "declare": False,
    }


def test_the_worker_listens_for_metrics_and_nothing_else(worker: Service) -> None:
    listening = [
        (each.laddr.ip, each.laddr.port)
        for process in [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        for each in process.net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN
    ]
    assert listening == [("127.0.0.1", int(worker.base_url.rpartition(":")[2]))]
