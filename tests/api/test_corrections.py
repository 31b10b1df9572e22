"""Rejected records, mended and sent again to the same scan, as NDJSON or as one JSON body: its counts come out right, however
often they come."""

import gzip
import json
import threading
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import zstandard
from api_client import Tenant, assert_problem

from tests.helpers import (
    Database,
    Publisher,
    StatusTopic,
    array,
    assert_accounted,
    assert_told,
    changed,
    new_scan,
    wait_for,
)
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
NDJSON: Final = {"Accept": "application/x-ndjson"}
SENT: Final = {"Content-Type": "application/x-ndjson"}
JSON: Final = {"Content-Type": "application/json"}
WAIT: Final = {"Prefer": "wait=30"}
# What breaks a record, each by another rule; None takes the field away.
FAULTS: Final[list[dict[str, Any]]] = [
    {"purpose": ""},
    {"storage_country": "vn"},
    {"data_categories": ["basic_name", "tên"]},
    {"số điện thoại": 1},
    {"confidence": 1.5},
    {"name": 7},
    {"discovered_at": "hôm qua"},
    {"retention_days": -1},
]


class Mended(Tenant):
    """A tenant whose scans hold broken records, and who sends them mended as lines or as one JSON body."""

    as_json = False

    def break_some(self, lines: list[bytes], places: range | list[int]) -> str:
        """A scan of these, with a fault at each of the places. Returns its id when it has ended."""
        broken = list(lines)
        for number, place in enumerate(places):
            broken[place] = changed(broken[place], **FAULTS[number % len(FAULTS)])
        scan = self.submit(broken)
        self.ended(scan)
        return scan

    def errors(self, scan: str) -> list[dict[str, Any]]:
        """As NDJSON."""
        answer = self.call("GET", f"/scans/{scan}/errors", headers=NDJSON)
        assert answer.status_code == 200
        return [json.loads(line) for line in answer.content.splitlines()]

    def mend(self, scan: str, errors: list[dict[str, Any]], **headers: str) -> httpx.Response:
        if self.as_json:
            return self.correct(scan, {"corrections": errors}, **headers)
        body = b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in errors)
        return self.call("POST", f"/scans/{scan}/records", content=body, headers={**SENT, **headers})

    def correct(self, scan: str, body: Any, **headers: str) -> httpx.Response:
        """A JSON body, whatever it is; bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        return self.call("POST", f"/scans/{scan}/records", content=content, headers={**JSON, **headers})

    def judged(self, scan: str, errors: list[dict[str, Any]]) -> dict[str, Any]:
        """The scan's status once they were judged."""
        answer = self.mend(scan, errors, **WAIT)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def counts(status: dict[str, Any]) -> tuple[Any, ...]:
    return (status["status"], *(status[f"records_{name}"] for name in ("total", "stored", "rejected", "duplicate")))


def with_records(errors: list[dict[str, Any]], lines: list[bytes]) -> list[dict[str, Any]]:
    """What /errors gave, with the sound record of the same index in each."""
    return [{**each, "record": json.loads(lines[each["index"]])} for each in errors]


@pytest.fixture
def caller(http: httpx.Client, database: Database, statuses: StatusTopic, tenant: str) -> Iterator[Mended]:
    yield Mended(http, tenant)
    assert_told(database, statuses, [tenant])
    for row in database.rows("SELECT scan_id FROM scans WHERE tenant_id = %s", tenant):
        assert_accounted(database, tenant, row["scan_id"])


@pytest.fixture(params=["lines", "json"])
def either_body(request: pytest.FixtureRequest, caller: Mended) -> None:
    """The test runs once with each."""
    caller.as_json = request.param == "json"


BY_EITHER_BODY: Final = pytest.mark.usefixtures("either_body")


@BY_EITHER_BODY
def test_what_several_rules_rejected_is_corrected_and_the_scan_is_completed(
    caller: Mended, database: Database, tenant: str
) -> None:
    lines = generator.records(60, 1, tenant)
    scan = caller.break_some(lines, range(0, 60, 5))
    assert counts(caller.status(scan)) == ("completed_with_errors", 60, 48, 12, 0)
    rejected = caller.errors(scan)
    status = caller.judged(scan, with_records(rejected, lines))
    assert counts(status) == ("completed", 60, 60, 0, 0)
    assert (caller.errors(scan), status["errors_sample"], status["progress"]) == ([], [], 1)
    stored = {row["activity_key"]: row for row in database.activities(tenant, scan)}
    for index, line in enumerate(lines):
        sent = json.loads(line)
        row = stored[sent["activity_key"]]
        assert (row["record_index"], row["name"], row["purpose"]) == (index, sent["name"], sent["purpose"])
    kept = database.rows("SELECT * FROM mended_records WHERE tenant_id = %s ORDER BY id", tenant)
    assert [(row["record_index"], row["code"]) for row in kept] == [(each["index"], each["code"]) for each in rejected]
    audit = database.audit(tenant)[-1]
    assert (audit["action"], audit["details"]["mended"], audit["details"]["stored"]) == ("records_mended", 12, 12)
    assert audit["message"] == {
        "vi": "Đã nhận 12 bản ghi sửa lại: đã lưu 12, lại bị từ chối 0, trùng lặp 0.",
        "en": "12 mended records came: 12 stored, 0 rejected again, 0 duplicates.",
    }


@BY_EITHER_BODY
def test_the_same_again_changes_nothing(caller: Mended, tenant: str) -> None:
    lines = generator.records(30, 2, tenant)
    scan = caller.break_some(lines, range(0, 30, 3))
    mended = with_records(caller.errors(scan), lines)
    first = caller.judged(scan, mended)
    for _ in range(2):
        again = caller.judged(scan, mended)
        assert counts(again) == counts(first) == ("completed", 30, 30, 0, 0)
        assert again["finished_at"] == first["finished_at"]
    # twice in one body, too
    other = caller.break_some(lines, [4, 7])
    mended = with_records(caller.errors(other), lines)
    assert counts(caller.judged(other, mended + mended)) == ("completed", 30, 30, 0, 0)


@BY_EITHER_BODY
def test_half_corrected_half_left(caller: Mended, tenant: str) -> None:
    lines = generator.records(40, 3, tenant)
    scan = caller.break_some(lines, range(0, 40, 4))
    rejected = caller.errors(scan)
    mended = with_records(rejected[:5], lines) + [{**each, "record": None} for each in rejected[5:]]
    assert counts(caller.judged(scan, mended)) == ("completed_with_errors", 40, 35, 5, 0)
    assert caller.errors(scan) == rejected[5:]
    assert [each["index"] for each in caller.status(scan)["errors_sample"]] == [each["index"] for each in rejected[5:]]
    assert counts(caller.judged(scan, with_records(caller.errors(scan), lines))) == ("completed", 40, 40, 0, 0)


@BY_EITHER_BODY
def test_corrected_wrongly_is_rejected_anew_and_can_be_corrected_again(
    caller: Mended, database: Database, tenant: str
) -> None:
    lines = generator.records(20, 4, tenant)
    scan = caller.break_some(lines, [3, 9])
    rejected = caller.errors(scan)
    wrong = with_records(rejected, lines)
    wrong[0]["record"]["legal_basis"] = "legitimate_interests"
    wrong[1]["record"] = "không phải bản ghi"
    assert counts(caller.judged(scan, wrong)) == ("completed_with_errors", 20, 18, 2, 0)
    found = caller.errors(scan)
    assert [(each["index"], each["code"]) for each in found] == [(3, "unknown_code"), (9, "record_not_object")]
    assert not {each["id"] for each in found} & {each["id"] for each in rejected}
    assert counts(caller.judged(scan, with_records(found, lines))) == ("completed", 20, 20, 0, 0)
    assert len(database.rows("SELECT 1 FROM mended_records WHERE tenant_id = %s", tenant)) == 4


@BY_EITHER_BODY
def test_wrong_and_right_at_once(caller: Mended, tenant: str) -> None:
    """The right one is not lost because the wrong one came first and was rejected in its place."""
    lines = generator.records(10, 5, tenant)
    scan = caller.break_some(lines, [2])
    right = with_records(caller.errors(scan), lines)
    wrong = [{**right[0], "record": {**right[0]["record"], "name": ""}}]
    before = caller.status(scan)["version"]
    for body in (wrong, wrong, right, wrong):
        assert caller.mend(scan, body).status_code == 202
    wait_for(lambda: caller.status(scan)["version"] >= before + 4, "all were judged")
    assert counts(caller.status(scan)) == ("completed", 10, 10, 0, 0)


@BY_EITHER_BODY
def test_many_at_once_count_once(caller: Mended, tenant: str) -> None:
    lines = generator.records(1_500, 6, tenant)
    scan = caller.break_some(lines, range(0, 1_500))
    assert counts(caller.status(scan)) == ("completed_with_errors", 1_500, 0, 1_500, 0)
    mended = with_records(caller.errors(scan), lines)
    before = caller.status(scan)["version"]
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(caller.mend(scan, mended))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [202] * 4
    assert {answer.json()["records"] for answer in answers} == {1_500}
    wait_for(lambda: caller.status(scan)["version"] >= before + 8, "all were judged")
    assert counts(caller.status(scan)) == ("completed", 1_500, 1_500, 0, 0)


@BY_EITHER_BODY
def test_a_key_that_is_there_by_now_is_a_duplicate(caller: Mended, tenant: str) -> None:
    lines = generator.records(10, 7, tenant)
    scan = caller.break_some(lines, [1, 2])
    mended = with_records(caller.errors(scan), lines)
    mended[1]["record"]["activity_key"] = json.loads(lines[5])["activity_key"]
    assert counts(caller.judged(scan, mended)) == ("completed", 10, 9, 0, 1)


@BY_EITHER_BODY
def test_what_is_not_rejected_cannot_be_corrected(caller: Mended, tenant: str) -> None:
    lines = generator.records(10, 8, tenant)
    scan = caller.break_some(lines, [1])
    new = json.loads(generator.records(1, 9, tenant)[0]) | {"activity_key": "mới"}
    mends = [{"index": 0, "record": new}, {"index": 99, "record": new}, {"index": None, "id": 10**17, "record": new}]
    assert counts(caller.judged(scan, mends)) == ("completed_with_errors", 10, 9, 1, 0)


@BY_EITHER_BODY
def test_records_without_a_number_are_known_by_their_rejection(
    caller: Mended, servers: Servers, database: Database, tenant: str
) -> None:
    lines = generator.records(6, 10, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.singles(tenant, scan, [changed(line, purpose="") for line in lines])
        publisher.closed(tenant, scan, 6)
    wait_for(lambda: (database.scan(tenant, scan) or {}).get("records_rejected") == 6, "all are rejected")
    wait_for(lambda: caller.call("GET", f"/scans/{scan}").status_code == 200, "the scan is known")
    caller.ended(scan)
    rejected = caller.errors(scan)
    assert {each["index"] for each in rejected} == {None}
    sound = {each["activity_key"]: each for each in map(json.loads, lines)}
    mended = [{**each, "record": sound[each["activity_key"]]} for each in rejected]
    assert counts(caller.judged(scan, mended)) == ("completed", 6, 6, 0, 0)
    assert counts(caller.judged(scan, mended)) == ("completed", 6, 6, 0, 0)


def test_direct_publishers_do_the_same(caller: Mended, servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(20, 11, tenant)
    scan = caller.break_some(lines, [4, 11])
    with Publisher(servers.bootstrap) as publisher:
        for _ in range(2):
            publisher.send(tenant, scan, "mended", array([lines[11], lines[4]]), headers=[("ce_mends", b"11,4")])
    wait_for(lambda: counts(caller.status(scan)) == ("completed", 20, 20, 0, 0), "both are stored")
    assert {row["record_index"] for row in database.activities(tenant, scan)} == set(range(20))


@pytest.mark.parametrize("mends", [None, b"", b"4", b"4,x", b"4,-1", b"4,5,6", b"4,99999999999"])
def test_a_message_that_does_not_say_what_it_corrects_is_a_dead_letter(
    caller: Mended, servers: Servers, database: Database, tenant: str, mends: bytes | None
) -> None:
    lines = generator.records(8, 12, tenant)
    scan = caller.break_some(lines, [4, 5])
    with Publisher(servers.bootstrap) as publisher:
        headers = [] if mends is None else [("ce_mends", mends)]
        publisher.send(tenant, scan, "mended", array([lines[4], lines[5]]), headers=headers)
    wait_for(lambda: (database.scan(tenant, scan) or {}).get("messages_unreadable") == 1, "it is told")
    assert counts(caller.status(scan)) == ("completed_with_errors", 8, 6, 2, 0)


def test_a_line_that_is_none_of_errors_is_named(caller: Mended, tenant: str) -> None:
    lines = generator.records(10, 13, tenant)
    scan = caller.break_some(lines, [1, 2])
    mended = with_records(caller.errors(scan), lines)
    for wrong in ({"record": {}}, {"index": -1, "record": {}}, {"index": 1}, {"id": 0, "record": {}}, [], "chữ"):
        answer = caller.mend(scan, [mended[0], wrong])  # type: ignore[list-item]
        problem = assert_problem(answer, 422, "mend_invalid")
        assert (problem["line"], problem["records"]) == (2, 1)
    assert counts(caller.judged(scan, mended)) == ("completed", 10, 10, 0, 0)


@BY_EITHER_BODY
def test_a_cancelled_scan_takes_none(caller: Mended, servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(10, 14, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, [changed(lines[0], name=""), *lines[1:]])
        publisher.send(tenant, scan, "cancelled", b"{}")
    wait_for(lambda: (database.scan(tenant, scan) or {}).get("status") == "cancelled", "it is cancelled")
    wait_for(lambda: caller.call("GET", f"/scans/{scan}").json().get("status") == "cancelled", "the API knows")
    mended = with_records(caller.errors(scan), lines)
    assert_problem(caller.mend(scan, mended), 409, "scan_cancelled")
    # and where the cancellation overtakes it, nothing changes
    before = database.scan(tenant, scan)
    with Publisher(servers.bootstrap) as publisher:
        publisher.send(tenant, scan, "mended", array([lines[0]]), headers=[("ce_mends", b"0")])
    wait_for(lambda: database.scan(tenant, scan)["version"] > before["version"], "it was looked at")  # type: ignore[index]
    assert len(caller.errors(scan)) == 1


def test_another_tenants_scan_and_none_at_all(caller: Mended, http: httpx.Client, tenant: str) -> None:
    lines = generator.records(5, 15, tenant)
    scan = caller.break_some(lines, [0])
    mended = with_records(caller.errors(scan), lines)
    other = Mended(http, f"{tenant}-o")
    assert_problem(other.mend(scan, mended), 404, "scan_not_found")
    assert_problem(caller.mend(new_scan(), mended), 404, "scan_not_found")
    xml = caller.call("POST", f"/scans/{scan}/records", content=b"<a/>", headers={"Content-Type": "application/xml"})
    assert_problem(xml, 415, "content_type_unsupported")
    assert counts(caller.status(scan)) == ("completed_with_errors", 5, 4, 1, 0)


@pytest.mark.parametrize(
    "wrong",
    [{"record": {}}, {"index": -1, "record": {}}, {"index": 1}, {"id": 0, "record": {}}, [], "chữ", None, "\ud800"],
)
def test_of_a_body_with_a_correction_that_is_none_nothing_is_taken(caller: Mended, tenant: str, wrong: Any) -> None:
    lines = generator.records(10, 16, tenant)
    scan = caller.break_some(lines, [1, 2])
    mended = with_records(caller.errors(scan), lines)
    before = caller.status(scan)
    body = json.dumps({"corrections": [mended[0], wrong, mended[1], wrong]}).encode()
    problem = assert_problem(caller.correct(scan, body), 422, "request_invalid")
    assert [(each["code"], each["pointer"]) for each in problem["errors"]] == [
        ("correction_invalid", "/corrections/1"),
        ("correction_invalid", "/corrections/3"),
    ]
    assert all(each["messages"].keys() == {"vi", "en"} for each in problem["errors"])
    # what comes now is the next change of the scan, so that nothing of the above was
    status = caller.judged(scan, mended)
    assert (counts(status), status["version"]) == (("completed", 10, 10, 0, 0), before["version"] + 1)


def test_a_json_body_is_held_to_its_limits_and_its_mistakes_are_reported(caller: Mended, tenant: str) -> None:
    lines = generator.records(3, 17, tenant)
    scan = caller.break_some(lines, [1])
    [mended] = with_records(caller.errors(scan), lines)
    whole = json.dumps({"corrections": [mended]}).encode()
    line = json.dumps(mended).encode()
    for body, status, code in (
        (b"", 422, "no_records"),
        ({"corrections": []}, 422, "no_records"),
        (whole[:-1], 400, "json_malformed"),
        (line + b"\n" + line, 415, "ndjson_not_json"),
        (whole.decode().encode("utf-16"), 415, "charset_unsupported"),
        (gzip.compress(whole), 415, "compression_undeclared"),
        (b'{"corrections": [{"index": 1, "record": NaN}]}', 400, "number_not_finite"),
        (b'{"corrections": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "json_too_deep"),
        ({"corrections": [{"index": 1, "record": None}] * 10_001}, 413, "too_many_records"),
    ):
        assert_problem(caller.correct(scan, body), status, code)
    large = {"index": 1, "record": {**mended["record"], "name": "x" * 300_000}}
    problem = assert_problem(caller.correct(scan, {"corrections": [mended, large]}), 413, "record_too_large")
    assert (problem["pointer"], problem["limit"]) == ("/corrections/1", 256 * 1024)
    for body, code, pointer in (
        ([], "body_not_object", ""),
        ({}, "field_missing", "/corrections"),
        ({"corrections": {}}, "not_list", "/corrections"),
        ({"corrections": [mended], "errors": []}, "field_unexpected", "/errors"),
        ({"corrections": [mended], "records": []}, "field_unexpected", "/records"),
    ):
        [error] = assert_problem(caller.correct(scan, body), 422, "request_invalid")["errors"]
        assert (error["code"], error["pointer"]) == (code, pointer)
    assert counts(caller.status(scan)) == ("completed_with_errors", 3, 2, 1, 0)
    answer = caller.correct(scan, gzip.compress(whole), **WAIT, **{"Content-Encoding": "gzip"})
    assert counts(answer.json()) == ("completed", 3, 3, 0, 0)


def test_a_page_of_errors_goes_back_as_corrections(caller: Mended, tenant: str) -> None:
    """More than one message of them, as they come from GET .../errors, in a body that is compressed."""
    lines = generator.records(1_200, 18, tenant)
    scan = caller.break_some(lines, range(1_200))
    rejected = caller.everything(f"/scans/{scan}/errors", "errors", limit=1_000)
    body = json.dumps({"corrections": with_records(rejected[:1_100], lines)}).encode()
    before = caller.status(scan)["version"]
    answer = caller.correct(scan, zstandard.compress(body), **{"Content-Encoding": "zstd"})
    taken = answer.json()
    assert (answer.status_code, taken["records"], taken["left"], taken["version"]) == (202, 1_100, 0, before + 2)
    assert answer.headers["location"] == taken["links"]["self"]
    wait_for(lambda: caller.status(scan)["version"] >= taken["version"], "all were judged")
    assert counts(caller.status(scan)) == ("completed_with_errors", 1_200, 1_100, 100, 0)
