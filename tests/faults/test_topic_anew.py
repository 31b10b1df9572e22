"""A topic made anew under its name has another id: nothing of it is passed over, however far it has grown."""

import json
from pathlib import Path
from typing import Any

import pytest
from alembic import command

from infra.postgres.migrate import alembic_config, upgrade
from infra.processes.services import Service
from infra.stack import Stack
from tests.commands import Commands, rows
from tests.helpers import Database, Publisher, StatusTopic, assert_accounted, assert_told, wait_for
from tests.load import LONG, Load, assert_exactly, metric, wait_for_lanes, wait_for_messages, worker_log
from tests.murmur2 import partition_of, tenants_by_partition
from tests.topics import make_anew, topic_id
from trials import generator

TENANTS = tenants_by_partition("again")
TENANT, OTHER = TENANTS[3], TENANTS[4]
PARTITION = partition_of(TENANT.encode())


def place(database: Database, partition: int = PARTITION) -> tuple[int, str | None]:
    (row,) = database.rows("SELECT next_offset, topic_id FROM stream_offsets WHERE partition = %s", partition)
    return row["next_offset"], row["topic_id"]


def waits(worker: Service) -> bool:
    return metric(worker, "scanline_stream_paused_lanes_count", reason="log_replaced") == 1


def publish(stack: Stack, tenant: str, records: int, seed: int) -> str:
    """A message a record, and the last that closes the scan."""
    with Publisher(stack.kafka.bootstrap) as publisher:
        return publisher.scan(tenant, generator.records(records, seed, tenant), at_once=1)


def start(stack: Stack) -> Service:
    """A worker that may never be ready: it listens."""
    worker = stack.start_worker(wait=False)
    wait_for(lambda: "worker metrics on port" in worker_log(worker), "it listens", LONG)
    return worker


@pytest.fixture
def scanline(stack: Stack, tmp_path: Path) -> Commands:
    return Commands({"SCANLINE_DATA_DIR": str(tmp_path / "command"), **stack.env})


def test_grown_past_the_stored_offset_while_no_worker_runs(stack: Stack, scanline: Commands) -> None:
    """Offsets alone cannot tell the two apart: the id can, before anything is read."""
    worker = stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        database.finished(TENANT, publish(stack, TENANT, 50, 1), LONG)
        assert worker.stop(60) == 0
        old = topic_id(stack.kafka.bootstrap)
        assert place(database) == (51, old)
        new = make_anew(stack.kafka.bootstrap)
        second = publish(stack, TENANT, 120, 2)
        elsewhere = publish(stack, OTHER, 10, 3)
        worker = start(stack)
        wait_for(lambda: worker.health().get("paused_reasons") == {str(PARTITION): "log_replaced"}, "it waits", LONG)
        assert not worker.is_ready() and waits(worker)
        assert f"{old} → {new}" in worker_log(worker)
        assert database.finished(OTHER, elsewhere, LONG)["records_stored"] == 10
        assert database.scan(TENANT, second) is None and place(database) == (51, old)
        waiting = {row["partition"]: row["lag"] for row in json.loads(scanline("lag", "--json").stdout)["partitions"]}
        assert waiting[PARTITION] == 121

        again = start(stack)  # whoever gets the partition waits with it, also after a restart
        wait_for_lanes(again, (6).__eq__, "half the")
        wait_for(lambda: waits(worker) or waits(again), "it waits again", LONG)
        assert again.stop(60) == 0
        assert place(database) == (51, old)

        refused = scanline("offsets", "reset", "--partition", str(PARTITION), "--to", "51")
        assert refused.returncode == 1 and "51 offset" in refused.stderr and "--yes" in refused.stderr
        done = rows(scanline("offsets", "reset", "--all", "--to", "earliest", "--json"))
        assert done == [{"partition": PARTITION, "before": 51, "after": 0, "passed_over": 0}]
        row = database.finished(TENANT, second, LONG)
        assert [row[f"records_{name}"] for name in ("stored", "rejected", "duplicate")] == [120, 0, 0]
        assert_accounted(database, TENANT, second)
        assert place(database) == (121, new)
        assert {row["topic_id"] for row in database.rows("SELECT topic_id FROM stream_offsets")} == {new}
        wait_for(worker.is_ready, "the worker is ready", LONG)
        assert metric(worker, "scanline_stream_gap_offsets_total") == 0
        assert_told(database, statuses, [TENANT, OTHER], 90)
        (audit,) = database.rows("SELECT details FROM audit_log WHERE action = 'offset_reset'")
        assert audit["details"]["topic_id"] == new


@pytest.mark.long
def test_made_anew_and_refilled_under_a_running_worker(stack: Stack, scanline: Commands) -> None:
    """It may have read messages of the new topic behind the old offset before it looked: they are kept, those before are not
    passed over, and nothing is there twice."""
    worker = stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        database.finished(TENANT, publish(stack, TENANT, 20, 1), LONG)
        old = topic_id(stack.kafka.bootstrap)
        new = make_anew(stack.kafka.bootstrap)
        second = publish(stack, TENANT, 300, 2)
        wait_for(lambda: waits(worker), "the lane waits", LONG)
        at, of = place(database)
        assert at >= 21 and of == old
        row = database.scan(TENANT, second)
        assert row is None or row["status"] == "processing"
        done = rows(scanline("offsets", "reset", "--all", "--to", "earliest", "--json"))
        assert [row["partition"] for row in done] == [PARTITION]
        row = database.finished(TENANT, second, LONG)
        assert [row[f"records_{name}"] for name in ("stored", "rejected", "duplicate")] == [300, 0, 0]
        assert_accounted(database, TENANT, second)
        assert place(database) == (301, new)
        wait_for(worker.is_ready, "the worker is ready", LONG)
        assert worker.returncode is None
        assert_told(database, statuses, [TENANT], 90)
        done = scanline("replay", "--verify", "--json")
        found = json.loads(done.stdout)
        assert (done.returncode, found["compared"], found["equal"], found["not_comparable"]) == (0, 2, 1, 1), found


@pytest.mark.long
def test_made_anew_with_fewer_partitions(stack: Stack, scanline: Commands) -> None:
    """Those that are gone keep their offsets and hinder nobody; each command that looks at partitions still works."""
    worker = stack.start_worker()
    left, gone = TENANTS[1], TENANTS[7]
    with Database(stack.postgres.superuser_dsn()) as database:
        for tenant in (left, gone):
            database.finished(tenant, publish(stack, tenant, 5, 1), LONG)
        assert worker.stop(60) == 0
        make_anew(stack.kafka.bootstrap, 4)
        partitions = {tenant: partition_of(tenant.encode()) for tenant in (left, gone)}
        none = scanline("offsets", "reset", "--partition", str(partitions[gone]), "--to", "earliest")
        assert none.returncode == 1 and f"no partition {partitions[gone]}" in none.stderr
        done = scanline("offsets", "reset", "--all", "--to", "earliest", "--json")
        assert rows(done) == [{"partition": partitions[left], "before": 6, "after": 0, "passed_over": 0}]
        assert str(partitions[gone]) in done.stderr and "left as they are" in done.stderr
        assert place(database, partitions[gone])[0] == 6
        assert len(json.loads(scanline("lag", "--json").stdout)["partitions"]) == 4
        stack.start_worker()
        for tenant in (left, gone):
            again = publish(stack, tenant, 7, 2)
            assert database.finished(tenant, again, LONG)["records_stored"] == 7


@pytest.mark.long
def test_an_operator_passes_over_messages(stack: Stack, scanline: Commands) -> None:
    """--to OFFSET within the log, and only with --yes; outside of it not at all."""

    def reset(*arguments: str) -> Any:
        return scanline("offsets", "reset", "--partition", str(PARTITION), *arguments, "--json")

    worker = stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database:
        database.finished(TENANT, publish(stack, TENANT, 20, 1), LONG)
        make_anew(stack.kafka.bootstrap)
        second = publish(stack, TENANT, 10, 2)
        wait_for(lambda: waits(worker), "the lane waits", LONG)
        before = place(database)
        refused = reset("--to=12", "--yes")
        assert refused.returncode == 1 and "0 đến 11" in refused.stderr and "0 to 11" in refused.stderr
        for wrong in ("-1", "newest"):
            refused = reset(f"--to={wrong}", "--yes")
            assert refused.returncode == 2 and f"{wrong}»; it must be one of: earliest, latest" in refused.stderr
        refused = reset("--to", "3")
        assert refused.returncode == 1 and "3 offsets" in refused.stderr and "--yes" in refused.stderr
        assert place(database) == before and database.scan(TENANT, second) is None
        done = rows(reset("--to", "3", "--yes"))
        assert done == [{"partition": PARTITION, "before": before[0], "after": 3, "passed_over": 3}]
        wait_for(lambda: place(database) == (11, topic_id(stack.kafka.bootstrap)), "the lane goes on", LONG)
        row = database.scan(TENANT, second)
        assert row is not None and row["records_stored"] == 7 and row["status"] == "processing"
        (audit,) = database.rows("SELECT details FROM audit_log WHERE action = 'offset_reset'")
        assert audit["details"]["passed_over"] == 3


@pytest.mark.long
def test_nothing_stops_where_the_topic_is_the_same(stack: Stack) -> None:
    """A database from before the ids, restarts and rebalances: ids are taken on, and no lane waits for anybody."""
    ids = "SELECT DISTINCT topic_id FROM stream_offsets WHERE next_offset > 0"
    with Database(stack.postgres.superuser_dsn()) as database:
        worker = stack.start_worker()
        known = topic_id(stack.kafka.bootstrap)
        with Load(stack.kafka.bootstrap) as load:
            wait_for_messages(database, 120)
            assert worker.stop(60) == 0
            command.downgrade(alembic_config(stack.postgres.urls.migrate), "0005")
            upgrade(stack.postgres.urls.migrate)
            assert database.rows(ids) == [{"topic_id": None}]
            first, second = stack.start_worker(), stack.start_worker()
            wait_for_lanes(first, (6).__eq__, "half the")
            wait_for_messages(database, 120)
            assert database.rows(ids) == [{"topic_id": known}]
            first.kill()
            wait_for_lanes(second, (12).__eq__, "all")
            wait_for_messages(database, 120)
            third = stack.start_worker()
            wait_for_lanes(third, (6).__eq__, "half the")
        assert_exactly(stack, load.published)
        for each in (worker, first, second, third):
            assert "is paused" not in worker_log(each), each.name
        assert database.rows(ids) == [{"topic_id": known}]
