"""The database is taken back to an earlier time, from a base backup and the archived log; the worker goes on from the offsets
of that time and writes everything after it again. The commands are those of docs/operations.md."""

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from infra.postgres.cluster import PostgresCluster
from infra.stack import Stack
from tests.commands import Commands
from tests.contents import contents
from tests.helpers import Database, Publisher, StatusTopic, array, assert_told, changed, wait_for
from tests.load import (
    LONG,
    Load,
    Published,
    assert_exactly,
    group_offset,
    metric,
    offsets,
    unfinished,
    wait_for_messages,
)
from tests.mixed_scans import mixed_scans
from tests.retrying_clients import RetryingClients
from tests.server_commands import owned, run_block
from tests.submissions import scans_of
from tests.topics import delete_before
from trials import generator

pytestmark = pytest.mark.long

PAGE: Final = "docs/operations.md"
BACKUP_PASSWORD: Final = "of-the-test"
Contents = dict[str, list[dict[str, Any]]]
COMPLETED: Final = "SELECT scan_id::text AS scan FROM scans WHERE status = 'completed'"


class Recovery:
    """A stack's PostgreSQL with an archive: backed up, lost, and restored in another folder."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        """Starts PostgreSQL again, with the archive."""
        self._stack = stack
        self._folder = folder
        self._place = stack.data_dir / "postgres"
        self._restored = 0
        self.archive = owned(folder / "archive")
        stack.postgres.stop()
        stack.postgres = PostgresCluster(self._place, archive=self.archive)
        self.port = stack.postgres.port
        stack.postgres.start()
        stack.postgres.wait_until_ready()

    def back_up(self, database: Database) -> None:
        database.rows(f"CREATE ROLE scanline_backup LOGIN REPLICATION PASSWORD '{BACKUP_PASSWORD}'")
        server = f"host=127.0.0.1 port={self.port} user=scanline_backup password={BACKUP_PASSWORD} dbname=postgres"
        backup = owned(self._folder / "backups") / "base"
        run_block(PAGE, "pg_basebackup", {"SERVER": server, "BACKUP": backup})

    def archive_all(self, database: Database) -> None:
        """Until what is written now is in the archive."""
        segment = database.value("SELECT pg_walfile_name(pg_switch_wal())")
        wait_for(lambda: (self.archive / segment).exists(), f"{segment} is archived")

    def lose(self) -> None:
        """The server dies, with its disk."""
        self._stack.postgres.kill()
        shutil.rmtree(self._place / "cluster")

    def restore(self, time: dt.datetime) -> None:
        """To that time, at the old address."""
        passwords = self._place / "passwords"
        self._restored += 1
        self._place = place = owned(self._stack.data_dir / f"restored-{self._restored}")
        values = {
            "BACKUP": self._folder / "backups" / "base",
            "RESTORED": place / "cluster",
            "ARCHIVE": self.archive,
            "TIME": time.isoformat(),
        }
        run_block(PAGE, "recovery_target_time", values)
        shutil.copy(passwords, place)
        self._stack.postgres = PostgresCluster(place, self.port, archive=self.archive)
        self._stack.postgres.start()
        self._stack.postgres.wait_until_ready()
        with Database(self._stack.postgres.superuser_dsn()) as database:
            wait_for(lambda: not database.value("SELECT pg_is_in_recovery()"), "it is promoted", LONG)


def committed(stack: Stack) -> dict[int, int]:
    """What the group has committed, where it has."""
    found = {partition: group_offset(stack, partition) for partition in range(12)}
    return {partition: offset for partition, offset in found.items() if offset > 0}


def stored(database: Database) -> dict[int, int]:
    rows = database.rows("SELECT partition, next_offset FROM stream_offsets WHERE next_offset > 0")
    return {row["partition"]: row["next_offset"] for row in rows}


def test_restored_to_an_earlier_time_under_load(stack: Stack, tmp_path: Path) -> None:
    """Scans are sent over HTTP and directly all the while, also while the database is gone."""
    recovery = Recovery(stack, tmp_path / "recovery")
    api, worker = stack.start_api(), stack.start_worker()
    with Load(stack.kafka.bootstrap) as load, RetryingClients(api.base_url) as clients:
        with Database(stack.postgres.superuser_dsn()) as database:
            wait_for_messages(database, 300)
            recovery.back_up(database)
            at_backup = offsets(database)
            wait_for_messages(database, 300)
            time = database.value("SELECT clock_timestamp()")
            wait_for_messages(database, 100)  # what is stamped before that time may be seen a moment after it
            at_time = offsets(database)
            wait_for_messages(database, 600)
            recovery.archive_all(database)
            wait_for(lambda: sum(committed(stack).values()) > at_time, "the group is further")
            assert worker.stop(60) == 0
            finished = {row["scan"] for row in database.rows(COMPLETED)}
        recovery.lose()
        ahead = committed(stack)
        recovery.restore(time)
        with Database(stack.postgres.superuser_dsn()) as database:
            assert at_backup < offsets(database) <= at_time
            assert database.value("SELECT max(updated_at) FROM scans") <= time
            undone = finished - {row["scan"] for row in database.rows(COMPLETED)}
            assert undone and sum(ahead.values()) > offsets(database)
            tell_ahead(api.base_url, stack, load.published, undone)
            worker = stack.start_worker()
            wait_for_messages(database, 300)
    assert clients.errors == [] and clients.refused == []
    assert_exactly(stack, load.published | clients.published)
    assert metric(worker, "scanline_stream_lost_offsets_total") == 0
    with Database(stack.postgres.superuser_dsn()) as database:
        wait_for(lambda: committed(stack) == stored(database), "the group follows")
        recovery.archive_all(database)  # and the archive goes on, on the new timeline
    assert any(file.name.startswith("00000002") for file in recovery.archive.iterdir())


def tell_ahead(base_url: str, stack: Stack, published: Published, undone: set[str]) -> None:
    """Until the worker has read them again, the API tells of scans what the lost database knew."""
    tenant, scan = next(each for each in published if each[1] in undone)
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        assert (tenant, scan) in unfinished(database, published)
        assert statuses.read()[f"{tenant}/{scan}"]["status"] == "completed"
    assert httpx.get(f"{base_url}{scans_of(tenant)}/{scan}", timeout=60).json()["status"] == "completed"


def corrected_later(publisher: Publisher, tenant: str, lines: list[bytes]) -> str:
    """A scan whose second record is rejected."""
    return publisher.scan(tenant, [lines[0], changed(lines[1], legal_basis="because"), *lines[2:]])


def letters(scanline: Commands, tenant: str) -> list[tuple[int, int]]:
    """Partition and offset in scan.records.v1 of each dead letter of a tenant."""
    found = json.loads(scanline("dlq", "list", "--tenant", tenant, "--json").stdout)["letters"]
    sources = [json.loads(scanline("dlq", "show", each["id"], "--json").stdout)["source"] for each in found]
    return sorted((int(each["partition"]), int(each["offset"])) for each in sources)


def test_what_came_after_that_time_comes_again_from_the_topic(stack: Stack, tmp_path: Path) -> None:
    """Rejected, duplicate, cancelled, corrected: everything is as it was, and what cannot be read is put aside once more.
    What retention has taken meanwhile is counted."""
    recovery = Recovery(stack, tmp_path / "recovery")
    worker = stack.start_worker()
    bootstrap, lines = stack.kafka.bootstrap, generator.records(20, 1, "corrected")
    with Database(stack.postgres.superuser_dsn()) as database:
        mixed_scans(bootstrap, database, "before")
        with Publisher(bootstrap) as publisher:
            scan = corrected_later(publisher, "corrected", lines)
        assert database.finished("corrected", scan)["status"] == "completed_with_errors"
        recovery.back_up(database)
        time = database.value("SELECT clock_timestamp()")
        mixed_scans(bootstrap, database, "after")
        with Publisher(bootstrap) as publisher:
            publisher.send("corrected", scan, "mended", array([lines[1]]), headers=[("ce_mends", b"1")])
        wait_for(lambda: (database.scan("corrected", scan) or {})["status"] == "completed", "it is corrected")
        expected = contents(database)
        scanline = Commands({**stack.env, "SCANLINE_DATA_DIR": str(tmp_path / "command")})
        (letter,) = letters(scanline, "after")
        recovery.archive_all(database)
    assert worker.stop(60) == 0
    recovery.lose()
    recovery.restore(time)
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(bootstrap) as statuses:
        assert (database.scan("corrected", scan) or {})["status"] == "completed_with_errors"
        assert database.value("SELECT count(*) FROM scans WHERE tenant_id = 'after'") == 0
        worker = stack.start_worker()
        wait_for(lambda: contents(database)["offsets"] == expected["offsets"], "all is read again", LONG)
        assert contents(database) == expected
        assert_told(database, statuses, ["before", "corrected", "after"], 90)
        assert letters(scanline, "after") == [letter, letter]
        recovery.archive_all(database)
    assert worker.stop(60) == 0
    recovery.lose()
    delete_before(stack, letter[0], dict(stored_in(expected))[letter[0]])
    recovery.restore(time)
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(bootstrap) as statuses:
        left = dict(stored_in(contents(database))).get(letter[0], 0)
        worker = stack.start_worker()
        publish_one(stack, "after")
        gone = dict(stored_in(expected))[letter[0]] - left
        wait_for(lambda: metric(worker, "scanline_stream_lost_offsets_total") == gone, "the loss is told", LONG)
        assert gone > 0
        done = scanline("statuses", "--older-than", "0", "--publish", "--json")
        lost = [each for each in json.loads(done.stdout) if each["stored"] is None]
        assert done.returncode == 0 and {each["tenant_id"] for each in lost} == {"after"} and len(lost) == 3
        assert_told(database, statuses, ["before", "corrected", "after"], 90)


def stored_in(found: Contents) -> list[tuple[int, int]]:
    return [(row["partition"], row["next_offset"]) for row in found["offsets"]]


def publish_one(stack: Stack, tenant: str) -> None:
    with Publisher(stack.kafka.bootstrap) as publisher:
        publisher.scan(tenant, generator.records(5, 9, tenant))
