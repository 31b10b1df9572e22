"""The settings that are written for this machine are those that PostgreSQL runs with."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import psycopg2.extras
import pytest

from infra.postgres.binaries import find_binaries, has_lz4
from infra.postgres.cluster import PostgresCluster
from infra.postgres.server_settings import MIB, settings_for, this_machine
from tests.helpers import Database, wait_for
from tests.server_commands import owned
from trials.bench import postgres_writes

_UNITS = {"B": 1, "kB": 1 << 10, "8kB": 8 << 10, "MB": 1 << 20, "s": 1, "min": 60, "ms": 0.001}


def _plain(value: str, unit: str | None = None) -> float | str:
    """A value in bytes or seconds, or as it stands."""
    for name in sorted(_UNITS, key=len, reverse=True):
        if value.endswith(name) and value[: -len(name)].isdigit():
            return int(value[: -len(name)]) * _UNITS[name]
    try:
        return float(value) * _UNITS.get(unit or "", 1)
    except ValueError:
        return value.strip("'")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PostgresCluster]:
    found = PostgresCluster(tmp_path / "postgres")
    try:
        yield found
    finally:
        found.stop("immediate")


def in_force(cluster: PostgresCluster) -> dict[str, float | str]:
    cluster.start()
    cluster.wait_until_ready()
    connection = psycopg2.connect(cluster.superuser_dsn("postgres"), cursor_factory=psycopg2.extras.RealDictCursor)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT name, setting, unit FROM pg_settings")
        rows = cursor.fetchall()
    connection.close()
    return {row["name"].lower(): _plain(row["setting"], row["unit"]) for row in rows}


def test_they_are_in_force_and_follow_the_machine_at_each_start(cluster: PostgresCluster, tmp_path: Path) -> None:
    settings = settings_for(this_machine(tmp_path), lz4=has_lz4(find_binaries()))
    expected = {each.name: _plain(each.value) for each in settings}
    found = in_force(cluster)
    assert {name: found[name] for name in expected} == expected
    cluster.stop()
    written = tmp_path / "postgres/cluster/scanline.conf"
    written.write_text("shared_buffers = 128MB\n")  # as if for another machine
    assert in_force(cluster)["shared_buffers"] == expected["shared_buffers"]
    main = (tmp_path / "postgres/cluster/postgresql.conf").read_text()
    assert main.count("include_if_exists = 'scanline.conf'") == 1


def test_the_log_is_archived_whole_and_never_over_another(tmp_path: Path) -> None:
    archive = owned(tmp_path / "archive")
    cluster = PostgresCluster(tmp_path / "postgres", archive=archive)
    try:
        cluster.start()
        cluster.wait_until_ready()
        with Database(cluster.superuser_dsn("postgres")) as database:
            segment = database.value("SELECT pg_walfile_name(pg_switch_wal())")
            wait_for((archive / segment).exists, "a segment is archived")
            assert (archive / segment).stat().st_size == 16 * MIB
            command = database.value("SHOW archive_command")

        def archived(content: bytes) -> int:
            (tmp_path / "segment").write_bytes(content)
            filled = command.replace("%p", str(tmp_path / "segment")).replace("%f", "0000000100000000000000FF")
            return subprocess.run(["sh", "-c", filled], check=False).returncode

        assert archived(b"this") == 0
        assert archived(b"this") == 0, "PostgreSQL may ask again for what it does not remember"
        assert archived(b"that") != 0
        assert (archive / "0000000100000000000000FF").read_bytes() == b"this"
        assert not list(archive.glob("*.part"))
    finally:
        cluster.stop("immediate")


@pytest.mark.long
def test_the_benchmark_of_ways_to_write_measures_each_once(tmp_path: Path) -> None:
    said: list[str] = []
    amounts = postgres_writes.Amounts(single=20, inserted=2_000, copied=32_000, rounds=1)
    found = postgres_writes.run(tmp_path, amounts, said.append)
    assert len(said) == len(found) == len({(each.way, each.variant) for each in found}) == 7 * 3 + 1
    for each in found:
        assert each.rows_per_second > 0 and 0 < each.p50 <= each.p99 <= each.longest
        assert each.wal_mib > 0
    assert [each.ratio > 0 for each in postgres_writes.comparisons(found)] == [True] * 6
