"""Counts for reports: records by day and category as a sum over the stored records gives them, page by page."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from api_client import Tenant, assert_problem

from tests.helpers import Database, StatusTopic, assert_told, changed
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
PATH, MEMBER = "/daily-counts", "daily_counts"
KINDS = ("stored", "sensitive", "cross_border")
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def caller(http: httpx.Client, database: Database, statuses: StatusTopic, tenant: str) -> Iterator[Tenant]:
    yield Tenant(http, tenant)
    assert_told(database, statuses, [tenant])


def expected(caller: Tenant) -> dict[tuple[str, str], Counter[str]]:
    """The sums over what the list of stored records shows."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for record in caller.everything("/processing-activities", "processing_activities", limit=1_000):
        at = dt.datetime.fromisoformat(record["stored_at"]).astimezone(ZoneInfo("Asia/Ho_Chi_Minh"))
        for category in {"all", *record["data_categories"]}:
            counts = found.setdefault((at.date().isoformat(), category), Counter())
            counts += Counter(stored=1, sensitive=int(record["sensitive"]), cross_border=int(record["cross_border"]))
            found[at.date().isoformat(), category] = counts
    return found


def shown(caller: Tenant, **params: Any) -> dict[tuple[str, str], Counter[str]]:
    """What the call answers, over all its pages."""
    found = caller.everything(PATH, MEMBER, **{"limit": 7, **params})
    places = [(each["day"], each["category"]) for each in found]
    assert places == sorted(set(places))
    return {place: +Counter({name: each[name] for name in KINDS}) for place, each in zip(places, found, strict=True)}


def test_they_are_the_sums_of_what_is_stored(caller: Tenant, tenant: str) -> None:
    assert shown(caller) == {}
    lines = generator.records(300, 3, tenant)
    twice = [changed(lines[0], data_categories=["basic_name", "basic_name", "sensitive_health"])]
    caller.ended(caller.submit(lines))
    assert shown(caller) == expected(caller)
    scan = caller.submit([*lines[:40], *lines[:10], *twice, b'{"activity_key":"x"}'])  # twins, and one that is rejected
    assert caller.ended(scan)["records_duplicate"] == 11
    caller.ended(caller.submit(lines[:25], headers={"Idempotency-Key": "again"}))
    caller.ended(caller.submit(lines[:25], headers={"Idempotency-Key": "again"}))
    found = shown(caller)
    assert found == expected(caller)
    assert sum(counts["stored"] for (_, category), counts in found.items() if category == "all") == 300 + 40 + 25


def test_corrections_count_once(caller: Tenant, tenant: str) -> None:
    lines = generator.records(3, 4, tenant)
    scan = caller.submit([lines[0], changed(lines[1], storage_country="Hà Nội")])
    caller.ended(scan)
    [rejected] = caller.everything(f"/scans/{scan}/errors", "errors")
    correction = json.dumps(rejected | {"record": json.loads(lines[1])}).encode()
    for _ in range(2):
        sent = caller.call(
            "POST", f"/scans/{scan}/records", content=correction, headers={**NDJSON, "Prefer": "wait=20"}
        )
        assert sent.status_code == 200, sent.text
    found = shown(caller)
    assert found == expected(caller)
    assert [counts["stored"] for (_, category), counts in found.items() if category == "all"] == [2]


def test_filters(caller: Tenant, database: Database, tenant: str) -> None:
    caller.ended(caller.submit(generator.records(50, 5, tenant)))
    today = max(day for day, _ in shown(caller))
    tomorrow, yesterday = ((dt.date.fromisoformat(today) + dt.timedelta(days)).isoformat() for days in (1, -1))
    everything = shown(caller)
    for params in ({"since": today}, {"until": today}, {"since": yesterday, "until": tomorrow}):
        assert shown(caller, **params) == everything
    assert shown(caller, since=tomorrow) == shown(caller, until=yesterday) == {}
    for category in {category for _, category in everything}:
        assert shown(caller, category=category) == {(today, category): everything[today, category]}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("since", "2026-02-30", "not_date"),
        ("since", "1764000000", "not_date"),
        ("until", "20261120", "not_date"),
        ("until", "", "not_date"),
        ("since", "2026-11-20T00:00:00", "not_date"),
        ("category", "sức khỏe", "not_in_list"),
        ("day", "2026-11-20", "parameter_unknown"),
        ("limit", "0", "not_within"),
    ],
)
def test_refuses_a_wrong_parameter(caller: Tenant, name: str, value: str, code: str) -> None:
    body = assert_problem(caller.call("GET", PATH, params={name: value}), 422, "request_invalid")
    assert [(each["parameter"], each["code"]) for each in body["errors"]] == [(name, code)]


@pytest.mark.parametrize("cursor", ["", "x", "WzFd", "WyJ4IiwieSJd", "bnVsbA", "WyIyMDI2LTExLTIwIiwiXHUwMDAwIl0"])
def test_a_cursor_that_no_list_gave_out(caller: Tenant, cursor: str) -> None:
    assert_problem(caller.call("GET", PATH, params={"cursor": cursor}), 422, "cursor_invalid")
