"""scan.records.v1 gets more partitions under load: tenants move, scans come to lie in two partitions, and nothing is lost."""

from collections.abc import Sequence

import httpx
from confluent_kafka.admin import AdminClient

from infra import generator
from infra.kafka.topics import reconcile, specs
from infra.stack import Stack
from schemas.topics import RECORDS_TOPIC, STATUS_TOPIC
from tests.blocking import tenants_by_partition
from tests.helpers import Database, Publisher, new_scan, wait_for
from tests.load import LONG, Load, Scan, assert_exactly, keys_of, lanes
from tests.murmur2 import partition_of
from tests.submitting import submit

BEFORE = 12
AFTER = 24
RECORDS = 400
Published = dict[Scan, Sequence[str]]


def test_workers_and_publishers_find_new_partitions_without_a_restart(stack: Stack) -> None:
    api = stack.start_api()
    workers = [stack.start_worker(wait=False) for _ in range(2)]
    for worker in workers:
        worker.wait_until_ready()
    lines = {tenant: generator.records(RECORDS, 1, tenant) for tenant in tenants_by_partition("split", AFTER)}
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
                publisher.records(tenant, scan, lines[tenant][: RECORDS // 2], at_once=50)
        submit_scans(http, "before", submitted)
        reconcile(stack.kafka.bootstrap, specs(AFTER), apply=True)
        with Publisher(
            stack.kafka.bootstrap
        ) as publisher:  # it knows of the new partitions; the load goes on as it was
            for tenant, scan in split:
                publisher.records(tenant, scan, lines[tenant][RECORDS // 2 :], at_once=50, first=RECORDS // 2)
                publisher.closed(tenant, scan, RECORDS)
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
