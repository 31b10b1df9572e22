"""Every rule of the record, broken in a scan that goes all the way: told by code, pointer and both languages, and alone."""

import datetime as dt
import json
from typing import Any, Final, NamedTuple

import httpx
import pytest

from schemas.errors import RECORD_ERRORS
from tests.helpers import Database, Publisher, StatusTopic, array, assert_accounted, assert_told, new_scan, wait_for
from tests.refusals import rule
from tests.servers import Servers
from tests.unit.examples import FULL, MINIMAL, changed, encode
from tests.unit.test_record_rules import CASES, SECRET

pytestmark = pytest.mark.usefixtures("worker")


class Case(NamedTuple):
    """A record that is refused, and what must be said of it."""

    raw: bytes
    code: str
    pointer: str
    params: dict[str, Any] = {}


def field_cases() -> list[Case]:
    """Those of the unit tests, but for the clock's, which is a real one here."""
    ahead = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    cases = [Case(encode(changed(path, value)), code, path) for code, path, value in (case.values for case in CASES)]
    return [
        *(case for case in cases if case.code != "datetime_future"),
        Case(encode(changed("/discovered_at", ahead)), "datetime_future", "/discovered_at"),
        Case(encode(changed("/discovered_at", "9999-12-31T23:59:59Z")), "datetime_future", "/discovered_at"),
    ]


TOO_DEEP: Final = "/attributes/ghi chú/2" + "/0" * 30
# Not even a record; each may make its whole array unreadable for a strict parser.
WHOLE: Final = [
    Case(b"17", "record_not_object", ""),
    Case(b"null", "record_not_object", ""),
    Case(b'"text"', "record_not_object", ""),
    Case(b"[]", "record_not_object", ""),
    Case(b'{"name": }', "record_not_object", ""),
    Case(encode(MINIMAL) + b"x", "record_not_object", ""),
    Case(encode(MINIMAL) + encode(FULL), "several_in_line", ""),
    Case(encode(FULL).replace(b"0.93", b"NaN"), "number_not_finite", ""),
    Case(encode(FULL).replace(b"365", b"007"), "record_not_object", ""),
    Case(encode(MINIMAL).replace(b"crm/", b"\x80/"), "encoding_invalid", ""),
    Case(encode(FULL).replace(b"varchar", b"\xe1\xba"), "encoding_invalid", ""),
    Case(encode(FULL).replace(b"varchar", b"\xed\xa0\x80"), "encoding_invalid", ""),
    Case(encode(FULL).replace(b"2.5", b"[" * 5_000 + b"]" * 5_000), "nested_too_deep", TOO_DEEP),
    Case(encode(FULL).replace(b"2.5", b"[" * 40 + b"]" * 40), "nested_too_deep", TOO_DEEP),
    Case(encode(FULL).replace(b"2.5", b"1e350"), "number_too_long", "/attributes/ghi chú/2"),
    Case(encode(changed("/attributes", {"a": "x" * 300_000})), "record_too_large", ""),
]
# Right by every rule of the contract; the table takes no such purpose while the test runs.
REFUSED_BY_POSTGRESQL: Final = [
    Case(encode(FULL | {"purpose": "cấm", "activity_key": f"bad/{number}"}), "database_refused", "")
    for number in range(3)
]


def good(number: int) -> bytes:
    return encode(MINIMAL | {"activity_key": f"good/{number:04}"})


def publish(servers: Servers, tenant: str, cases: list[Case], at_once: int) -> str:
    """Each bad record stands between two good ones."""
    scan, lines = new_scan(), [good(0)]
    for number, case in enumerate(cases):
        lines += [case.raw, good(number + 1)]
    with Publisher(servers.bootstrap) as publisher:
        for first in range(0, len(lines), at_once):
            publisher.send(tenant, scan, "records", array(lines[first : first + at_once]), first=first)
        publisher.closed(tenant, scan, len(lines))
    return scan


def assert_each_alone(database: Database, tenant: str, scan: str, cases: list[Case]) -> None:
    row = database.finished(tenant, scan)
    assert (row["status"], row["messages_unreadable"]) == ("completed_with_errors", 0)
    assert (row["records_stored"], row["records_rejected"]) == (len(cases) + 1, len(cases))
    assert database.keys(tenant, scan) == [f"good/{number:04}" for number in range(len(cases) + 1)]
    found = [
        (each["record_index"], each["code"], each["pointer"], bytes(each["original"]))
        for each in database.rejected(tenant, scan)
    ]
    assert found == [(2 * number + 1, case.code, case.pointer, case.raw) for number, case in enumerate(cases)]


def told_by_the_api(http: httpx.Client, tenant: str, scan: str) -> list[dict[str, Any]]:
    """As NDJSON, once the API has heard of the scan."""

    def look() -> bytes | None:
        answer = http.get(f"/v1/tenants/{tenant}/scans/{scan}/errors", headers={"Accept": "application/x-ndjson"})
        return answer.content if answer.status_code == 200 else None

    return [json.loads(line) for line in wait_for(look, "the API tells the scan's errors").splitlines()]


def assert_in_both_languages(told: list[dict[str, Any]], cases: list[Case]) -> None:
    assert len(told) == len(cases)
    for number, (each, case) in enumerate(zip(told, cases, strict=True)):
        words, which = each["messages"], 2 * number + 2
        assert each["index"] == which - 1
        assert words["vi"].startswith(f"Bản ghi thứ {which} bị từ chối: ")
        assert words["en"].startswith(f"Record {which} was rejected: ")
        for text in words.values():
            assert text.endswith(".") and "{" not in text and SECRET not in text
            assert not case.pointer or f"«{case.pointer[1:]}»" in text


def test_every_rule_of_a_field(
    servers: Servers, database: Database, statuses: StatusTopic, http: httpx.Client, tenant: str
) -> None:
    cases = field_cases()
    scan = publish(servers, tenant, cases, at_once=100)
    assert_each_alone(database, tenant, scan, cases)
    assert_in_both_languages(told_by_the_api(http, tenant, scan), cases)
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])


def test_what_is_no_record_at_all(
    servers: Servers, database: Database, statuses: StatusTopic, http: httpx.Client, tenant: str
) -> None:
    scan = publish(servers, tenant, WHOLE, at_once=len(WHOLE) * 2 + 1)
    assert_each_alone(database, tenant, scan, WHOLE)
    assert_in_both_languages(told_by_the_api(http, tenant, scan), WHOLE)
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])


def test_what_only_the_database_can_refuse(
    servers: Servers, database: Database, statuses: StatusTopic, http: httpx.Client, tenant: str
) -> None:
    with rule(database, tenant, "constraint"):
        scan = publish(servers, tenant, REFUSED_BY_POSTGRESQL, at_once=1_000)
        row = database.finished(tenant, scan)
    assert (row["records_stored"], row["records_rejected"], row["records_duplicate"]) == (4, 3, 0)
    rejected = database.rejected(tenant, scan)
    assert [(each["record_index"], each["code"]) for each in rejected] == [
        (1, "database_refused"),
        (3, "database_refused"),
        (5, "database_refused"),
    ]
    # the record itself is kept, its numbers digit by digit
    kept = [bytes(each["original"]) for each in rejected]
    assert [json.loads(each)["activity_key"] for each in kept] == ["bad/0", "bad/1", "bad/2"]
    assert all(b"2.5" in each for each in kept)
    assert_in_both_languages(told_by_the_api(http, tenant, scan), REFUSED_BY_POSTGRESQL)
    assert "(SQLSTATE 23514)" in told_by_the_api(http, tenant, scan)[0]["messages"]["vi"]
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])


def test_records_of_a_cancelled_scan_say_so(
    servers: Servers, database: Database, http: httpx.Client, tenant: str
) -> None:
    scan = new_scan()
    cases = [Case(encode(changed("/name", "")), "scan_cancelled", "")]
    with Publisher(servers.bootstrap) as publisher:
        publisher.send(tenant, scan, "cancelled", b"")
        publisher.send(tenant, scan, "records", array([good(0), cases[0].raw]), first=0)
        marker = publisher.scan(tenant, [good(0)])
    database.finished(tenant, marker)
    rejected = database.rejected(tenant, scan)
    assert [(each["record_index"], each["code"]) for each in rejected] == [(0, "scan_cancelled"), (1, "scan_cancelled")]
    assert [each["messages"]["vi"] for each in told_by_the_api(http, tenant, scan)] == [
        f"Bản ghi thứ {number} bị từ chối: lượt quét đã bị hủy trước khi bản ghi đến." for number in (1, 2)
    ]


def test_no_rule_is_left_out() -> None:
    met = {case.code for case in [*field_cases(), *WHOLE, *REFUSED_BY_POSTGRESQL]} | {"scan_cancelled"}
    assert met == set(RECORD_ERRORS)
