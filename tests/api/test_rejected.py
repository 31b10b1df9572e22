"""Rejected records: why, in both languages, and the record itself, ready to be mended and sent again."""

import base64
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from api_client import Tenant, assert_problem

from tests.helpers import Database, Publisher, StatusTopic, assert_accounted, assert_told, changed, new_scan, wait_for
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
NDJSON = {"Accept": "application/x-ndjson"}


class Fault(NamedTuple):
    """What is changed in a record, and what must be said about it."""

    fields: dict[str, Any]
    code: str
    pointer: str
    vi: str
    en: str


FAULTS = [
    Fault({"purpose": ""}, "text_empty", "/purpose",
          "trường «purpose» không được để trống", "the field «purpose» must not be empty"),
    Fault({"storage_country": "vn"}, "country_unknown", "/storage_country",
          "trường «storage_country» không phải là mã quốc gia ISO 3166-1 gồm hai chữ hoa",
          "the field «storage_country» is not an upper-case two-letter ISO 3166-1 country code"),
    Fault({"data_categories": ["basic_name", "tên"]}, "unknown_code", "/data_categories/1",
          "trường «data_categories/1» chứa mã không thuộc danh mục",
          "the field «data_categories/1» holds a code that is not in its list"),
    Fault({"số điện thoại": 1}, "unknown_field", "/số điện thoại",
          "trường «số điện thoại» không có trong phiên bản 1 của bản ghi; thông tin thêm thuộc về «attributes»",
          "the field «số điện thoại» is not part of record version 1; extra information belongs in «attributes»"),
    Fault({"confidence": 1.5}, "out_of_range", "/confidence",
          "trường «confidence» phải nằm trong khoảng từ 0 đến 1", "the field «confidence» must lie between 0 and 1"),
    Fault({"name": 7}, "wrong_type", "/name", "trường «name» phải là văn bản", "the field «name» must be text"),
    Fault({"transfer": {"country": "SG", "recipient": "", "mechanism": "other"}}, "text_empty", "/transfer/recipient",
          "trường «transfer/recipient» không được để trống", "the field «transfer/recipient» must not be empty"),
]  # fmt: skip


@pytest.fixture
def caller(http: httpx.Client, database: Database, statuses: StatusTopic, tenant: str) -> Iterator[Tenant]:
    yield Tenant(http, tenant)
    assert_told(database, statuses, [tenant])
    for row in database.rows("SELECT scan_id FROM scans WHERE tenant_id = %s", tenant):
        assert_accounted(database, tenant, row["scan_id"])


def errors(caller: Tenant, scan: str, limit: int = 1_000) -> list[dict[str, Any]]:
    """As JSON, page by page."""
    return caller.everything(f"/scans/{scan}/errors", "errors", limit=limit)


def downloaded(caller: Tenant, scan: str) -> list[dict[str, Any]]:
    """As NDJSON, in one answer."""
    answer = caller.call("GET", f"/scans/{scan}/errors", headers=NDJSON)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert f"{scan}-errors.ndjson" in answer.headers["content-disposition"]
    assert answer.content.endswith(b"\n") or not answer.content
    return [json.loads(line) for line in answer.content.splitlines()]


def test_each_says_where_and_why_in_both_languages(caller: Tenant, tenant: str) -> None:
    lines = generator.records(60, 1, tenant)
    places = [3 + 8 * number for number in range(len(FAULTS))]
    for place, fault in zip(places, FAULTS, strict=True):
        lines[place] = changed(lines[place], **fault.fields)
    scan = caller.submit(lines)
    assert caller.ended(scan)["records_rejected"] == len(FAULTS)
    found = errors(caller, scan)
    assert [each["index"] for each in found] == places
    for each, place, fault in zip(found, places, FAULTS, strict=True):
        assert (each["code"], each["pointer"]) == (fault.code, fault.pointer)
        assert each["activity_key"] == json.loads(lines[place])["activity_key"]
        assert each["messages"] == {
            "vi": f"Bản ghi thứ {place + 1} bị từ chối: {fault.vi}.",
            "en": f"Record {place + 1} was rejected: {fault.en}.",
        }
        assert each["errors"][0] == {
            "code": fault.code,
            "pointer": fault.pointer,
            "messages": {"vi": fault.vi, "en": fault.en},
        }
        assert each["record"] == json.loads(lines[place])
        assert "record_base64" not in each
        assert each["rejected_at"]
    assert downloaded(caller, scan) == found
    # the first of them are in the status as well, in the same words
    assert [
        {name: each[name] for name in ("index", "activity_key", "code", "pointer", "messages")} for each in found
    ] == caller.status(scan)["errors_sample"]


def test_every_reason_of_one_record(caller: Tenant, tenant: str) -> None:
    line = changed(generator.records(1, 2, tenant)[0], purpose="", storage_country="xx", retention_days=-1)
    scan = caller.submit([line])
    caller.ended(scan)
    [found] = errors(caller, scan)
    assert {(each["code"], each["pointer"]) for each in found["errors"]} == {
        ("text_empty", "/purpose"), ("country_unknown", "/storage_country"), ("out_of_range", "/retention_days"),
    }  # fmt: skip
    assert (found["code"], found["pointer"]) == (found["errors"][0]["code"], found["errors"][0]["pointer"])


def test_corrected_and_sent_again(caller: Tenant, database: Database, tenant: str) -> None:
    sound = generator.records(len(FAULTS), 3, tenant)
    broken = [changed(line, **fault.fields) for line, fault in zip(sound, FAULTS, strict=True)]
    scan = caller.submit(broken)
    assert caller.ended(scan)["records_stored"] == 0
    mended = []
    for each, line, fault in zip(downloaded(caller, scan), sound, FAULTS, strict=True):
        record = each["record"]
        for name in fault.fields:
            del record[name]
        right = {name: value for name, value in json.loads(line).items() if name in fault.fields}
        mended.append(json.dumps(record | right, ensure_ascii=False).encode())
    again = caller.submit(mended)
    status = caller.ended(again)
    assert (status["status"], status["records_stored"]) == ("completed", len(FAULTS))
    stored = {row["activity_key"]: row for row in database.activities(tenant, again)}
    for line in sound:
        sent = json.loads(line)
        row = stored[sent["activity_key"]]
        assert (row["name"], row["purpose"], row["attributes"]) == (sent["name"], sent["purpose"], sent["attributes"])


def test_what_came_after_a_cancellation_can_be_sent_again_as_it_is(
    caller: Tenant, servers: Servers, database: Database, tenant: str
) -> None:
    lines = generator.records(40, 4, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.send(tenant, scan, "cancelled", b"{}")
        publisher.records(tenant, scan, lines)
    wait_for(lambda: (database.scan(tenant, scan) or {}).get("records_rejected") == 40, "all are rejected")
    found = downloaded(caller, scan)
    assert {each["code"] for each in found} == {"scan_cancelled"}
    again = caller.submit([json.dumps(each["record"], ensure_ascii=False).encode() for each in found])
    assert caller.ended(again)["status"] == "completed"
    plain = caller.submit(lines)
    caller.ended(plain)
    own = ("scan_id", "stored_at")
    first, second = (
        [{name: value for name, value in row.items() if name not in own} for row in database.activities(tenant, each)]
        for each in (again, plain)
    )
    assert len(first) == 40
    assert first == second


def test_lines_that_are_no_record_at_all(caller: Tenant, tenant: str) -> None:
    sound = generator.records(1, 5, tenant)[0]
    texts = ["không phải JSON", '{"activity_key": "a",', "[1, 2]", "17", "null", '"chữ"']
    scan = caller.submit([text.encode() for text in texts] + [sound])
    assert caller.ended(scan)["records_stored"] == 1
    found = errors(caller, scan)
    assert [(each["index"], each["code"], each["activity_key"]) for each in found] == [
        (index, "record_not_object", None) for index in range(6)
    ]
    # what is JSON comes back as JSON, what is not as its text
    assert [each["record"] for each in found] == [texts[0], texts[1], [1, 2], 17, None, "chữ"]


def test_bytes_that_are_not_utf8_come_back_as_they_were(caller: Tenant, servers: Servers, tenant: str) -> None:
    line = b'{"activity_key":"kh\xe1ch","name":"\xff"}'
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, [line])
        publisher.closed(tenant, scan, 1)
    wait_for(lambda: caller.call("GET", f"/scans/{scan}").status_code == 200, "the scan is known")
    caller.ended(scan)
    for [found] in (errors(caller, scan), downloaded(caller, scan)):
        assert (found["code"], found["record"]) == ("encoding_invalid", None)
        assert base64.b64decode(found["record_base64"]) == line


def test_pages_hold_everything_once_and_in_order(caller: Tenant, database: Database, tenant: str) -> None:
    lines = [changed(line, purpose="") for line in generator.records(2_500, 6, tenant)]
    scan = caller.submit(lines)
    assert caller.ended(scan)["records_rejected"] == 2_500
    pages = caller.pages(f"/scans/{scan}/errors", "errors", limit=600)
    assert [len(page) for page in pages] == [600, 600, 600, 600, 100]
    found = [each for page in pages for each in page]
    assert [each["index"] for each in found] == list(range(2_500))
    assert [each["record"] for each in found] == [json.loads(line) for line in lines]
    assert downloaded(caller, scan) == found
    assert len(caller.get(f"/scans/{scan}/errors")["errors"]) == 100
    assert len(caller.pages(f"/scans/{scan}/errors", "errors", limit=500)) == 5  # no empty page at the end
    assert len(database.rejected(tenant, scan)) == 2_500


def test_none(caller: Tenant, tenant: str) -> None:
    scan = caller.submit(generator.records(3, 7, tenant))
    caller.ended(scan)
    assert caller.get(f"/scans/{scan}/errors") == {"errors": [], "next_cursor": None}
    assert downloaded(caller, scan) == []


def test_of_one_scan_and_one_tenant_only(caller: Tenant, http: httpx.Client, tenant: str) -> None:
    stranger = Tenant(http, f"{tenant}-x")
    scans = [(who, who.submit([changed(line, purpose="") for line in generator.records(4, seed, who.name)]))
             for seed, who in enumerate((caller, caller, stranger))]  # fmt: skip
    for seed, (who, scan) in enumerate(scans):
        who.ended(scan)
        keys = [json.loads(line)["activity_key"] for line in generator.records(4, seed, who.name)]
        assert [each["activity_key"] for each in errors(who, scan, limit=3)] == keys
        assert [each["activity_key"] for each in downloaded(who, scan)] == keys
    assert_problem(stranger.call("GET", f"/scans/{scans[0][1]}/errors"), 404, "scan_not_found")
    answer = stranger.call("GET", f"/scans/{scans[0][1]}/errors", headers=NDJSON)
    assert_problem(answer, 404, "scan_not_found")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [({"cursor": "x"}, "cursor_invalid"), ({"cursor": "Ing"}, "cursor_invalid"), ({"limit": "0"}, "request_invalid")],
)
def test_refuses_a_wrong_parameter(caller: Tenant, tenant: str, parameters: dict[str, str], code: str) -> None:
    scan = caller.submit(generator.records(1, 8, tenant))
    caller.ended(scan)
    assert_problem(caller.call("GET", f"/scans/{scan}/errors", params=parameters), 422, code)
