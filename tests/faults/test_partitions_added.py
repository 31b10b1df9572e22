"""scan.records.v1 gets more partitions under load: tenants move, scans come to lie in two partitions, and nothing is lost."""

from collections.abc import Sequence

import httpx
import pytest
from confluent_kafka.admin import AdminClient

from infra.kafka.topics import reconcile, specs
from infra.processes.services import Service
from infra.stack import Stack
from operations.status_follower import Change, StatusFollower
from schemas.topics import CLOSED, HEADER_SUBJECT, HEADER_TYPE, RECORDS, RECORDS_TOPIC, STATUS_TOPIC
from tests.helpers import Database, Publisher, array, new_scan, wait_for
from tests.load import LONG, Load, Scan, assert_exactly, keys_of, lanes, metric
from tests.murmur2 import partition_of, tenants_by_partition
from tests.submissions import submit
from trials import generator

BEFORE = 12
AFTER = 24
COUNT = 400
Published = dict[Scan, Sequence[str]]


def test_workers_and_publishers_find_new_partitions_without_a_restart(stack: Stack) -> None:
    api = stack.start_api()
    workers = [stack.start_worker(wait=False) for _ in range(2)]
    for worker in workers:
        worker.wait_until_ready()
    lines = {tenant: generator.records(COUNT, 1, tenant) for tenant in tenants_by_partition("split", AFTER)}
    split: Published = {(tenant, new_scan()): keys_of(lines[tenant]) for tenant in lines}
    submitted: Published = {}
    late: Published = {}
    with (
        Load(stack.kafka.bootstrap) as load,
        Database(stack.postgres.superuser_dsn()) as database,
        httpx.Client(base_url=api.base_url, timeout=LONG) as http,
    ):
        with Publisher(stack.kafka.bootstrap) as publisher:
            for tenant, scan in split:
                publisher.records(tenant, scan, lines[tenant][: COUNT // 2], at_once=50)
        submit_scans(http, "before", submitted)
        reconcile(stack.kafka.bootstrap, specs(AFTER), apply=True)
        with Publisher(
            stack.kafka.bootstrap
        ) as publisher:  # it knows of the new partitions; the load goes on as it was
            for tenant, scan in split:
                publisher.records(tenant, scan, lines[tenant][COUNT // 2 :], at_once=50, first=COUNT // 2)
                publisher.closed(tenant, scan, COUNT)
        submit_scans(http, "meanwhile", submitted)
        wait_for(lambda: sum(lanes(worker) for worker in workers) == AFTER, "every partition has a lane", LONG)
        wait_for(lambda: reaches_new_partitions(http, database, submitted), "the API publishes to new ones", LONG)
        with Publisher(stack.kafka.bootstrap) as publisher:
            for tenant, found in lines.items():
                late[tenant, publisher.scan(tenant, found, at_once=50)] = keys_of(found)
        for scan in late:
            assert database.finished(*scan, LONG)["kafka_partition"] == place_of(scan)
    assert_exactly(stack, load.published | split | submitted | late)
    assert [worker.returncode for worker in workers] == [None, None]
    with Database(stack.postgres.superuser_dsn()) as database:
        for scan in split:
            assert partitions_of(database, scan) == {partition_of(scan[0].encode(), BEFORE), place_of(scan)}
    assert partitions(stack, RECORDS_TOPIC) == AFTER
    assert partitions(stack, STATUS_TOPIC) == BEFORE  # where a scan's statuses lie does not change


def submit_scans(http: httpx.Client, name: str, submitted: Published) -> list[Scan]:
    """A scan over HTTP for a tenant of each partition."""
    scans = []
    for tenant in tenants_by_partition(name, AFTER):
        lines = generator.records(100, 2, tenant)
        answer = submit(http, tenant, generator.body(lines))
        assert answer.status_code == 202, answer.text
        scans.append((tenant, str(answer.json()["scan_id"])))
        submitted[scans[-1]] = keys_of(lines)
    return scans


def reaches_new_partitions(http: httpx.Client, database: Database, submitted: Published) -> bool:
    scans = submit_scans(http, "after", submitted)
    return {database.finished(*scan, LONG)["kafka_partition"] for scan in scans} == set(range(AFTER))


def place_of(scan: Scan) -> int:
    return partition_of(scan[0].encode(), AFTER)


def partitions_of(database: Database, scan: Scan) -> set[int]:
    """Where a scan's numbered arrays were read."""
    query = "SELECT DISTINCT kafka_partition FROM scan_messages WHERE tenant_id = %s AND scan_id = %s"
    return {row["kafka_partition"] for row in database.rows(query, *scan)}


def partitions(stack: Stack, topic: str) -> int:
    admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap, "log_level": 0})
    return len(admin.list_topics(topic, timeout=30).topics[topic].partitions)


@pytest.mark.long
def test_a_scan_that_another_lane_has_ended_is_not_reported_as_waiting(stack: Stack) -> None:
    """The lane of the partition where it began knew it unfinished; then the database goes away."""
    moved, staying = ("moved", new_scan()), ("staying", new_scan())
    lines = generator.records(100, 1)
    told: list[Change] = []
    worker = stack.start_worker({"SCANLINE_STATUS_RECONCILE_SECONDS": "1"})
    with (
        StatusFollower(stack.kafka.bootstrap, on_change=told.append),
        Database(stack.postgres.superuser_dsn()) as database,
        Publisher(stack.kafka.bootstrap) as publisher,
    ):
        for scan in (moved, staying):
            publish_to(publisher, 0, scan, RECORDS, array(lines[:50]))
            wait_for(lambda: database.scan(*scan), "the scan has begun", LONG)  # noqa: B023
        publish_to(publisher, 1, moved, RECORDS, array(lines[50:]))
        publish_to(publisher, 1, moved, CLOSED, b'{"records_total": 100}')
        assert database.finished(*moved, LONG)["kafka_partition"] == 1
        wait_for(lambda: last(told, moved) == "completed", "it is told completed", LONG)
        since = published_statuses(worker)
        wait_for(lambda: published_statuses(worker) >= since + 10, "every lane has told its scans again", LONG)
        before = len(told)
        stack.postgres.stop()
        publish_to(publisher, 0, staying, RECORDS, array(lines[50:]))
        wait_for(lambda: is_told_to_wait(told, staying), "the other scan is told to wait", LONG)
        stack.postgres.start()
        stack.postgres.wait_until_ready()
        publish_to(publisher, 0, staying, CLOSED, b'{"records_total": 100}')
        wait_for(lambda: last(told, staying) == "completed", "it goes on", LONG)
    assert {change.status["status"] for change in told[before:] if change.key == moved and change.status} <= {
        "completed"
    }
    assert_exactly(stack, {moved: keys_of(lines), staying: keys_of(lines)})


def publish_to(publisher: Publisher, partition: int, scan: Scan, kind: str, value: bytes) -> None:
    headers = [(HEADER_TYPE, kind.encode()), (HEADER_SUBJECT, scan[1].encode())]
    publisher.raw(scan[0].encode(), value, headers, partition)
    publisher.flush()


def published_statuses(worker: Service) -> float:
    return metric(worker, "scanline_status_published_total")


def last(told: Sequence[Change], scan: Scan) -> str | None:
    """The state it was told last."""
    return next((change.status["status"] for change in reversed(told) if change.key == scan and change.status), None)


def is_told_to_wait(told: Sequence[Change], scan: Scan) -> bool:
    return any(change.key == scan and change.status and change.status["paused"] for change in told)
