"""Whatever stands in the tables, from whichever version: the API answers for it, in bounded pages that a client can read."""

import base64
import json
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from api_client import Tenant

from infra.processes.services import Service
from producer_api.http.page import PAGE_BYTES
from tests.helpers import Database, peak_memory, wait_for
from tests.refusals import locked
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
MIB: Final = 1024 * 1024
ROOM: Final = 40 * MIB  # that an API may take for an answer, whatever stands in the tables
# attributes that were accepted once; None: no client could read them
ATTRIBUTES: Final[dict[str, str | None]] = {
    '{"a": 1.10, "b": 0.1234567890123456789012}': '{"a": 1.10, "b": 0.1234567890123456789012}',
    '{"a": 1e2, "bb": 1, "b": -0, "b": -0.0, "c": 1.5e-7}': '{"a": 100, "b": 0.0, "c": 0.00000015, "bb": 1}',
    '{"a": 1e308}': '{"a": 1' + "0" * 308 + "}",
    '{"a": "' + "1" * 2_000 + '"}': '{"a": "' + "1" * 2_000 + '"}',
    '{"a": 1e4300}': None,
    '{"a": 1e-4300}': None,
    '{"a": [' + ", ".join(["1e131071"] * 400) + "]}": None,
    '{"a": ' + "[" * 100 + "]" * 100 + "}": None,
    '{"a": ' + "[" * 900 + "]" * 900 + "}": None,
    '{"a": ' + '{"a": ' * 600 + "1" + "}" * 600 + "}": None,
}
ORIGINALS: Final[dict[bytes, bool]] = {
    b'{"a": 1.10,\n "b": 0.1234567890123456789012}\r\n': True,
    b'{"a": 1e131071}': True,
    b"17": True,
    b'{"a": "' + b"1" * 9_000 + b'"}': True,
    b'{"a": ' + b"1" * 9_000 + b"}": False,
    b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}": False,
    b'{"a": ' + b"[" * 90_000 + b"]" * 90_000 + b"}": False,
    b"\xff\x00": False,
    b"{": False,
}
COPY_ACTIVITY: Final = """
INSERT INTO processing_activities (tenant_id, scan_id, activity_key, name, source_system, asset, data_fields,
    data_categories, data_subjects, purpose, legal_basis, recipients, storage_country, discovered_at, attributes,
    sensitive, cross_border)
SELECT tenant_id, scan_id, %s, name, source_system, asset, data_fields, data_categories, data_subjects, purpose,
    legal_basis, recipients, storage_country, discovered_at, %s::jsonb, sensitive, cross_border
FROM processing_activities WHERE tenant_id = %s AND activity_key = 'first'
"""
REJECT: Final = """
INSERT INTO rejected_records (tenant_id, scan_id, record_index, activity_key, code, pointer, errors, original,
    kafka_partition, kafka_offset)
VALUES (%s, %s, %s, 'k', %s, '', %s::jsonb, %s, 0, 0)
"""


@pytest.fixture(scope="module")
def own(servers: Servers) -> Iterator[Service]:
    """An API of these tests alone, whose peak is not another's."""
    service = servers.start_api()
    yield service
    service.stop()


@pytest.fixture
def caller(own: Service, database: Database, tenant: str) -> Iterator[Tenant]:
    """A tenant with one stored record, whose key is «first»."""
    with httpx.Client(base_url=own.base_url, timeout=60) as http:
        caller = Tenant(http, tenant)
        record = json.loads(generator.records(1, 1, tenant)[0]) | {"activity_key": "first"}
        caller.ended(caller.submit([json.dumps(record).encode()]))
        yield caller
    for table in ("processing_activities", "rejected_records"):
        database.rows(f"DELETE FROM {table} WHERE tenant_id = %s", tenant)


def scan_of(database: Database, tenant: str) -> str:
    return str(database.value("SELECT scan_id::text FROM scans WHERE tenant_id = %s", tenant))


def pages(caller: Tenant, path: str, limit: int) -> Iterator[bytes]:
    """Bodies of every page."""
    cursor: dict[str, Any] = {}
    while True:
        answer = caller.call("GET", path, params={"limit": limit, **cursor})
        assert answer.status_code == 200, answer.text[:500]
        yield answer.content
        if answer.json()["next_cursor"] is None:
            return
        cursor = {"cursor": answer.json()["next_cursor"]}


@pytest.mark.parametrize("limit", [1, 3, 1_000])
def test_any_stored_attributes_can_be_listed(
    caller: Tenant, database: Database, own: Service, tenant: str, limit: int
) -> None:
    before = peak_memory(own.pid)
    for number, attributes in enumerate(ATTRIBUTES):
        database.rows(COPY_ACTIVITY, f"k{number:02}", attributes, tenant)
    bodies = list(pages(caller, "/processing-activities", limit))
    assert max(map(len, bodies)) < 64 * 1024
    found = [each for body in bodies for each in json.loads(body)["processing_activities"]]
    assert [each["activity_key"] for each in found] == ["first", *(f"k{at:02}" for at in range(len(ATTRIBUTES)))]
    everything = b"".join(bodies)
    for each, expected in zip(found[1:], ATTRIBUTES.values(), strict=True):
        assert (each["attributes"] is None) == each.get("attributes_left_out", False) == (expected is None)
        assert expected is None or f'"attributes":{expected},'.encode() in everything
    assert peak_memory(own.pid) - before < ROOM


@pytest.mark.parametrize("limit", [1, 1_000])
def test_any_stored_rejection_can_be_reported(caller: Tenant, database: Database, tenant: str, limit: int) -> None:
    errors = [
        [{"code": "required", "pointer": "/name"}],
        [{"code": "gone_since", "pointer": "/name", "params": {"most": 3}}],
        [{"code": "nested_too_deep"}],
        [{"code": "text_too_long", "pointer": "/name", "params": {"max": None}}],
        [{"code": "unknown_field", "pointer": f"/{number}"} for number in range(20_000)],
        [],
    ]
    scan = scan_of(database, tenant)
    places = [(original, error) for original in ORIGINALS for error in errors]
    for number, (original, error) in enumerate(places):
        code = error[0]["code"] if error else "required"
        database.rows(REJECT, tenant, scan, number, code, json.dumps(error), original)
    found = [each for body in pages(caller, f"/scans/{scan}/errors", limit) for each in json.loads(body)["errors"]]
    assert [each["index"] for each in found] == list(range(len(places)))
    for each, (original, error) in zip(found, places, strict=True):
        assert all(each["messages"].values()) and 1 <= len(each["errors"]) <= 50
        assert each["code"] == (error[0]["code"] if error else "required")
        if ORIGINALS[original]:
            assert each["record"] == json.loads(original) and "record_base64" not in each
        else:
            assert each["record"] is None and base64.b64decode(each["record_base64"]) == original
    answer = caller.call("GET", f"/scans/{scan}/errors", headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line) for line in answer.content.split(b"\n")[:-1]] == found
    assert b"0.1234567890123456789012" in answer.content and b"1.10" in answer.content and b"1e131071" in answer.content


def test_large_rejected_records_make_no_large_page_and_no_large_process(
    caller: Tenant, database: Database, own: Service, tenant: str
) -> None:
    scan, count, size = scan_of(database, tenant), 300, 250_000
    database.rows(
        """
        INSERT INTO rejected_records (tenant_id, scan_id, record_index, code, pointer, errors, original, kafka_partition,
            kafka_offset)
        SELECT %s, %s, n, 'required', '/name', '[{"code": "required", "pointer": "/name"}]',
               convert_to('{"name": "' || repeat('đ', %s) || '"}', 'UTF8'), 0, 0
        FROM generate_series(0, %s) AS n
        """, tenant, scan, size // 2, count - 1,
    )  # fmt: skip
    before = peak_memory(own.pid)
    indexes = []
    for body in pages(caller, f"/scans/{scan}/errors", 1_000):
        assert size < len(body) <= PAGE_BYTES + 1_000
        indexes += [each["index"] for each in json.loads(body)["errors"]]
    assert indexes == list(range(count))
    lines = longest = 0
    with caller.http.stream(
        "GET", f"{caller.base}/scans/{scan}/errors", headers={"Accept": "application/x-ndjson"}
    ) as answer:
        for piece in answer.iter_raw():
            lines, longest = lines + piece.count(b"\n"), max(longest, len(piece))
    assert lines == count
    assert peak_memory(own.pid) - before < ROOM, (before, peak_memory(own.pid))


def test_many_large_statuses_make_no_large_page(caller: Tenant, own: Service) -> None:
    """Each with twenty samples of records whose key and unknown field are as long as they may be."""
    wrong = [json.dumps({"activity_key": "\n" * 300, "😀" * 80: number}).encode() for number in range(20)]
    scans = {caller.submit(wrong) for _ in range(140)}
    wait_for(
        lambda: all(each["finished_at"] for page in pages(caller, "/scans", 100) for each in json.loads(page)["scans"]),
        "all have ended",
    )
    bodies = list(pages(caller, "/scans", 1_000))
    assert all(len(body) <= PAGE_BYTES + 1_000 for body in bodies) and len(bodies) > 1
    assert {each["scan_id"] for body in bodies for each in json.loads(body)["scans"]} > scans


def test_what_takes_too_long_is_said_in_both_languages(servers: Servers, caller: Tenant) -> None:
    """A read that the database does not end in time is a problem that passes."""
    service = servers.start_api({"SCANLINE_READ_DEADLINE_SECONDS": "0.2"})
    try:
        with httpx.Client(base_url=service.base_url, timeout=60) as http:
            with locked(servers.admin_dsn, "processing_activities"):
                answer = http.get(f"{caller.base}/processing-activities")
            assert (answer.status_code, answer.json()["code"]) == (503, "reads_unavailable")
            assert set(answer.json()["messages"]) == {"vi", "en"} and int(answer.headers["retry-after"]) > 0
            assert http.get(f"{caller.base}/processing-activities").status_code == 200
    finally:
        service.stop()
