"""A tenant that floods its partition: scans on other partitions are submitted, written and told as if it were not there."""

from collections.abc import Sequence

import httpx

from infra.stack import Stack
from tests.helpers import Database, Publisher, new_scan, wait_for
from tests.load import LONG, Scan, assert_exactly, keys_of
from tests.murmur2 import tenants_by_partition
from tests.submissions import submit
from trials import generator

FLOOD = 75_000
SCANS = 3


def test_scans_of_others_are_completed_while_the_flood_is_being_written(stack: Stack) -> None:
    flooder, neighbour, *victims = tenants_with_a_neighbour()
    published: dict[Scan, Sequence[str]] = {}
    with Publisher(stack.kafka.bootstrap) as publisher:
        flood = generator.records(FLOOD, 1, flooder)
        flooded = (flooder, new_scan())
        publisher.singles(*flooded, flood)
        publisher.closed(*flooded, FLOOD)
        published[flooded] = keys_of(flood)
    api = stack.start_api()
    stack.start_worker()  # one, so that every partition shares it with the flood
    with (
        Database(stack.postgres.superuser_dsn()) as database,
        httpx.Client(base_url=api.base_url, timeout=LONG) as http,
    ):
        wait_for(lambda: database.scan(*flooded), "the flood is being written", LONG)
        behind = submit_scan(http, neighbour, 99, published)
        for number in range(SCANS):
            scan = submit_scan(http, victims[number % len(victims)], number, published)
            database.finished(*scan, LONG)
            assert unfinished(database, flooded), f"the flood ended before scan {number}"
        # on the flood's own partition a scan waits for what was published before it, and for nothing else
        database.finished(*behind, LONG)
        assert not unfinished(database, flooded)
    assert_exactly(stack, published)


def tenants_with_a_neighbour() -> list[str]:
    """Two on partition 0, then one on each of the others."""
    first, *others = tenants_by_partition("flood")
    return [first, tenants_by_partition("neighbour")[0], *others]


def submit_scan(http: httpx.Client, tenant: str, seed: int, published: dict[Scan, Sequence[str]]) -> Scan:
    lines = generator.records(1_000, seed, tenant)
    answer = submit(http, tenant, generator.body(lines))
    assert answer.status_code == 202, answer.text
    scan = (tenant, str(answer.json()["scan_id"]))
    published[scan] = keys_of(lines)
    return scan


def unfinished(database: Database, scan: Scan) -> bool:
    row = database.scan(*scan)
    assert row is not None
    return row["status"] == "processing" and row["records_stored"] < FLOOD
