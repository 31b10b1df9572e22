"""What the log no longer holds: retention took it before it was read, or the topic was made anew."""

import json
from pathlib import Path

import pytest

from infra.stack import Stack
from tests.commands import Commands
from tests.helpers import Database, Publisher, wait_for
from tests.load import LONG, metric, worker_log
from tests.murmur2 import partition_of, tenants_by_partition
from tests.topics import delete_before, make_anew
from trials import generator


def offset_of(database: Database, partition: int) -> int:
    return int(database.value("SELECT next_offset FROM stream_offsets WHERE partition = %s", partition))


def test_retention_took_what_was_not_read(stack: Stack) -> None:
    """A lane goes on at the first message that is left, and counts what is gone."""
    tenant = tenants_by_partition("cut")[3]
    partition = partition_of(tenant.encode())
    worker = stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database:
        with Publisher(stack.kafka.bootstrap) as publisher:
            first = publisher.scan(tenant, generator.records(10, 1, tenant))
        database.finished(tenant, first, LONG)
        assert worker.stop(60) == 0
        read = offset_of(database, partition)
        with Publisher(stack.kafka.bootstrap) as publisher:
            publisher.scan(tenant, generator.records(10, 2, tenant), at_once=1)  # eleven messages, never read
            left = publisher.scan(tenant, generator.records(10, 3, tenant))
        delete_before(stack, partition, read + 11)
        worker = stack.start_worker()
        assert database.finished(tenant, left, LONG)["records_stored"] == 10
        assert offset_of(database, partition) == read + 13
        assert database.value("SELECT count(*) FROM processing_activities") == 20
        assert metric(worker, "scanline_stream_gap_offsets_total") == 11
        wait_for(lambda: metric(worker, "scanline_stream_lost_offsets_total") == 11, "the loss is told", LONG)
        assert f"partition {partition}: 11 offsets from {read} on were deleted" in worker_log(worker)


@pytest.mark.long
def test_a_topic_made_anew(stack: Stack, tmp_path: Path) -> None:
    """Its offsets begin at 0 while PostgreSQL waits for a higher one: the lane waits for an operator, and others go on."""
    tenants = tenants_by_partition("anew")
    tenant, other = tenants[3], tenants[4]
    partition = partition_of(tenant.encode())
    run = Commands({"SCANLINE_DATA_DIR": str(tmp_path), **stack.env})
    worker = stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database:
        with Publisher(stack.kafka.bootstrap) as publisher:
            first = publisher.scan(tenant, generator.records(50, 1, tenant), at_once=1)
        database.finished(tenant, first, LONG)
        assert worker.stop(60) == 0
        stored = offset_of(database, partition)
        make_anew(stack.kafka.bootstrap)
        worker = stack.start_worker()
        with Publisher(stack.kafka.bootstrap) as publisher:
            second = publisher.scan(tenant, generator.records(10, 2, tenant))
            elsewhere = publisher.scan(other, generator.records(10, 3, other))

        def paused() -> bool:
            return metric(worker, "scanline_stream_paused_lanes_count", reason="log_replaced") == 1

        wait_for(paused, "the lane waits", LONG)
        assert f"scanline offsets reset --partition {partition} --to" in worker_log(worker)
        assert database.finished(other, elsewhere, LONG)["records_stored"] == 10
        assert database.scan(tenant, second) is None
        assert offset_of(database, partition) == stored

        refused = run("offsets", "reset", "--partition", str(partition), "--to", "latest")
        assert refused.returncode == 1 and "--yes" in refused.stderr
        assert offset_of(database, partition) == stored
        done = run("offsets", "reset", "--all", "--to", "earliest", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [{"partition": partition, "before": stored, "after": 0, "passed_over": 0}]
        assert database.finished(tenant, second, LONG)["records_stored"] == 10
        wait_for(lambda: not paused(), "the lane goes on", LONG)
        assert database.value("SELECT count(*) FROM processing_activities") == 70
        audit = database.rows("SELECT details, message FROM audit_log WHERE action = 'offset_reset'")
        assert [row["details"]["before"] for row in audit] == [stored] and set(audit[0]["message"]) == {"vi", "en"}


@pytest.mark.long
def test_a_log_that_lost_its_end(stack: Stack, tmp_path: Path) -> None:
    """The topic is the same, and ends before the stored offset: its id says nothing, and an operator decides."""
    tenant = tenants_by_partition("end")[3]
    partition = partition_of(tenant.encode())
    run = Commands({"SCANLINE_DATA_DIR": str(tmp_path), **stack.env})
    worker = stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database:
        with Publisher(stack.kafka.bootstrap) as publisher:
            first = publisher.scan(tenant, generator.records(10, 1, tenant), at_once=1)
        database.finished(tenant, first, LONG)
        assert worker.stop(60) == 0
        # as if a hundred more had been written, which the broker lost
        database.rows("UPDATE stream_offsets SET next_offset = next_offset + 100 WHERE partition = %s", partition)
        worker = stack.start_worker()
        reasons = {str(partition): "log_replaced"}
        wait_for(lambda: worker.health()["paused_reasons"] == reasons, "the lane waits", LONG)
        assert not worker.is_ready()
        reset = ("offsets", "reset", "--partition", str(partition), "--to", "latest")
        refused = run(*reset)
        assert refused.returncode == 1 and "11 offsets" in refused.stderr and "--yes" in refused.stderr
        assert offset_of(database, partition) == 111
        done = run(*reset, "--yes", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [{"partition": partition, "before": 111, "after": 11, "passed_over": 11}]
        with Publisher(stack.kafka.bootstrap) as publisher:
            second = publisher.scan(tenant, generator.records(10, 2, tenant))
        assert database.finished(tenant, second, LONG)["records_stored"] == 10
        wait_for(worker.is_ready, "the worker is ready", LONG)
        assert offset_of(database, partition) == 13
