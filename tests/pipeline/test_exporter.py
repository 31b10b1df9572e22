"""The exporter on real servers: every series is there with a value that can be checked, and none lies while a server is
away."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import httpx
import psycopg2
import psycopg2.extras
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from prometheus_client.parser import text_string_to_metric_families

from infra.postgres.migrate import prepare
from infra.processes.services import Service
from infra.stack import Stack
from operations.exporter import declarations
from operations.exporter.sources import Told
from tests.commands import Commands, environment
from tests.faults.test_dead_letter_limit import garbage
from tests.helpers import STATUS, Database, Publisher, new_scan, wait_for
from tests.load import LONG, Load, worker_log
from tests.own import stack_of_module
from tests.row_locks import held
from trials import generator

Series = dict[tuple[str, ...], float]
SETTINGS: Final = {"SCANLINE_EXPORTER_INTERVAL_SECONDS": "0.5", "SCANLINE_EXPORTER_ANSWER_SECONDS": "3"}
# Made by openssl for this test alone; nobody has its key.
CERTIFICATE: Final = """\
-----BEGIN CERTIFICATE-----
MIIBfjCCASOgAwIBAgIUBNNtsy2HdOuLPztKkvZcVzl0SGMwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2MTEyNzA4MTQ0MloXDTM2MTEyNDA4
MTQ0MlowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAE+jGgFkj9LffdUf4+3T44+lF00uXQ4I324luC+SjL7/D9Q2gTFmClp4t8
J9v93B1963jnPsg+KR3G277PotFsx6NTMFEwHQYDVR0OBBYEFNwHxJa0f8w43Sfa
1ORmzBW5hWlGMB8GA1UdIwQYMBaAFNwHxJa0f8w43Sfa1ORmzBW5hWlGMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhANvUfXiVjSVACmwHI4hqpf/D
L0ljZhHzKcchtc3lDF9rAiEA+ni69Kw3//8+B7ZIAJE7szBoun0aDrvI43VLFE5o
AxE=
-----END CERTIFICATE-----
"""
ENDS: Final = 2_111_127_282.0
_BOUND: Final = 2.0  # seconds; one that waited for a server would take all of its three


servers_alone = stack_of_module()


@pytest.fixture
def exporter(servers_alone: Stack) -> Iterator[Service]:
    """On servers that the tests of this module share: they leave them as they were."""
    running = servers_alone.start_exporter(SETTINGS)
    yield running
    running.stop()


def series(exporter: Service) -> dict[str, Series]:
    """By name, and by the values of the labels. A scrape waits for nobody."""
    for _ in range(3):
        started = time.monotonic()
        text = httpx.get(exporter.metrics_url, timeout=30).text
        if time.monotonic() - started < _BOUND:
            break
    else:
        raise AssertionError("no scrape of three was answered at once")
    found: dict[str, Series] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("scanline_"):
                found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def value(exporter: Service, name: str, *labels: str) -> float | None:
    return series(exporter).get(f"scanline_{name}", {}).get(labels)


def declared() -> set[str]:
    """As Prometheus shows them."""
    return {each.name + "_total" * (each.type == "counter") for each in Told([]).describe()}


def of(prefix: str) -> set[str]:
    """The names that begin with it, but for whether the source is up."""
    return {name for name in declared() if name.startswith(prefix) and not name.endswith("_up")}


@contextmanager
def standby(stack: Stack, name: str) -> Iterator[None]:
    """What PostgreSQL takes for a standby that has replayed everything up to 0/1 and no more."""
    connection = psycopg2.connect(
        stack.postgres.superuser_dsn(),
        connection_factory=psycopg2.extras.PhysicalReplicationConnection,
        application_name=name,
    )
    with closing(connection), connection.cursor() as cursor, Database(stack.postgres.superuser_dsn()) as database:
        at = database.value("SELECT pg_current_wal_lsn()")
        cursor.start_replication(slot_type=psycopg2.extras.REPLICATION_PHYSICAL, start_lsn=at)
        cursor.send_feedback(write_lsn=1, flush_lsn=1, apply_lsn=1, force=True)
        yield


def test_every_series_is_there_under_load(stack: Stack, tmp_path: Path) -> None:
    certificate = tmp_path / "server.pem"
    certificate.write_text(CERTIFICATE)
    worker = stack.start_worker()
    exporter = stack.start_exporter(
        {**SETTINGS, "SCANLINE_EXPORTER_CERTIFICATES": f"{certificate},{tmp_path / 'none.pem'}"}
    )
    with Database(stack.postgres.superuser_dsn()) as database, standby(stack, "second"):
        with Load(stack.kafka.bootstrap):
            wait_for(lambda: series(exporter).keys() == declared(), "every series is there", LONG)
            wait_for(lambda: sum(series(exporter)["scanline_lag_written_offset"].values()) > 100, "it follows", LONG)
        wait_for(lambda: set(series(exporter)["scanline_lag_messages"].values()) == {0}, "all is written", LONG)
        found = series(exporter)
        partitions = {(str(number),) for number in range(12)}
        for name in of("scanline_lag_"):
            assert found[name].keys() == partitions
        ends = {number: each for (number,), each in found["scanline_lag_end_offset"].items()}
        written = database.rows("SELECT partition, next_offset FROM stream_offsets")
        assert ends == {str(row["partition"]): row["next_offset"] for row in written}
        assert found["scanline_lag_written_offset"] == found["scanline_lag_end_offset"]
        assert set(found["scanline_lag_owned"].values()) == {1} and set(found["scanline_lag_seconds"].values()) == {0}
        assert found["scanline_kafka_up"] == found["scanline_postgres_up"] == {(): 1}
        assert found["scanline_topic_compacted"] == {
            ("scan.records.v1",): 0, ("scan.status.v1",): 1, ("scan.dlq.v1",): 0,
        }  # fmt: skip
        assert found["scanline_topic_partitions"][("scan.records.v1",)] == 12
        assert found["scanline_certificate_expiry_seconds"] == {(str(certificate),): ENDS}
        readable = {(str(certificate),): 1.0, (str(tmp_path / "none.pem"),): 0.0}
        assert found["scanline_certificate_readable"] == readable
        assert found["scanline_disk_size_bytes"].keys() == {("kafka",), ("postgres",)}
        for disk, size in found["scanline_disk_size_bytes"].items():
            assert 0 < found["scanline_disk_free_bytes"][disk] < size
        tables = {row["t"] for row in database.rows("SELECT relname AS t FROM pg_class WHERE relkind IN ('r', 'p') AND NOT"
                                                    " relispartition AND relnamespace = 'public'::regnamespace")}  # fmt: skip
        assert {name for (name,) in found["scanline_postgres_table_bytes"]} == tables
        assert {name for (name,) in found["scanline_postgres_dead_rows"]} == tables
        assert found["scanline_postgres_connections_limit"] == {(): 115}
        states = found["scanline_postgres_connections_count"]
        assert 1 <= sum(states.values()) <= 115 and states["idle",] >= 1 and states["active",] >= 1
        size = "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'processing_activities'::regclass"
        wait_for(
            lambda: value(exporter, "postgres_table_bytes", "processing_activities") == float(database.value(size)),
            "partitions are summed",
        )
        position = float(database.value("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"))
        wait_for(lambda: (value(exporter, "postgres_wal_bytes_total") or 0) >= position, "WAL is counted")
        assert (value(exporter, "postgres_replication_lag_bytes", "second") or 0) >= position - 1
    assert worker.stop(60) == 0
    wait_for(lambda: set(series(exporter)["scanline_lag_owned"].values()) == {0}, "nobody owns a partition", LONG)
    with Publisher(stack.kafka.bootstrap) as publisher:
        publisher.singles("tenant-a", new_scan(), generator.records(5, 1, "tenant-a"))
    wait_for(lambda: sum(series(exporter)["scanline_lag_messages"].values()) == 5, "lag is told without a worker")
    assert "none.pem" in worker_log(exporter)  # a file that is not there is said, and told nothing about
    exporter.signal(signal.SIGTERM)
    assert exporter.stop(10) == 0
    assert "Traceback" not in worker_log(exporter)


def test_what_is_done_to_postgresql_is_counted(stack: Stack) -> None:
    exporter = stack.start_exporter(SETTINGS)
    stack.start_worker()

    def rises(name: str, *labels: str) -> Callable[[float], bool]:
        return lambda least: (value(exporter, name, *labels) or 0) >= least

    with Database(stack.postgres.superuser_dsn()) as database, Publisher(stack.kafka.bootstrap) as publisher:
        scan = publisher.scan("tenant-a", generator.records(10, 1, "tenant-a"))
        database.finished("tenant-a", scan, LONG)
        wait_for(lambda: value(exporter, "postgres_checkpoints_total", "requested") is not None, "checkpoints are told")
        before = value(exporter, "postgres_checkpoints_total", "requested") or 0
        database.rows("CHECKPOINT")
        wait_for(lambda: rises("postgres_checkpoints_total", "requested")(before + 1), "a forced checkpoint counts")

        assert value(exporter, "postgres_locks_waiting_count") == 0
        with held(stack, [("tenant-a", scan)]):
            taking = threading.Thread(
                target=database.rows, args=("UPDATE scans SET version = version WHERE scan_id = %s", scan)
            )
            taking.start()
            wait_for(lambda: rises("postgres_locks_waiting_count")(1), "a lock that is waited for")
            wait_for(lambda: rises("postgres_longest_transaction_seconds")(1), "a transaction that lasts")
        taking.join()
        wait_for(lambda: value(exporter, "postgres_locks_waiting_count") == 0, "nobody waits")

        database.rows("ALTER TABLE scans SET (autovacuum_enabled = off)")
        for _ in range(5):
            database.rows("UPDATE scans SET version = version")
        wait_for(lambda: rises("postgres_dead_rows", "scans")(5), "dead rows are counted", LONG)

        with psycopg2.connect(stack.postgres.superuser_dsn()) as locking:
            locking.cursor().execute("LOCK TABLE rejected_records")
            # its size cannot be asked for: those of all are left out, and nothing else
            wait_for(lambda: "scanline_postgres_table_bytes" not in series(exporter), "nothing is told of the sizes")
            assert value(exporter, "postgres_up") == 1 and "scanline_postgres_dead_rows" in series(exporter)
        locking.close()
        wait_for(lambda: "scanline_postgres_table_bytes" in series(exporter), "the sizes are told again")

        for setting in ("archive_mode = on", "archive_command = 'false'"):
            database.rows(f"ALTER SYSTEM SET {setting}")
        database.close()
        stack.postgres.stop()
        stack.postgres.start()
        stack.postgres.wait_until_ready()
        database.rows("SELECT pg_switch_wal()")
        wait_for(lambda: rises("postgres_archive_failures_total")(1), "a failure of the archive", LONG)
        assert rises("postgres_archive_pending_files")(1)

        assert value(exporter, "dead_letters_waiting_count") == 0
        garbage(publisher, "tenant-a", new_scan(), 3)
        publisher.flush()
        wait_for(lambda: value(exporter, "dead_letters_waiting_count") == 3, "letters that wait", LONG)
        run = Commands(stack.env)
        (letter, *_) = json.loads(run("dlq", "list", "--json").stdout)["letters"]
        assert run("dlq", "drop", letter["id"], "--because", "a test", "--yes").returncode == 0
        wait_for(lambda: value(exporter, "dead_letters_waiting_count") == 2, "one was dropped")


def test_a_topic_that_is_not_compacted_any_more(servers_alone: Stack, exporter: Service) -> None:
    wait_for(lambda: value(exporter, "topic_compacted", STATUS) == 1, "it is compacted")
    admin = AdminClient({"bootstrap.servers": servers_alone.kafka.bootstrap})
    for policy, compacted in (("delete", 0), ("compact", 1)):
        resource = ConfigResource(ResourceType.TOPIC, STATUS)
        resource.add_incremental_config(
            ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
        )
        admin.incremental_alter_configs([resource])[resource].result(30)
        wait_for(lambda wanted=compacted: value(exporter, "topic_compacted", STATUS) == wanted, f"it is «{policy}»")  # type: ignore[misc]


def test_nothing_is_told_of_a_server_that_is_away(stack: Stack) -> None:
    """Stopped, frozen, back again; the other one's series are there all the while."""
    exporter = stack.start_exporter(SETTINGS)
    stack.start_worker()
    with Publisher(stack.kafka.bootstrap) as publisher, Database(stack.postgres.superuser_dsn()) as database:
        database.finished("tenant-a", publisher.scan("tenant-a", generator.records(5, 1, "tenant-a")), LONG)

    def ups() -> tuple[float | None, float | None]:
        return value(exporter, "kafka_up"), value(exporter, "postgres_up")

    wait_for(lambda: ups() == (1, 1), "both are up", LONG)
    for away, back in (
        (lambda: stack.postgres.stop("immediate"), stack.postgres.start),
        (stack.postgres.freeze, stack.postgres.thaw),
    ):
        away()
        wait_for(lambda: ups() == (1, 0), "PostgreSQL is away", LONG)
        assert not of("scanline_postgres_") & series(exporter).keys()
        gone = {"scanline_lag_written_offset", "scanline_dead_letters_waiting_count"}
        wait_for(lambda gone=gone: not gone & series(exporter).keys(), "what it knows alone is not told", LONG)  # type: ignore[misc]
        by_group = of("scanline_lag_") - gone
        wait_for(lambda by_group=by_group: by_group <= series(exporter).keys(), "lag by the group", LONG)  # type: ignore[misc]
        assert exporter.is_ready()
        back()
        wait_for(lambda: ups() == (1, 1), "PostgreSQL is back", LONG)
        wait_for(lambda: of("scanline_lag_") <= series(exporter).keys(), "all is told again", LONG)
    for away, back in ((stack.kafka.kill, stack.kafka.start), (stack.kafka.freeze, stack.kafka.thaw)):
        away()
        wait_for(lambda: ups() == (0, 1), "Kafka is away", LONG)
        assert not (of("scanline_lag_") | of("scanline_topic_")) & series(exporter).keys()
        assert "scanline_postgres_table_bytes" in series(exporter)
        back()
        wait_for(lambda: ups() == (1, 1), "Kafka is back", LONG)
    log = worker_log(exporter)
    assert "Traceback" not in log and log.count("postgres không trả lời") == 2 and log.count("kafka không trả lời") == 2
    assert stack.postgres.urls.monitor and stack.postgres.urls.monitor.split(":")[2].split("@")[0] not in log


def test_a_role_without_the_right_is_told_less_and_nothing_wrong(servers_alone: Stack) -> None:
    with Database(servers_alone.postgres.superuser_dsn()) as database:
        database.rows("REVOKE pg_monitor FROM scanline_monitor")
    exporter = servers_alone.start_exporter(SETTINGS)
    wait_for(lambda: value(exporter, "postgres_up") == 1, "PostgreSQL answers")
    hidden = {
        f"scanline_postgres_{name}"
        for name in (
            "connections_count",
            "archive_pending_files",
            "replication_lag_bytes",
            "longest_transaction_seconds",
        )
    }
    assert of("scanline_postgres_") - series(exporter).keys() == hidden
    assert "pg_monitor" in worker_log(exporter)
    exporter.stop()
    prepare(servers_alone.postgres)  # which gives it back


def test_a_cluster_that_an_earlier_version_made_gets_the_role(servers_alone: Stack) -> None:
    stack = servers_alone
    with Database(stack.postgres.superuser_dsn()) as database:
        database.rows("DROP OWNED BY scanline_monitor")
        database.rows("REVOKE pg_monitor FROM scanline_monitor")
        database.rows("DROP ROLE scanline_monitor")
    stack.postgres.stop()
    passwords = stack.data_dir / "postgres" / "passwords"
    lines = passwords.read_text().splitlines(keepends=True)
    passwords.write_text("".join(line for line in lines if not line.startswith("scanline_monitor:")))
    stack.postgres.start()
    stack.postgres.wait_until_ready()
    prepare(stack.postgres)
    exporter = stack.start_exporter(SETTINGS)
    expected = of("scanline_postgres_") - {"scanline_postgres_replication_lag_bytes"}  # there is no standby
    wait_for(lambda: expected <= series(exporter).keys(), "it tells everything", LONG)
    wait_for(lambda: "scanline_lag_written_offset" not in series(exporter), "nothing has been written")
    assert "không cho biết" not in worker_log(exporter)
    exporter.stop()


def test_health_and_a_port_that_is_taken(servers_alone: Stack, exporter: Service) -> None:
    stack = servers_alone
    assert httpx.get(f"{exporter.base_url}/healthz", timeout=30).json() == {"ok": True}
    assert exporter.health() == {"ok": True, "kafka": True, "postgres": True, "machine": True}
    port = exporter.settings["SCANLINE_EXPORTER_PORT"]
    command = [sys.executable, "-m", "operations.exporter"]
    cases: list[tuple[dict[str, str], str]] = [
        ({"SCANLINE_EXPORTER_PORT": port}, "SCANLINE_EXPORTER_PORT"),
        ({"SCANLINE_EXPORTER_INTERVAL_SECONDS": "soon"}, "SCANLINE_EXPORTER_INTERVAL_SECONDS"),
    ]
    for settings, named in cases:
        done = subprocess.run(
            command, env=environment({**stack.env, **settings}), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1 and named in done.stderr and "Traceback" not in done.stderr
    started = Commands({**stack.env, **SETTINGS, "SCANLINE_EXPORTER_PORT": "0"}).start("exporter")
    assert started.stderr is not None
    assert any("exporter metrics on port" in line for line in started.stderr)
    started.send_signal(signal.SIGINT)
    assert started.wait(30) == 0
    assert "Traceback" not in started.communicate()[1]
    with socket.socket() as silent:  # it takes connections and answers nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        mute = stack.start_exporter(
            {**SETTINGS, "SCANLINE_POSTGRES_MONITOR_URL": f"postgresql+psycopg2://x:x@{address}/x"}
        )
        wait_for(lambda: (value(mute, "kafka_up"), value(mute, "postgres_up")) == (1, 0), "it is given up", LONG)
        assert mute.stop(10) == 0


def test_each_metric_is_declared_once_and_says_what_to_do() -> None:
    families = [each for each in vars(declarations).values() if hasattr(each, "documentation")]
    assert len({each.name for each in families}) == len(families) == len(declared())
    assert all(not each.samples for each in families)
    assert all(len(each.documentation) > 30 for each in families)
