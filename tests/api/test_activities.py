"""What the compliance team reads: stored records by scan, category, sensitivity and border, page by page."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from api_client import Tenant, assert_problem

from tests.helpers import Database, StatusTopic, assert_told, changed
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
PATH, MEMBER = "/processing-activities", "processing_activities"
Record = dict[str, Any]
FILLED = {
    "data_fields": [], "recipients": [], "attributes": {}, "controller_role": None, "provider_country": None,
    "transfer": None, "retention_days": None, "subject_count": None, "confidence": None,
}  # fmt: skip


@pytest.fixture
def caller(http: httpx.Client, database: Database, statuses: StatusTopic, tenant: str) -> Iterator[Tenant]:
    yield Tenant(http, tenant)
    assert_told(database, statuses, [tenant])


def activities(caller: Tenant, **params: Any) -> list[Record]:
    """Every page."""
    return caller.everything(PATH, MEMBER, **{"limit": 250, **params})


def places(found: list[Record]) -> list[tuple[str, str]]:
    return [(each["scan_id"], each["activity_key"]) for each in found]


def is_sensitive(record: Record) -> bool:
    return any(code.startswith("sensitive_") for code in record["data_categories"])


def crosses(record: Record) -> bool:
    return (
        record["storage_country"] != "VN"
        or record.get("provider_country") not in (None, "VN")
        or record.get("transfer") is not None
    )


def with_borders(tenant: str) -> list[bytes]:
    """Records of every kind that matters at the border."""
    lines = generator.records(5, 3, tenant)
    transfer = {"country": "SG", "recipient": "Cloud Pte", "mechanism": "cloud_storage"}
    return [
        changed(lines[0], storage_country="US"),
        changed(lines[1], storage_country="VN", provider_country="JP", transfer=None),
        changed(lines[2], storage_country="VN", provider_country="VN", transfer=transfer),
        changed(lines[3], storage_country="VN", provider_country="VN", transfer=None, data_categories=["basic_name"]),
        changed(lines[4], storage_country="VN", provider_country=None, transfer=None),
    ]


def test_a_record_comes_back_as_it_was_sent(caller: Tenant, tenant: str) -> None:
    lines = [*with_borders(tenant), *generator.sample("clinic")[:100]]
    scan = caller.submit(lines)
    caller.ended(scan)
    found = {each["activity_key"]: each for each in activities(caller, scan_id=scan)}
    assert len(found) == len(lines)
    for index, line in enumerate(lines):
        sent = json.loads(line)
        got = found[sent["activity_key"]]
        assert (got.pop("tenant_id"), got.pop("scan_id"), got.pop("record_index")) == (tenant, scan, index)
        assert got.pop("stored_at")
        assert (got.pop("sensitive"), got.pop("cross_border")) == (is_sensitive(sent), crosses(sent))
        moment = dt.datetime.fromisoformat(got.pop("discovered_at"))
        assert moment == dt.datetime.fromisoformat(sent.pop("discovered_at"))
        transfer = got.pop("transfer")
        given = sent.pop("transfer", None)
        assert {name: value for name, value in (transfer or {}).items() if value is not None} == (given or {})
        assert got == {name: value for name, value in (FILLED | sent).items() if name != "transfer"}


def test_pages_hold_everything_once(caller: Tenant, database: Database, tenant: str) -> None:
    lines = generator.records(400, 1, tenant)
    scans = sorted(caller.submit(each) for each in (lines, lines[:150], generator.records(233, 2, tenant)))
    for scan in scans:
        caller.ended(scan)
    pages = caller.pages(PATH, MEMBER, limit=97)
    assert [len(page) for page in pages] == [97] * 8 + [783 - 97 * 8]
    found = places([each for page in pages for each in page])
    stored = database.rows("SELECT scan_id::text, activity_key FROM processing_activities WHERE tenant_id = %s", tenant)
    assert len(found) == len(set(found)) == 783
    assert set(found) == {(row["scan_id"], row["activity_key"]) for row in stored}
    assert [scan for scan, _ in found] == sorted(scan for scan, _ in found)
    assert places(activities(caller, limit=1_000)) == found
    assert len(caller.pages(PATH, MEMBER, limit=783)) == 1  # no empty page at the end
    assert len(caller.get(PATH)[MEMBER]) == 100
    for scan in scans:
        assert places(activities(caller, scan_id=scan, limit=40)) == [place for place in found if place[0] == scan]


def test_keys_in_vietnamese_do_not_upset_the_pages(caller: Tenant, tenant: str) -> None:
    keys = [
        "đường",
        "duong",
        "Đường",
        "hòa",
        "hoà",
        "a/b",
        "a b",
        "A",
        "ă",
        "â",
        "z",
        "~",
        "0",
        "😀",
        "kh ách",
        '"',
        "\\",
        "\n1",
    ]
    line = generator.records(1, 4, tenant)[0]
    scan = caller.submit([changed(line, activity_key=key) for key in keys])
    assert caller.ended(scan)["records_stored"] == len(keys)
    found = [each["activity_key"] for each in activities(caller, limit=1)]
    assert sorted(found) == sorted(keys)


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"sensitive": "true"}, is_sensitive),
        ({"sensitive": "false"}, lambda record: not is_sensitive(record)),
        ({"cross_border": "true"}, crosses),
        ({"cross_border": "false"}, lambda record: not crosses(record)),
        ({"category": "basic_name"}, lambda record: "basic_name" in record["data_categories"]),
        ({"category": "sensitive_health"}, lambda record: "sensitive_health" in record["data_categories"]),
        ({"category": "sensitive_sex_life"}, lambda record: "sensitive_sex_life" in record["data_categories"]),
        ({"sensitive": "true", "cross_border": "true"}, lambda record: is_sensitive(record) and crosses(record)),
        (
            {"category": "basic_name", "sensitive": "false", "cross_border": "false"},
            lambda record: "basic_name" in record["data_categories"] and not is_sensitive(record) and not crosses(record),
        ),
    ],
)  # fmt: skip
def test_filters(caller: Tenant, tenant: str, params: dict[str, str], wanted: Callable[[Record], bool]) -> None:
    lines = [*generator.records(500, 5, tenant), *with_borders(tenant)]
    other = [*generator.records(60, 6, tenant), *with_borders(tenant)]
    first, second = caller.submit(lines), caller.submit(other)
    for scan in (first, second):
        caller.ended(scan)
    expected = {
        (scan, record["activity_key"])
        for scan, sent in ((first, lines), (second, other))
        for record in map(json.loads, sent)
        if wanted(record)
    }
    if params != {"category": "sensitive_sex_life"}:
        assert 0 < len(expected) < len(lines) + len(other)
    found = places(activities(caller, limit=60, **params))
    assert len(found) == len(expected)
    assert set(found) == expected
    of_one = places(activities(caller, scan_id=first, **params))
    assert set(of_one) == {place for place in expected if place[0] == first}


def test_tenants_are_apart(caller: Tenant, http: httpx.Client, tenant: str) -> None:
    neighbour = Tenant(http, f"{tenant}-x")
    lines = generator.records(50, 7)  # the same keys for both
    mine, theirs = caller.submit(lines), neighbour.submit(lines[:20])
    caller.ended(mine), neighbour.ended(theirs)
    assert {each["tenant_id"] for each in activities(caller)} == {tenant}
    assert {each["tenant_id"] for each in activities(neighbour)} == {neighbour.name}
    assert (len(activities(caller)), len(activities(neighbour))) == (50, 20)
    assert activities(caller, scan_id=theirs) == []
    # a cursor is a place in a list, not a way into it
    cursor = neighbour.get(PATH, limit=1)["next_cursor"]
    assert {each["tenant_id"] for each in caller.get(PATH, cursor=cursor)[MEMBER]} <= {tenant}
    assert Tenant(http, f"{tenant}-y").get(PATH) == {MEMBER: [], "next_cursor": None}


def test_rows_that_come_between_two_pages_make_no_twins(caller: Tenant, tenant: str) -> None:
    lines = generator.records(60, 8, tenant)
    scan = caller.submit(lines[::2])
    caller.ended(scan)
    first = caller.get(PATH, limit=15)
    more = caller.submit(lines[1::2])
    caller.ended(more)
    rest = _rest(caller, first["next_cursor"])
    found = places(first[MEMBER] + rest)
    assert len(found) == len(set(found))
    assert {place for place in found if place[0] == scan} == {
        (scan, json.loads(line)["activity_key"]) for line in lines[::2]
    }


def _rest(caller: Tenant, cursor: str | None) -> list[Record]:
    found = []
    while cursor is not None:
        page = caller.get(PATH, limit=15, cursor=cursor)
        found += page[MEMBER]
        cursor = page["next_cursor"]
    return found


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("scan_id", "17", "not_uuid"),
        ("category", "sức khỏe", "not_in_list"),
        ("category", "", "not_in_list"),
        ("sensitive", "có", "not_boolean"),
        ("cross_border", "2", "not_boolean"),
        ("limit", "0", "not_within"),
        ("limit", "1001", "not_within"),
    ],
)
def test_refuses_a_wrong_parameter(caller: Tenant, name: str, value: str, code: str) -> None:
    body = assert_problem(caller.call("GET", PATH, params={name: value}), 422, "request_invalid")
    assert [(each["parameter"], each["code"]) for each in body["errors"]] == [(name, code)]


@pytest.mark.parametrize("cursor", ["", "x", "WzFd", "WyJ4IiwieSJd", "bnVsbA"])
def test_a_cursor_that_no_list_gave_out(caller: Tenant, cursor: str) -> None:
    assert_problem(caller.call("GET", PATH, params={"cursor": cursor}), 422, "cursor_invalid")
