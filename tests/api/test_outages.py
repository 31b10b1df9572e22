"""What callers are told while PostgreSQL or Kafka is away, and what becomes of their scans once it is back."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from api_client import Tenant, assert_problem

from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import Database, StatusTopic, assert_accounted, assert_told, wait_for
from trials import generator

JSON, NDJSON = {"Content-Type": "application/json"}, {"Content-Type": "application/x-ndjson"}
IMPATIENT = {
    "SCANLINE_API_DELIVERY_SECONDS": "2",
    "SCANLINE_API_PUBLISH_DEADLINE_SECONDS": "3",
    "SCANLINE_READ_DEADLINE_SECONDS": "2",
}


@pytest.fixture
def service(stack: Stack) -> Service:
    stack.start_worker(wait=False)
    return stack.start_api(IMPATIENT)


@pytest.fixture
def caller(service: Service, tenant: str) -> Iterator[Tenant]:
    with httpx.Client(base_url=service.base_url, timeout=60) as http:
        yield Tenant(http, tenant)


def assert_whole(stack: Stack, tenant: str) -> None:
    """Database, status topic and API say the same of every scan of the tenant."""
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        assert_told(database, statuses, [tenant])
        for row in database.rows("SELECT scan_id FROM scans WHERE tenant_id = %s", tenant):
            assert_accounted(database, tenant, row["scan_id"])


def keys_stored(stack: Stack, tenant: str, scan: str) -> list[str]:
    with Database(stack.postgres.superuser_dsn()) as database:
        return database.keys(tenant, scan)


def keys_of(lines: list[bytes]) -> list[str]:
    return sorted(json.loads(line)["activity_key"] for line in lines)


def test_postgres_away(stack: Stack, caller: Tenant, tenant: str) -> None:
    lines = generator.records(2_500, 1, tenant)
    before = caller.submit(lines[:10])
    caller.ended(before)
    stack.postgres.stop("immediate")
    scans = [caller.submit(lines[at : at + 500]) for at in range(0, 2_500, 500)]
    answer = caller.call("POST", "/scans", content=generator.body(lines), headers={"Prefer": "wait=1", **JSON})
    assert answer.status_code == 202
    scans.append(answer.json()["scan_id"])
    for scan in scans:
        assert caller.status(scan)["status"] == "queued"
    assert [each["scan_id"] for each in caller.get("/scans")["scans"]] == [*scans[::-1], before]
    for path in ("/processing-activities", f"/scans/{before}/errors"):
        for headers in ({}, {"Accept-Language": "en"}, {"Accept": "application/x-ndjson"}):
            assert_problem(caller.call("GET", path, headers=headers), 503, "reads_unavailable")
    assert caller.http.get("/readyz").status_code == 200  # scans are taken
    cancelled = caller.submit(lines)
    assert caller.call("POST", f"/scans/{cancelled}/cancel").status_code == 202
    stack.postgres.start()
    stack.postgres.wait_until_ready()
    for scan in scans:
        status = caller.ended(scan)
        assert (status["status"], status["records_stored"]) == ("completed", status["records_total"])
    assert [caller.status(scan)["records_total"] for scan in scans] == [500] * 5 + [2_500]
    assert keys_stored(stack, tenant, scans[-1]) == keys_of(lines)
    # the cancellation came last: what the worker has reached by then is kept, and accounted for
    assert caller.ended(cancelled)["status"] in ("cancelled", "completed")
    found = wait_for(lambda: _read(caller, cancelled), "reads work again")
    assert sorted(each["activity_key"] for each in found) == keys_stored(stack, tenant, cancelled)
    with httpx.Client(base_url=stack.start_api().base_url, timeout=60) as http:  # one that was not there
        assert Tenant(http, tenant).get("/scans") == caller.get("/scans")
    assert_whole(stack, tenant)


def _read(caller: Tenant, scan: str) -> list[dict[str, Any]] | None:
    if caller.call("GET", "/processing-activities").status_code == 503:
        return None
    return caller.everything("/processing-activities", "processing_activities", scan_id=scan, limit=1_000)


def test_kafka_away(stack: Stack, service: Service, caller: Tenant, tenant: str) -> None:
    lines = generator.records(20, 2, tenant)
    before = caller.submit(lines)
    status = caller.ended(before)
    stack.kafka.stop()
    wait_for(lambda: not service.is_ready(), "readyz notices")
    assert service.health() == {"ok": False, "kafka": False, "statuses": True, "serving": True}
    assert caller.http.get("/healthz").status_code == 200  # a restart would not help
    for headers in ({}, {"Accept-Language": "en"}, {"Idempotency-Key": "k"}):
        for body, kind in ((generator.body(lines), JSON), (generator.ndjson(lines), NDJSON)):
            answer = caller.call("POST", "/scans", content=body, headers={**kind, **headers})
            assert_problem(answer, 503, "kafka_unavailable")
    assert_problem(caller.call("GET", "/scans/00000000-0000-4000-8000-000000000000"), 503, "statuses_unavailable")
    assert caller.status(before) == status  # what is known is told
    assert len(caller.everything("/processing-activities", "processing_activities")) == 20
    stack.kafka.start()
    stack.kafka.wait_until_ready()
    wait_for(service.is_ready, "readyz notices")

    def taken() -> str | None:
        """A broker that has just started may be slower than this API has patience."""
        answer = caller.call("POST", "/scans", content=generator.body(lines), headers={**JSON, "Idempotency-Key": "k"})
        assert answer.status_code in (202, 503), answer.text
        return answer.json()["scan_id"] if answer.status_code == 202 else None

    assert caller.ended(wait_for(taken, "the scan is taken"))["records_stored"] == 20
    # nothing of what was refused arrives later
    assert len([scan for scan in caller.get("/scans")["scans"] if scan["status"] != "cancelled"]) == 2
    assert_whole(stack, tenant)


@pytest.mark.long
def test_kafka_goes_away_midway(stack: Stack, service: Service, caller: Tenant, tenant: str) -> None:
    lines = generator.records(30_000, 3, tenant)
    key = {"Idempotency-Key": "lượt 7".encode().hex(), **NDJSON}
    begun: list[str] = []

    def body() -> Iterator[bytes]:
        yield generator.ndjson(lines[:5_500])
        with httpx.Client(base_url=service.base_url, timeout=60) as http:
            begun.append(stored(Tenant(http, tenant), 5_000))
        stack.kafka.kill()
        for at in range(5_500, 30_000, 500):
            yield generator.ndjson(lines[at : at + 500])

    answer = caller.call("POST", "/scans", content=body(), headers=key)
    problem = assert_problem(answer, 503, "scan_not_queued")
    assert problem["scan_id"] == begun[0]
    assert "hủy" in problem["messages"]["vi"] and "cancelled" in problem["messages"]["en"]
    stack.kafka.start()
    stack.kafka.wait_until_ready()
    status = caller.ended(begun[0])
    assert (status["status"], status["cancel_reason"]) == ("cancelled", "publish_failed")
    with Database(stack.postgres.superuser_dsn()) as database:
        row = database.finished(tenant, begun[0])
    assert (row["status"], row["cancel_reason"]) == ("cancelled", "publish_failed")
    assert 5_000 <= row["records_stored"] < 30_000
    # the same again, under the same key, is another scan, and whole
    wait_for(service.is_ready, "the API has found Kafka again")
    again = caller.submit(lines, headers=key)
    assert again != begun[0]
    status = caller.ended(again)
    assert (status["status"], status["records_stored"], status["records_duplicate"]) == ("completed", 30_000, 0)
    assert keys_stored(stack, tenant, again) == keys_of(lines)
    assert_whole(stack, tenant)


def stored(caller: Tenant, count: int) -> str:
    """Waits until the only scan shows so many as stored. Returns its id."""

    def look() -> str | None:
        scans = caller.get("/scans")["scans"]
        return scans[0]["scan_id"] if scans and scans[0]["records_stored"] == count else None

    return wait_for(look, f"{count} records are stored")
