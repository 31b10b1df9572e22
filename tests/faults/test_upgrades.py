"""A newer Kafka and a newer PostgreSQL under a running pipeline: the steps of docs/operations.md, with nothing lost or doubled
and no submission refused for good. `make test-long` fetches the other versions."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from infra.postgres.binaries import find_binaries, major_version
from infra.postgres.cluster import PostgresCluster
from infra.settings import PROJECT, InfraSettings
from infra.stack import Stack
from tests.docs_commands import script_with
from tests.helpers import Database, wait_for
from tests.load import LONG, Load, assert_exactly, metric, wait_for_messages
from tests.retrying_clients import RetryingClients
from tests.server_commands import owned, run_block
from trials.chaos.rig import Rig

pytestmark = pytest.mark.long

PAGE: Final = "docs/operations.md"
OLDER_KAFKA: Final = PROJECT / ".runtime/kafka-older/libs"
NEWER_POSTGRES: Final = PROJECT / ".runtime/postgres-newer"


def newer_postgres(than: Path) -> Path:
    """The folder of its programs."""
    there = [path.parent for path in NEWER_POSTGRES.rglob("bin/postgres")]
    newer = [folder for folder in there if int(major_version(folder)) > int(major_version(than))]
    if not newer:
        pytest.skip("no newer PostgreSQL is there: python3 infra/bootstrap.py upgrades")
    return max(newer, key=lambda folder: int(major_version(folder)))


def test_a_newer_postgresql(stack: Stack) -> None:
    """Worker and API run on; the database is away while it is upgraded."""
    old = find_binaries()
    new = newer_postgres(old)
    api, worker = stack.start_api(), stack.start_worker()
    with Load(stack.kafka.bootstrap) as load, RetryingClients(api.base_url) as clients:
        with Database(stack.postgres.superuser_dsn()) as database:
            wait_for_messages(database, 300)
            before = int(database.value("SELECT count(*) FROM processing_activities"))
        stack.postgres.stop()
        port, kept = stack.postgres.port, stack.data_dir / "postgres"
        place = owned(stack.data_dir / "upgraded")
        shutil.copy(kept / "passwords", place)
        stack.postgres = PostgresCluster(place, port, binaries=new)
        password = next(line for line in (place / "passwords").read_text().splitlines() if line.startswith("postgres:"))
        values = {
            "OLD_BIN": old,
            "NEW_BIN": new,
            "OLD": kept / "cluster",
            "NEW": place / "cluster",
            "PGPASSWORD": password.partition(":")[2],
        }
        run_block(PAGE, "pg_upgrade", values)
        wait_for(lambda: metric(worker, "scanline_stream_paused_lanes_count", reason="database") > 0, "lanes wait")
        stack.postgres.start()
        stack.postgres.wait_until_ready()
        run_block(PAGE, "vacuumdb", {"NEW_BIN": new, "SERVER": stack.postgres.superuser_dsn()})
        with Database(stack.postgres.superuser_dsn()) as database:
            assert database.value("SHOW server_version").startswith(major_version(new))
            assert database.value("SELECT count(*) FROM processing_activities") >= before
            wait_for_messages(database, 300)
    assert clients.errors == [] and clients.refused == []
    assert_exactly(stack, load.published | clients.published)
    assert worker.returncode is None
    assert metric(worker, "scanline_stream_lost_offsets_total") == 0


def level_of(described: str) -> str:
    """The finalised metadata.version in what `describe` prints."""
    (line,) = [line for line in described.splitlines() if line.startswith("Feature: metadata.version")]
    return line.partition("FinalizedVersionLevel: ")[2].split()[0]


def features(bootstrap: str, libs: Path, text: str) -> str:
    """The page's block that holds the text."""
    env = {"BOOTSTRAP": bootstrap, "LIBS": str(libs), "PATH": f"{Path(InfraSettings().java()).parent}:/usr/bin:/bin"}
    command = ["bash", "-euc", script_with(PAGE, text)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def test_a_newer_kafka_broker_by_broker(tmp_path: Path) -> None:
    """Three brokers that are controllers too; each is stopped, and started on the same data with the new jars."""
    if not OLDER_KAFKA.exists():
        pytest.skip("no older Kafka is there: python3 infra/bootstrap.py upgrades")
    libs = InfraSettings().kafka_libs.resolve()
    with Rig(tmp_path / "rig", brokers=3, kafka_libs=OLDER_KAFKA) as rig:
        rig.start_servers()
        api, worker = rig.start_api(), rig.start_worker()
        with (
            Database(rig.admin_dsn) as database,
            Load(rig.kafka.bootstrap) as load,
            RetryingClients(api.base_url) as clients,
        ):
            wait_for_messages(database, 300)
            for broker in rig.kafka.brokers:
                broker.stop(60)
                broker.use_jars(libs)
                broker.start()
                rig.kafka.wait_until_ready()
                rig.kafka.wait_until_in_sync(LONG)
                wait_for_messages(database, 300)
            before = level_of(features(rig.kafka.bootstrap, libs, "describe"))
            features(rig.kafka.bootstrap, libs, "--release-version")
            after = level_of(features(rig.kafka.bootstrap, libs, "describe"))
            assert before.startswith("4.1") and after.startswith("4.3")
            wait_for_messages(database, 300)
        assert clients.errors == []
        assert set(clients.refused) <= {"kafka_unavailable"}
        assert_exactly(rig, load.published | clients.published)
        assert worker.returncode is None
        assert metric(worker, "scanline_stream_lost_offsets_total") == 0
