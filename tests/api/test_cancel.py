"""Cancelling: taken with a 202, seen in the database and in the status, refused once the scan has ended."""

import threading
from collections.abc import Iterator

import httpx
import pytest
from api_client import Tenant, assert_problem

from tests.helpers import (
    Database,
    Publisher,
    StatusTopic,
    assert_accounted,
    assert_told,
    changed,
    new_scan,
    wait_for,
)
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def caller(http: httpx.Client, database: Database, statuses: StatusTopic, tenant: str) -> Iterator[Tenant]:
    yield Tenant(http, tenant)
    assert_told(database, statuses, [tenant])
    for row in database.rows("SELECT scan_id FROM scans WHERE tenant_id = %s", tenant):
        assert_accounted(database, tenant, row["scan_id"])


def cancel(caller: Tenant, scan: str) -> None:
    """A cancellation that is taken."""
    answer = caller.call("POST", f"/scans/{scan}/cancel")
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["scan_id"], body["tenant_id"], body["cancelling"]) == (scan, caller.name, True)
    assert "khi đến lượt" in body["message"]["vi"] and "in its turn" in body["message"]["en"]


def stored(caller: Tenant, scan: str, count: int) -> None:
    """Waits until the API shows so many as stored."""

    def look() -> bool:
        answer = caller.call("GET", f"/scans/{scan}")
        return answer.status_code == 200 and answer.json()["records_stored"] == count

    wait_for(look, f"{count} records are stored")


def test_what_is_stored_stays_and_what_comes_later_is_rejected(
    caller: Tenant, servers: Servers, database: Database, tenant: str
) -> None:
    lines = generator.records(30, 1, tenant)
    lines[15] = changed(lines[15], purpose="")
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, lines[:10])
        publisher.flush()
        stored(caller, scan, 10)
        cancel(caller, scan)
        row = database.finished(tenant, scan)
        assert (row["status"], row["cancel_reason"], row["records_stored"]) == ("cancelled", "by_request", 10)
        publisher.records(tenant, scan, lines[10:], first=10)
        publisher.closed(tenant, scan, 30)
    wait_for(lambda: caller.status(scan)["records_rejected"] == 20, "the rest is rejected")
    status = caller.status(scan)
    assert (status["status"], status["records_stored"], status["records_total"]) == ("cancelled", 10, 30)
    assert (status["message"]["vi"], status["message"]["en"]) == (
        "Đã hủy: theo yêu cầu. 10 bản ghi đã lưu trước đó được giữ lại.",
        "Cancelled: on request. The 10 records stored before are kept.",
    )
    assert len(database.keys(tenant, scan)) == 10
    # the reason is the cancellation, also for a record that was wrong besides
    assert [(each["record_index"], each["code"]) for each in database.rejected(tenant, scan)] == [
        (index, "scan_cancelled") for index in range(10, 30)
    ]


def test_while_queued(caller: Tenant, servers: Servers, database: Database, tenant: str) -> None:
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.send(tenant, scan, "opened", b'{"source":"crm"}')
        publisher.flush()
        wait_for(lambda: caller.call("GET", f"/scans/{scan}").status_code == 200, "the scan is known")
        assert caller.status(scan)["status"] == "queued"
        cancel(caller, scan)
        assert database.finished(tenant, scan)["status"] == "cancelled"
        publisher.records(tenant, scan, generator.records(5, 2, tenant))
        publisher.closed(tenant, scan, 5)
    wait_for(lambda: caller.status(scan)["records_rejected"] == 5, "nothing of it is taken")
    assert database.keys(tenant, scan) == []
    assert caller.status(scan)["status"] == "cancelled"


def test_while_its_upload_still_arrives(caller: Tenant, api_url: str, database: Database, tenant: str) -> None:
    lines = generator.records(5_000, 3, tenant)
    arrived, go_on = threading.Event(), threading.Event()

    def body() -> Iterator[bytes]:
        yield generator.ndjson(lines[:2_500])  # two arrays are full
        arrived.set()
        assert go_on.wait(60)
        yield generator.ndjson(lines[2_500:])

    answers: list[httpx.Response] = []

    def upload() -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        answers.append(httpx.post(f"{api_url}{caller.base}/scans", content=body(), headers=headers, timeout=60))

    sender = threading.Thread(target=upload)
    sender.start()
    try:
        assert arrived.wait(60)
        scans = wait_for(lambda: caller.get("/scans")["scans"], "the scan is listed while it arrives")
        scan = scans[0]["scan_id"]
        stored(caller, scan, 2_000)
        cancel(caller, scan)
        assert database.finished(tenant, scan)["status"] == "cancelled"
    finally:
        go_on.set()
        sender.join(60)
    assert (answers[0].status_code, answers[0].json()["scan_id"]) == (202, scan)
    assert answers[0].json()["status"] == "cancelled"
    wait_for(lambda: caller.status(scan)["records_rejected"] == 3_000, "the rest is rejected")
    assert len(database.keys(tenant, scan)) == 2_000


@pytest.fixture
def api_url(http: httpx.Client) -> str:
    return str(http.base_url).rstrip("/")


@pytest.mark.parametrize("language", ["vi", "en"])
def test_finished(caller: Tenant, database: Database, tenant: str, language: str) -> None:
    good, bad = caller.submit(generator.records(3, 4, tenant)), caller.submit([b"{}"])
    for scan, state in ((good, "completed"), (bad, "completed_with_errors")):
        caller.ended(scan)
        before = database.scan(tenant, scan)
        answer = caller.call("POST", f"/scans/{scan}/cancel", headers={"Accept-Language": language})
        body = assert_problem(answer, 409, "scan_finished")
        assert (body["scan_id"], body["scan_status"]) == (scan, state)
        marker = caller.submit(generator.records(1, 5, tenant))
        caller.ended(marker)
        assert database.scan(tenant, scan) == before


def test_twice(caller: Tenant, servers: Servers, database: Database, tenant: str) -> None:
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, generator.records(3, 6, tenant))
    stored(caller, scan, 3)
    cancel(caller, scan)
    caller.ended(scan)
    body = assert_problem(caller.call("POST", f"/scans/{scan}/cancel"), 409, "scan_finished")
    assert body["scan_status"] == "cancelled"
    assert database.finished(tenant, scan)["records_stored"] == 3


def test_another_tenants(caller: Tenant, http: httpx.Client, servers: Servers, database: Database, tenant: str) -> None:
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, generator.records(3, 7, tenant))
        publisher.flush()
        stored(caller, scan, 3)
        stranger = Tenant(http, f"{tenant}-x")
        assert_problem(stranger.call("POST", f"/scans/{scan}/cancel"), 404, "scan_not_found")
        publisher.closed(tenant, scan, 3)
    assert database.finished(tenant, scan)["status"] == "completed"
    assert database.rows("SELECT * FROM scans WHERE tenant_id = %s", stranger.name) == []
