"""What PostgreSQL says no to: a record at fault goes alone, a database that cannot is waited for."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import (
    Database,
    Publisher,
    StatusTopic,
    assert_accounted,
    assert_told,
    changed,
    wait_for,
)
from tests.own import views_of_own
from tests.refusals import locked, rule
from tests.stock_servers import copied_stack
from trials import generator

IMPATIENT: Final = {
    "SCANLINE_WRITE_DEADLINE_SECONDS": "1",
    "SCANLINE_STREAM_BACKOFF_SECONDS": "0.05",
    "SCANLINE_STREAM_PROBE_SECONDS": "0.2",
    "SCANLINE_METRICS_TENANTS": "2",
}
BAD: Final = {0, 3, 250, 251, 998, 999}  # the first, the last, neighbours


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, stock_dir: Path) -> Iterator[Stack]:
    with copied_stack(tmp_path_factory.mktemp("refusals"), stock_dir, partitions=2) as stack:
        stack.start_worker(IMPATIENT)
        yield stack


database, statuses = views_of_own()


@pytest.fixture
def only(own: Stack) -> Service:
    """The one worker."""
    (worker,) = own.workers
    return worker


def metric(worker: Service, name: str, **labels: str) -> float:
    """The sum over its samples with these labels."""
    with urllib.request.urlopen(worker.metrics_url, timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


@pytest.mark.parametrize(("kind", "sqlstate"), [("constraint", "23514"), ("trigger", "22023")])
def test_the_record_at_fault_is_rejected_alone(
    kind: str, sqlstate: str, own: Stack, database: Database, statuses: StatusTopic, tenant: str, only: Service
) -> None:
    lines = generator.records(1_000, 30, tenant)
    sent = [changed(line, purpose="cấm") if at in BAD else line for at, line in enumerate(lines)]
    # in the same micro-batches, and never refused: the same records of another tenant
    other = f"{tenant}-b"
    with rule(database, tenant, kind), Publisher(own.kafka.bootstrap) as publisher:
        scans = {name: publisher.scan(name, sent, at_once=250) for name in (tenant, other)}
        publisher.flush()
        row = database.finished(tenant, scans[tenant])
    assert (row["status"], row["records_stored"], row["records_rejected"]) == ("completed_with_errors", 994, 6)
    rejected = database.rejected(tenant, scans[tenant])
    assert [each["record_index"] for each in rejected] == sorted(BAD)
    assert {(each["code"], each["pointer"]) for each in rejected} == {("database_refused", "")}
    assert {each["errors"][0]["params"]["sqlstate"] for each in rejected} == {sqlstate}
    stored = {each["record_index"] for each in database.activities(tenant, scans[tenant])}
    assert stored == set(range(1_000)) - BAD
    row = database.finished(other, scans[other])
    assert (row["status"], row["records_stored"]) == ("completed", 1_000)
    for name, scan in scans.items():
        assert_accounted(database, name, scan)
    assert_told(database, statuses, [tenant, other])
    assert metric(only, "scanline_stream_dead_letters_total") == 0
    assert metric(only, "scanline_sink_rejects_total", code="database_refused") >= len(BAD)


def test_duplicates_and_refused_records_in_one_micro_batch_are_told_apart(
    own: Stack, database: Database, statuses: StatusTopic, tenant: str, only: Service
) -> None:
    lines = [changed(line, purpose="cấm") if at == 5 else line for at, line in enumerate(generator.records(10, 31))]
    with rule(database, tenant, "constraint"), Publisher(own.kafka.bootstrap) as publisher:
        scan = publisher.scan(tenant, [*lines, *lines[:5], lines[5]])
        publisher.flush()
        row = database.finished(tenant, scan)
    counts = {name: row[f"records_{name}"] for name in ("stored", "duplicate", "rejected")}
    assert counts == {"stored": 9, "duplicate": 5, "rejected": 2}
    assert [each["record_index"] for each in database.rejected(tenant, scan)] == [5, 15]
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])


@pytest.mark.parametrize("table", ["processing_activities", "stream_offsets", "scans"])
def test_a_lock_is_waited_for_and_the_lane_goes_on_by_itself(
    table: str, own: Stack, database: Database, statuses: StatusTopic, tenant: str, only: Service
) -> None:
    lines = generator.records(500, 32, tenant)
    errors = metric(only, "scanline_sink_errors_total", sqlstate_class="55")
    with locked(own.postgres.superuser_dsn(), table):
        with Publisher(own.kafka.bootstrap) as publisher:
            scan = publisher.scan(tenant, lines, at_once=100)
        wait_for(lambda: only.health()["paused_partitions"], "the lane pauses")
        assert not only.is_ready() and metric(only, "scanline_stream_paused_lanes_count") > 0
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["records_duplicate"]) == ("completed", 500, 0)
    # lock_timeout or statement_timeout, whichever comes first: both are seconds of waiting, and neither is the data's fault
    assert metric(only, "scanline_sink_errors_total") - errors >= 3
    wait_for(only.is_ready, "ready again")
    assert metric(only, "scanline_stream_paused_lanes_count") == 0
    assert metric(only, "scanline_stream_dead_letters_total") == 0
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])


def test_a_serialisation_failure_is_tried_again(
    own: Stack, database: Database, statuses: StatusTopic, tenant: str, only: Service
) -> None:
    """40001 and 40P01 pass: the first attempt of this tenant's gets one, the second does not."""
    retries = metric(only, "scanline_stream_retries_total")
    database.rows(
        f"""
        CREATE SEQUENCE attempts; GRANT USAGE ON SEQUENCE attempts TO PUBLIC;
        CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            CASE nextval('attempts') WHEN 1 THEN RAISE EXCEPTION USING ERRCODE = '40001';
                                     WHEN 2 THEN RAISE EXCEPTION USING ERRCODE = '40P01'; ELSE RETURN NEW; END CASE; END $$;
        CREATE TRIGGER fail_twice BEFORE INSERT ON processing_activities
            FOR EACH ROW WHEN (NEW.tenant_id = '{tenant}') EXECUTE FUNCTION fail_twice()"""
    )
    try:
        with Publisher(own.kafka.bootstrap) as publisher:
            scan = publisher.scan(tenant, generator.records(50, 33, tenant))
        row = database.finished(tenant, scan)
    finally:
        database.rows(
            "DROP TRIGGER fail_twice ON processing_activities; DROP FUNCTION fail_twice; DROP SEQUENCE attempts"
        )
    assert (row["status"], row["records_stored"], row["records_rejected"]) == ("completed", 50, 0)
    assert metric(only, "scanline_stream_retries_total") - retries >= 2
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])


def test_a_missing_right_is_no_fault_of_the_records(
    own: Stack, database: Database, statuses: StatusTopic, tenant: str, only: Service
) -> None:
    database.rows("REVOKE INSERT ON processing_activities FROM scanline_writer")
    try:
        with Publisher(own.kafka.bootstrap) as publisher:
            scan = publisher.scan(tenant, generator.records(50, 34, tenant))
        wait_for(
            lambda: metric(only, "scanline_sink_errors_total", sqlstate_class="42") >= 6, "refused again and again"
        )
        assert database.scan(tenant, scan) is None
    finally:
        database.rows("GRANT INSERT ON processing_activities TO scanline_writer")
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["records_rejected"]) == ("completed", 50, 0)
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])
    assert only.returncode is None


COUNTED: Final = {
    "rejected": ("scanline_sink_rejects_total", {"code": "required"}),
    "of any code": ("scanline_sink_rejects_total", {}),
    "copied rows": ("scanline_sink_copy_rows_total", {}),
    "copies": ("scanline_sink_copy_seconds_count", {}),
    "micro-batches": ("scanline_sink_batch_bytes_count", {}),
    "bytes of micro-batches": ("scanline_sink_batch_bytes_sum", {}),
    "bytes decoded": ("scanline_stream_bytes_total", {}),
    "slices written": ("scanline_stream_end_to_end_seconds_count", {}),
    "slices": ("scanline_stream_slices_total", {}),
    "seconds to the commit": ("scanline_stream_end_to_end_seconds_sum", {}),
    "statuses": ("scanline_status_published_total", {}),
    "statuses after a commit": ("scanline_status_delay_seconds_count", {}),
    "of tenants": ("scanline_tenant_records_total", {}),
    "of others": ("scanline_tenant_records_total", {"tenant": "other"}),
}


def counts(worker: Service) -> dict[str, float]:
    return {what: metric(worker, name, **labels) for what, (name, labels) in COUNTED.items()}


def test_metrics_tell_what_was_written_and_how_long_messages_waited(
    own: Stack, database: Database, statuses: StatusTopic, tenant: str, only: Service
) -> None:
    lines = [*generator.records(500, 35, tenant), b"{}", b"{}"]
    before = counts(only)
    with locked(own.postgres.superuser_dsn(), "stream_offsets"):
        with Publisher(own.kafka.bootstrap) as publisher:
            scan = publisher.scan(tenant, lines, at_once=100)
        wait_for(lambda: metric(only, "scanline_stream_oldest_in_hand_seconds") > 1, "its age is told")
        assert metric(only, "scanline_stream_lag_seconds") > 1  # of one lane; the others have nothing in hand
        assert counts(only)["slices written"] == before["slices written"]
    database.finished(tenant, scan)
    assert_told(database, statuses, [tenant])
    wait_for(lambda: metric(only, "scanline_stream_oldest_in_hand_seconds") == 0, "nothing in hand")
    assert metric(only, "scanline_stream_lag_seconds") == 0
    now = counts(only)
    grown = {what: now[what] - was for what, was in before.items()}
    assert (grown["rejected"], grown["of any code"], grown["copied rows"]) == (2, 2, 500)
    assert 1 <= grown["copies"] <= grown["micro-batches"] and grown["slices"] >= 1
    assert grown["bytes of micro-batches"] == grown["bytes decoded"] > sum(map(len, lines))
    assert grown["slices written"] == grown["slices"] and grown["seconds to the commit"] > 1
    assert 1 <= grown["statuses after a commit"] <= grown["statuses"]
    assert grown["of tenants"] == grown["of others"] == 502  # in the first minute nobody has been chosen yet
    assert tenant not in httpx.get(only.metrics_url, timeout=30).text
