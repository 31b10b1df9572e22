"""What became of a scan: found at once after the 202, and listed."""

from collections.abc import Iterator

import httpx
import pytest
from api_client import Tenant, assert_problem

from infra.processes.services import Service
from tests.helpers import STATUS, Database, Publisher, StatusTopic, assert_told, changed, new_scan, wait_for
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def caller(http: httpx.Client, database: Database, statuses: StatusTopic, tenant: str) -> Iterator[Tenant]:
    yield Tenant(http, tenant)
    assert_told(database, statuses, [tenant])


@pytest.fixture(scope="module")
def other_api(servers: Servers) -> Iterator[Service]:
    """A second process, which has to learn from Kafka what the first one accepted."""
    service = servers.start_api()
    yield service
    service.stop()


@pytest.fixture
def other_http(other_api: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=other_api.base_url, timeout=60) as client:
        yield client


def test_found_at_once_also_by_another_process(caller: Tenant, other_http: httpx.Client, tenant: str) -> None:
    elsewhere = Tenant(other_http, tenant)
    for seed in range(15):
        lines = generator.records(3, seed, tenant)
        answer = caller.call("POST", "/scans", content=generator.body(lines, f"nguồn {seed}"), headers=JSON)
        assert answer.status_code == 202
        assert answer.headers["location"] == f"{caller.base}/scans/{answer.json()['scan_id']}"
        for place in (elsewhere, caller):
            found = place.http.get(answer.headers["location"])
            assert found.status_code == 200
            status = found.json()
            assert (status["scan_id"], status["tenant_id"]) == (answer.json()["scan_id"], tenant)
            assert (status["source"], status["records_total"]) == (f"nguồn {seed}", 3)
            assert status["status"] in ("queued", "processing", "completed")
    ended = [caller.ended(each["scan_id"]) for each in caller.get("/scans")["scans"]]
    assert [(each["status"], each["records_stored"], each["progress"]) for each in ended] == [
        ("completed", 3, 1.0)
    ] * 15


def test_status_says_what_the_database_says(caller: Tenant, database: Database, tenant: str) -> None:
    lines = generator.records(200, 1, tenant)
    lines[7] = changed(lines[7], purpose="")
    scan = caller.submit([*lines, lines[0]])
    row = database.finished(tenant, scan)
    status = caller.ended(scan)
    for name in ("status", "records_total", "records_stored", "records_rejected", "records_duplicate", "version"):
        assert status[name] == row[name], name
    assert (status["records_stored"], status["records_rejected"], status["records_duplicate"]) == (199, 1, 1)
    assert status["errors_sample"] == row["errors_sample"]
    assert status["errors_sample"][0]["index"] == 7
    assert (status["message"]["vi"], status["message"]["en"]) == (
        "Hoàn tất, có lỗi: đã lưu 199 bản ghi, 1 bị từ chối, 1 trùng lặp.",
        "Completed with errors: 199 records stored, 1 rejected, 1 duplicates.",
    )
    assert caller.status(scan.upper()) == status


@pytest.mark.parametrize("language", ["vi", "en"])
def test_not_found(caller: Tenant, http: httpx.Client, tenant: str, language: str) -> None:
    scan = caller.submit(generator.records(1, 2, tenant))
    caller.ended(scan)
    stranger = Tenant(http, f"{tenant}-x")
    for who, wanted in ((caller, new_scan()), (stranger, scan), (caller, "17"), (caller, f"{scan}0"), (caller, "đ")):
        for method, path in (("GET", ""), ("GET", "/events"), ("GET", "/errors"), ("POST", "/cancel")):
            answer = who.call(method, f"/scans/{wanted}{path}", headers={"Accept-Language": language})
            body = assert_problem(answer, 404, "scan_not_found")
            assert f"/v1/tenants/{who.name}/scans" in body["detail"]
    assert_problem(http.get(f"/v1/tenants/-no-/scans/{scan}"), 404, "tenant_invalid")


def test_list_by_cursor_is_newest_first_and_complete(caller: Tenant, http: httpx.Client, tenant: str) -> None:
    scans = [caller.submit(generator.records(1, seed, tenant)) for seed in range(11)]
    for scan in scans:
        caller.ended(scan)
    pages = caller.pages("/scans", "scans", limit=4)
    assert [[each["scan_id"] for each in page] for page in pages] == [
        scans[:6:-1], scans[6:2:-1], scans[2::-1],
    ]  # fmt: skip
    listed = pages[0][0]
    assert listed == caller.status(scans[-1])
    assert len(caller.pages("/scans", "scans", limit=11)) == 1  # no empty page at the end
    assert [each["scan_id"] for each in caller.get("/scans")["scans"]] == scans[::-1]
    assert Tenant(http, f"{tenant}-x").get("/scans") == {"scans": [], "next_cursor": None}


def test_a_scan_that_comes_between_two_pages_moves_nothing(caller: Tenant, tenant: str) -> None:
    scans = [caller.submit(generator.records(1, seed, tenant)) for seed in range(6)]
    first = caller.get("/scans", limit=3)
    newer = caller.submit(generator.records(1, 99, tenant))
    second = caller.get("/scans", limit=3, cursor=first["next_cursor"])
    assert [each["scan_id"] for each in first["scans"] + second["scans"]] == scans[::-1]
    assert second["next_cursor"] is None
    assert caller.get("/scans", limit=1)["scans"][0]["scan_id"] == newer
    for scan in [*scans, newer]:
        caller.ended(scan)


def test_list_by_status(caller: Tenant, servers: Servers, tenant: str) -> None:
    good = [caller.submit(generator.records(1, seed, tenant)) for seed in range(3)]
    bad = [caller.submit([b"{}"]) for _ in range(2)]
    with Publisher(servers.bootstrap) as publisher:
        opened, cancelled = new_scan(), new_scan()
        publisher.send(tenant, opened, "opened", b"{}")
        publisher.records(tenant, cancelled, generator.records(2, 3, tenant))
        publisher.send(tenant, cancelled, "cancelled", b"{}")
        half = new_scan()
        publisher.records(tenant, half, generator.records(2, 4, tenant))
    wanted = {
        "completed": good, "completed_with_errors": bad, "cancelled": [cancelled], "queued": [opened],
        "processing": [half], "failed": [],
    }  # fmt: skip

    def listed() -> dict[str, list[str]]:
        found = {state: caller.everything("/scans", "scans", status=state, limit=1) for state in wanted}
        return {state: sorted(each["scan_id"] for each in scans) for state, scans in found.items()}

    wait_for(lambda: listed() == {state: sorted(scans) for state, scans in wanted.items()}, "every scan in its list")


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("limit", "0", "not_within"),
        ("limit", "1001", "not_within"),
        ("limit", "all", "not_within"),
        ("status", "done", "not_in_list"),
    ],
)
def test_list_refuses_a_wrong_parameter(caller: Tenant, name: str, value: str, code: str) -> None:
    body = assert_problem(caller.call("GET", "/scans", params={name: value}), 422, "request_invalid")
    assert [(each["parameter"], each["code"]) for each in body["errors"]] == [(name, code)]


@pytest.mark.parametrize("cursor", ["", "x", "đ", "WzFd", "W10", "eyJhIjoxfQ", "A" * 500])
def test_a_cursor_that_no_list_gave_out(caller: Tenant, cursor: str) -> None:
    assert_problem(caller.call("GET", "/scans", params={"cursor": cursor}), 422, "cursor_invalid")


def test_a_scan_past_its_time_is_gone(http: httpx.Client, servers: Servers, tenant: str) -> None:
    caller = Tenant(http, tenant)
    old, kept = (caller.submit(generator.records(1, seed, tenant)) for seed in (1, 2))
    for scan in (old, kept):
        caller.ended(scan)
    with Publisher(servers.bootstrap) as publisher:
        publisher.producer.produce(STATUS, None, f"{tenant}/{old}".encode())
    wait_for(lambda: caller.call("GET", f"/scans/{old}").status_code == 404, "the tombstone is read")
    assert_problem(caller.call("GET", f"/scans/{old}"), 404, "scan_not_found")
    assert_problem(caller.call("POST", f"/scans/{old}/cancel"), 404, "scan_not_found")
    assert [each["scan_id"] for each in caller.get("/scans")["scans"]] == [kept]
