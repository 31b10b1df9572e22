"""A publisher that has nothing but confluent-kafka and the contract's page."""

import json

import pytest

from infra.processes.services import Service
from tests.helpers import Database, Publisher, StatusTopic, assert_accounted, assert_told, changed, new_scan
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(autouse=True)
def told_at_the_end(database: Database, statuses: StatusTopic, tenant: str):
    yield
    assert_told(database, statuses, [tenant])


def keys_of(lines: list[bytes]) -> list[str]:
    return sorted(json.loads(line)["activity_key"] for line in lines)


def test_single_records(servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(300, 1, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.singles(tenant, scan, lines)
        publisher.closed(tenant, scan, len(lines))
    row = database.finished(tenant, scan)
    expected = generator.expected(lines)
    assert row["status"] == "completed"
    assert (row["records_total"], row["records_stored"]) == (300, 300)
    assert (row["records_sensitive"], row["records_cross_border"]) == (expected.sensitive, expected.cross_border)
    assert database.keys(tenant, scan) == keys_of(lines)
    assert_accounted(database, tenant, scan)


def test_arrays_of_a_scan_of_ten_thousand(servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(10_000, 2, tenant)
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, lines)
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["records_duplicate"]) == ("completed", 10_000, 0)
    assert database.keys(tenant, scan) == keys_of(lines)
    assert [a["record_index"] for a in sorted(database.activities(tenant, scan), key=lambda a: a["record_index"])] == (
        list(range(10_000))
    )
    assert_accounted(database, tenant, scan)


def test_progress_moves_every_thousand_records(servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(5_000, 3, tenant)
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, lines, at_once=500)
    database.finished(tenant, scan)
    written = [row["details"]["stored"] for row in database.audit(tenant)]
    assert sum(written) == 5_000
    assert max(written) <= 1_000


def test_closed_before_the_last_record(servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(20, 4, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, lines[:10])
        publisher.closed(tenant, scan, 20)
        publisher.flush()
        publisher.records(tenant, scan, lines[10:], first=10)
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"]) == ("completed", 20)


@pytest.mark.parametrize("at_once", [True, False], ids=["in one transaction", "in another transaction"])
def test_a_complete_scan_is_never_given_another_total(
    servers: Servers, database: Database, tenant: str, at_once: bool
) -> None:
    lines = generator.records(20, 8, tenant)
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, lines)
        if not at_once:
            publisher.flush()
            database.finished(tenant, scan)
        publisher.closed(tenant, scan, 30)
        publisher.send(tenant, scan, "cancelled", b"{}")
        after = publisher.scan(tenant, lines)
    database.finished(tenant, after)
    row = database.scan(tenant, scan)
    assert row is not None
    assert (row["status"], row["records_total"], row["cancel_reason"]) == ("completed", 20, None)
    ignored = [each for row in database.audit(tenant) for each in row["details"].get("ignored", ())]
    assert [(each["type"], each.get("records_total")) for each in ignored] == [
        ("vn.scanline.scan.closed.v1", 30),
        ("vn.scanline.scan.cancelled.v1", None),
    ]


def test_opened_after_the_records_fills_in_what_is_not_known(servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(5, 5, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, lines)
        publisher.send(tenant, scan, "opened", '{"source":"máy quét 7","language":"en"}'.encode())
        publisher.closed(tenant, scan, 5)
    row = database.finished(tenant, scan)
    assert (row["source"], row["language"], row["records_stored"]) == ("máy quét 7", "en", 5)


def test_the_same_array_again_counts_nothing(servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(2_000, 6, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        for _ in range(3):
            publisher.records(tenant, scan, lines)
        publisher.closed(tenant, scan, 2_000)
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["records_duplicate"]) == ("completed", 2_000, 0)
    with Publisher(servers.bootstrap) as publisher:  # and after the end
        publisher.records(tenant, scan, lines)
        marker = publisher.scan(tenant, generator.records(1, 7, tenant))
    database.finished(tenant, marker)
    again = database.scan(tenant, scan)
    assert again is not None
    assert (again["status"], again["records_stored"], again["records_duplicate"]) == ("completed", 2_000, 0)
    assert_accounted(database, tenant, scan)


def test_records_sent_again_without_a_number_are_duplicates(servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(50, 8, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.singles(tenant, scan, lines + lines[:20])
        publisher.closed(tenant, scan, 50)
        marker = publisher.scan(tenant, generator.records(1, 9, tenant))
    database.finished(tenant, marker)
    row = database.scan(tenant, scan)
    assert row is not None
    # more than the total is shown, not hidden
    assert (row["status"], row["records_total"]) == ("completed", 50)
    assert (row["records_stored"], row["records_duplicate"]) == (50, 20)
    assert_accounted(database, tenant, scan)


def test_the_same_key_twice_in_one_scan_is_a_duplicate_and_in_two_scans_is_not(
    servers: Servers, database: Database, tenant: str
) -> None:
    lines = generator.records(10, 10, tenant)
    twin = changed(lines[0], name="tên khác")
    with Publisher(servers.bootstrap) as publisher:
        first = publisher.scan(tenant, [*lines, twin])
        second = publisher.scan(tenant, lines)
    row = database.finished(tenant, first)
    assert (row["records_stored"], row["records_duplicate"]) == (10, 1)
    assert database.activities(tenant, first)[0]["name"] != "tên khác"  # the first stays
    row = database.finished(tenant, second)
    assert (row["records_stored"], row["records_duplicate"]) == (10, 0)


def test_what_is_right_is_stored_beside_what_is_wrong(servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(100, 11, tenant)
    lines[3] = changed(lines[3], purpose="")
    lines[50] = changed(lines[50], data_categories=["no_such_code"])
    lines[99] = b'{"activity_key": 7}'
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, lines)
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["records_rejected"]) == ("completed_with_errors", 97, 3)
    rejected = database.rejected(tenant, scan)
    assert [(each["record_index"], each["code"], each["pointer"]) for each in rejected][:2] == [
        (3, "text_empty", "/purpose"),
        (50, "unknown_code", "/data_categories/0"),
    ]
    assert [bytes(each["original"]) for each in rejected] == [lines[3], lines[50], lines[99]]
    assert_accounted(database, tenant, scan)


def test_a_scan_of_no_records(servers: Servers, database: Database, tenant: str) -> None:
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, [])
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_total"]) == ("completed", 0)


def test_cancelled_by_message(servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(30, 12, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, lines[:10])
        publisher.send(tenant, scan, "cancelled", b'{"reason":"by_request"}')
        publisher.records(tenant, scan, lines[10:], first=10)
        publisher.closed(tenant, scan, 30)
        marker = publisher.scan(tenant, generator.records(1, 13, tenant))
    database.finished(tenant, marker)
    row = database.scan(tenant, scan)
    assert row is not None
    assert (row["status"], row["records_stored"], row["records_rejected"]) == ("cancelled", 10, 20)
    assert {each["code"] for each in database.rejected(tenant, scan)} == {"scan_cancelled"}
    assert len(database.keys(tenant, scan)) == 10


def test_twenty_tenants_at_once_stay_apart(
    servers: Servers, database: Database, statuses: StatusTopic, tenant: str, worker: Service
) -> None:
    tenants = [f"{tenant}-{number:02}" for number in range(20)]
    # the same keys for everybody: only the tenant tells them apart
    lines = generator.records(1_000, 14)
    with Publisher(servers.bootstrap) as publisher:
        scans = {name: publisher.scan(name, lines, at_once=250) for name in tenants}
    for name, scan in scans.items():
        row = database.finished(name, scan)
        assert (row["status"], row["records_stored"], row["records_duplicate"]) == ("completed", 1_000, 0)
        assert database.keys(name, scan) == keys_of(lines)
    assert_told(database, statuses, tenants)
    assert worker.returncode is None
