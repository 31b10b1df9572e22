"""/openapi.json says what the API does: of every call its answers, and what its parameters take."""

import gzip
import json
import re
import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import httpx
import pytest
import zstandard
from api_client import Tenant, assert_problem
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from infra.processes.services import Service
from producer_api.rows import ACTIVITY_COLUMNS
from schemas.field_texts import STRUCTS
from tests.helpers import Database, headers_of, new_scan, wait_for
from tests.openapi_description import Description
from tests.servers import Servers
from tests.submissions import FOUND_NOTHING, JSON, NDJSON, RecordsTopic
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
OPERATIONS: Final = {
    "submitScan",
    "listScans",
    "getScan",
    "followScan",
    "listRejectedRecords",
    "correctRecords",
    "cancelScan",
    "listProcessingActivities",
    "listDailyCounts",
    "validateScan",
}
LISTS: Final = {
    "listScans": "/scans",
    "listProcessingActivities": "/processing-activities",
    "listDailyCounts": "/daily-counts",
}


@pytest.fixture
def description(http: httpx.Client) -> Description:
    return Description(http)


@pytest.fixture
def caller(api: Service, description: Description, tenant: str) -> Iterator[Tenant]:
    """Each of its answers is held against the description."""
    with httpx.Client(base_url=api.base_url, timeout=60, event_hooks={"response": [description.hold]}) as http:
        yield Tenant(http, tenant)


def test_every_call_has_a_short_id_of_its_own(description: Description) -> None:
    ids = [call["operationId"] for methods in description.document["paths"].values() for call in methods.values()]
    assert sorted(ids) == sorted(OPERATIONS)
    assert all(re.fullmatch("[a-z]+(?:[A-Z][a-z]+)+", each) for each in ids)


def test_bodies_and_answers_are_named_schemas(description: Description) -> None:
    """And each name is a schema that is used and leads on to others that exist."""
    schemas = description.document["components"]["schemas"]
    told = json.dumps(description.document)
    for name, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        assert f'"#/components/schemas/{name}"' in told
    assert set(re.findall(r'"#/components/schemas/(\w+)"', told)) == set(schemas)
    for operation in OPERATIONS:
        call = description.call(operation)
        described = [*call["responses"].values(), *([call["requestBody"]] if "requestBody" in call else ())]
        for each in described:
            for media, content in each.get("content", {}).items():
                if media.endswith("json") and not media.endswith("ndjson"):
                    assert content["schema"].keys() == {"$ref"}, (operation, media)


def test_a_stored_record_is_described_column_by_column(description: Description) -> None:
    schema = description.document["components"]["schemas"]["ProcessingActivity"]
    assert set(schema["required"]) == {column.name for column in ACTIVITY_COLUMNS}
    assert set(schema["properties"]) - set(schema["required"]) == {"attributes_left_out"}
    assert set(STRUCTS["Record"][1]) <= set(schema["required"])


def broken(lines: list[bytes]) -> list[bytes]:
    """Every fourth with a fault, the first is no JSON, the second has no index of its own to be known by."""
    faults: list[dict[str, Any]] = [
        {"purpose": ""},
        {"confidence": 2},
        {"sdt": 1, "name": 5},
        {"storage_country": "vn"},
    ]
    found = [
        json.dumps(json.loads(line) | faults[at // 4 % len(faults)]).encode() if at % 4 == 1 else line
        for at, line in enumerate(lines)
    ]
    return [found[0], b'"\xc4\x91', b'{"activity_key": "\\ud800"}', *found[1:]]


def test_every_answer_is_as_it_is_described(caller: Tenant, description: Description, tenant: str) -> None:
    lines = generator.records(40, 1, tenant)
    records = [json.loads(line) for line in lines]
    for body in ({"records": records, "source": "quét", "language": "en", "notify": "a@b.vn"}, {"records": records}):
        assert description.errors({"$ref": "#/components/schemas/Submission"}, body) == []
        again = {"content": json.dumps(body), "headers": {**JSON, "Idempotency-Key": str(len(body))}}
        assert [caller.call("POST", "/scans", **again).status_code for _ in range(2)] == [202, 202]
    waited = caller.call("POST", "/scans", content=FOUND_NOTHING, headers={**JSON, "Prefer": "wait=30"})
    assert (waited.status_code, waited.json()["status"]) == (200, "completed")
    scan = caller.submit(broken(lines))
    caller.ended(scan)
    assert len(caller.everything("/scans", "scans", limit=2)) == 4
    assert caller.get("/scans", status="failed")["scans"] == []
    rejected = caller.everything(f"/scans/{scan}/errors", "errors", limit=5)
    assert any(each["index"] is not None and "record_base64" in each for each in rejected)
    assert caller.call("GET", f"/scans/{scan}/errors", headers={"Accept": "application/x-ndjson"}).status_code == 200
    [*_, last] = caller.events(scan)
    assert caller.call("GET", f"/scans/{scan}/events", headers={"Last-Event-ID": str(last.id)}).status_code == 204
    assert len(caller.everything("/processing-activities", "processing_activities", limit=33)) > 100
    assert len(caller.everything("/daily-counts", "daily_counts", limit=5)) > 5
    checked = caller.call("POST", "/scans:validate", content=b"\n".join(broken(lines)), headers=NDJSON)
    assert len(checked.json()["errors"]) == len(rejected)
    caller.call("POST", "/scans:validate", content=json.dumps({"records": records}), headers=JSON)

    place = f"/scans/{scan}/records"
    whole = [each for each in rejected if isinstance(each["record"], dict)]
    corrections = {"corrections": [{**each, "record": records[0]} for each in whole]}
    assert description.errors({"$ref": "#/components/schemas/Corrections"}, corrections) == []
    assert caller.call("POST", place, content=json.dumps(corrections), headers=JSON).status_code == 202
    corrections["corrections"][0]["record"] = None
    lines_of = b"\n".join(json.dumps(each).encode() for each in corrections["corrections"])
    assert caller.call("POST", place, content=lines_of, headers={**NDJSON, "Prefer": "wait=30"}).status_code == 200
    assert_problem(caller.call("POST", f"/scans/{scan}/cancel"), 409, "scan_finished")
    wait_for_cancel(caller)

    kinds = {
        (operation, status, media)
        for operation in OPERATIONS
        for status, each in description.call(operation)["responses"].items()
        if status.startswith("2")
        for media in each.get("content", {"": None})
    }
    assert kinds <= description.seen, kinds - description.seen


def wait_for_cancel(caller: Tenant) -> None:
    """Cancels scans until one of them has not ended before."""

    def cancelled() -> bool:
        scan = caller.submit(generator.records(500, 2, caller.name))
        return caller.call("POST", f"/scans/{scan}/cancel").status_code == 202

    wait_for(cancelled, "a scan is cancelled before its end")


def test_every_problem_is_as_it_is_described(caller: Tenant, description: Description, tenant: str) -> None:
    """The hook of the client looks at each; here they are only provoked, of every call and status that needs no broken server."""
    line = generator.records(1, 3, tenant)[0]
    scan = caller.submit([line])
    caller.ended(scan)
    nowhere = Tenant(caller.http, "A")
    bodies = ("/scans", "/scans:validate", f"/scans/{scan}/records")
    for path in bodies:
        for content, headers in (
            (b"{", JSON),
            (b"[" * 100_000, JSON),
            (b"x", NDJSON),
            (b"[]", JSON),
            (b"", NDJSON),
            (b"[{}]", NDJSON),
            (b"<a/>", {"Content-Type": "application/xml"}),
            (gzip.compress(line), NDJSON),
            (line, {**NDJSON, "Content-Encoding": "zstd"}),
            (line, {**NDJSON, "Content-Encoding": "br"}),
            (gzip.compress(line)[:-4], {**NDJSON, "Content-Encoding": "gzip"}),
            (b" " * (16 * 1024 * 1024 + 1), JSON),
        ):
            assert caller.call("POST", path, content=content, headers=headers).status_code >= 400, (path, content)
        assert nowhere.call("POST", path, content=line, headers=NDJSON).status_code == 404
    key = {**JSON, "Idempotency-Key": "k"}
    assert caller.call("POST", "/scans", content=b'{"records": [1]}', headers=key).status_code == 202
    for path, headers in (
        ("/scans", key),
        ("/scans", {**JSON, "Idempotency-Key": "ă".encode()}),
        (place := bodies[2], {**JSON, "Idempotency-Key": ""}),
    ):
        assert caller.call("POST", path, content=b'{"records": [2]}', headers=headers).status_code in (400, 422)
    too_many = json.dumps({"corrections": [{"index": 0, "record": None}] * 10_001})
    assert_problem(caller.call("POST", place, content=too_many, headers=JSON), 413, "too_many_records")
    assert_problem(caller.call("POST", place, content=b"{}\n", headers=NDJSON), 422, "mend_invalid")
    for path in ("", "/events", "/errors"):
        assert_problem(caller.call("GET", f"/scans/{new_scan()}{path}"), 404, "scan_not_found")
    assert_problem(caller.call("POST", f"/scans/{new_scan()}/cancel"), 404, "scan_not_found")
    assert_problem(
        caller.call("POST", f"/scans/{new_scan()}/records", content=line, headers=NDJSON), 404, "scan_not_found"
    )
    for path in (f"/scans/{scan}/errors", *LISTS.values()):
        for query in ("limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=x%3D", "sort=1"):
            assert caller.call("GET", f"{path}?{query}").status_code == 422, (path, query)
        assert_problem(nowhere.call("GET", path), 404, "tenant_invalid")
    for path in ("", "/events"):
        assert caller.call("GET", f"/scans/{scan}{path}?a=1").status_code == 422
    assert caller.call("POST", f"/scans/{scan}/cancel?a=1").status_code == 422
    assert_problem(caller.call("POST", f"/scans/{scan}/cancel"), 409, "scan_finished")
    statuses = {
        (operation, status)
        for operation in OPERATIONS
        for status in description.call(operation)["responses"]
        if status[0] == "4" and status != "408"
    }
    held = {(operation, status) for operation, status, _ in description.seen}
    # an upload that is still arriving, and a cancelled scan: test_idempotency.py, test_corrections.py
    assert statuses - held == {("submitScan", "409"), ("correctRecords", "409")}


def taken(answer: httpx.Response, refusal: str) -> bool:
    """Whether the API took the header or parameter; refused, it is for this reason."""
    if answer.is_success:
        return True
    assert answer.json()["code"] == refusal, answer.text
    return False


def fits(schema: dict[str, Any], value: str) -> bool:
    return Draft202012Validator(schema).is_valid(value)


@cache
def described(api: Service) -> Description:
    """Of the API that every test shares."""
    with httpx.Client(base_url=api.base_url) as http:
        return Description(http)


# White space around it is no part of a header's value, and clients refuse to send it.
HEADER_TEXT: Final = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=300
).map(lambda text: text.strip(" "))


@settings(max_examples=60)
@given(data=st.data())
def test_an_idempotency_key_is_taken_where_its_pattern_allows_it(api: Service, data: st.DataObject) -> None:
    schema = described(api).parameter("submitScan", "Idempotency-Key")
    value = data.draw(st.from_regex(schema["pattern"], fullmatch=True) | HEADER_TEXT).rstrip("\n")
    assume(value == value.strip(" \t"))
    answer = httpx.post(
        f"{api.base_url}/v1/tenants/{uuid.uuid4().hex}/scans",
        content=FOUND_NOTHING,
        headers={**JSON, "Idempotency-Key": value.encode("latin-1")},
    )
    assert taken(answer, "idempotency_key_invalid") == fits(schema, value)


def test_the_longest_and_the_shortest_keys(http: httpx.Client, description: Description, tenant: str) -> None:
    schema = description.parameter("submitScan", "Idempotency-Key")
    for value in (
        "a",
        "a" * 255,
        "a" * 256,
        '"' + "\\\\" * 255 + '"',
        '"' + "\\\\" * 256 + '"',
        '""',
        '"a',
        "a b",
        '"a b"',
        "đ",
    ):
        headers = {**JSON, "Idempotency-Key": value.encode()}
        answer = http.post(f"/v1/tenants/{tenant}/scans", content=FOUND_NOTHING, headers=headers)
        assert taken(answer, "idempotency_key_invalid") == fits(schema, value), value


@settings(max_examples=40)
@given(data=st.data())
def test_a_preference_is_heeded_where_its_pattern_allows_it(api: Service, data: st.DataObject) -> None:
    """And passed over anywhere else."""
    schema = described(api).parameter("submitScan", "Prefer")
    given_so = st.sampled_from(
        ["wait=0", "respond-async, WAIT = 0", 'wait="0"', "wait=0;x", "await=0", "wait=0s", "wait=", "wait=-1"]
    )
    value = data.draw(given_so | HEADER_TEXT)
    answer = httpx.post(
        f"{api.base_url}/v1/tenants/{uuid.uuid4().hex}/scans",
        content=FOUND_NOTHING,
        headers={**JSON, "Prefer": value.encode("latin-1")},
    )
    assert answer.is_success
    assert ("preference-applied" in answer.headers) == fits(schema, value)


def test_a_trace_is_carried_where_its_pattern_allows_it(
    http: httpx.Client, description: Description, servers: Servers, tenant: str
) -> None:
    schema = description.parameter("submitScan", "traceparent")
    right = f"00-{'a1' * 16}-{'b2' * 8}-01"
    values = [
        right,
        right.upper(),
        "ff" + right[2:],
        f"00-{'0' * 32}-{'b2' * 8}-01",
        right + "-x",
        "cc" + right[2:],
        "x",
    ]
    for at, value in enumerate(values):
        topic = RecordsTopic(servers.bootstrap)
        answer = http.post(
            f"/v1/tenants/{tenant}-{at}/scans", content=FOUND_NOTHING, headers={**JSON, "traceparent": value}
        )
        assert answer.status_code == 202
        carried = {headers_of(message).get("traceparent") for message in topic.messages(f"{tenant}-{at}")}
        assert carried == {value.encode() if fits(schema, value) else None}, value


@pytest.mark.parametrize("operation", ["submitScan", "correctRecords", "validateScan"])
def test_an_encoding_is_taken_where_it_is_listed(
    http: httpx.Client, description: Description, tenant: str, operation: str
) -> None:
    line = generator.records(1, 4, tenant)[0]
    compressed = {"gzip": gzip.compress(line), "zstd": zstandard.compress(line), "identity": line}
    schema = description.parameter(operation, "Content-Encoding")
    assert set(schema["enum"]) == set(compressed)
    path = {"submitScan": "/scans", "validateScan": "/scans:validate", "correctRecords": f"/scans/{new_scan()}/records"}
    for value in (*compressed, "br", "deflate", "compress", "gzip, zstd", "aws-chunked"):
        headers = {**NDJSON, "Content-Encoding": value}
        answer = http.post(
            f"/v1/tenants/{tenant}{path[operation]}", content=compressed.get(value, line), headers=headers
        )
        refused = answer.status_code == 415
        assert refused != fits(schema, value), answer.text
        assert not refused or answer.json()["code"] == "content_encoding_unsupported"


def test_the_query_is_taken_where_it_fits(http: httpx.Client, description: Description, tenant: str) -> None:
    asked: dict[str, list[tuple[str, Any]]] = {
        "listScans": [("status", "queued"), ("status", "done"), ("status", "")],
        "listProcessingActivities": [
            ("category", "basic_name"), ("category", "sensitive_bank"), ("category", "x"),
            ("scan_id", new_scan()), ("scan_id", "x"), ("sensitive", True), ("sensitive", "perhaps"),
        ],
        "listDailyCounts": [
            ("since", "2026-11-20"), ("until", "2024-02-29"), ("since", "2026-02-30"), ("since", "20261120"),
            ("until", ""), ("until", "1764000000"), ("category", "all"), ("category", "sensitive_bank"), ("category", "x"),
        ],
        "submitScan": [
            ("source", "x" * 200), ("source", "đ" * 201), ("language", "en"), ("language", "fr"),
            ("notify", "x" * 300), ("notify", "x" * 301),
        ],
    }  # fmt: skip
    for operation, questions in asked.items():
        limits = [("limit", limit) for limit in (1, 1000, 0, 1001, -1)] if operation.startswith("list") else []
        cursors = (
            [("cursor", cursor) for cursor in ("a+b", "a/b", "WzFd=", "", "đ")] if operation.startswith("list") else []
        )
        for name, value in (*questions, *limits, *cursors):
            schema = description.parameter(operation, name)
            path = f"/v1/tenants/{tenant}{LISTS.get(operation, '/scans')}"
            params = {name: str(value).lower() if isinstance(value, bool) else value}
            if operation == "submitScan":
                answer = http.post(path, params=params, content=generator.records(1, 5, tenant)[0], headers=NDJSON)
            else:
                answer = http.get(path, params=params)
            assert taken(answer, "cursor_invalid" if name == "cursor" else "request_invalid") == (
                description.errors(schema, value) == []
            ), (name, value)


def test_what_the_lists_and_events_give_out_fits(
    caller: Tenant, description: Description, database: Database, tenant: str
) -> None:
    for number in range(3):
        scan = caller.submit(generator.records(3, number, tenant))
        caller.ended(scan)
    for operation, path in LISTS.items():
        cursor = caller.get(path, limit=2)["next_cursor"]
        assert fits(description.parameter(operation, "cursor"), cursor)
    assert all(
        fits(description.parameter("followScan", "Last-Event-ID"), str(each.id))
        for each in caller.events(scan)
        if each.id
    )
    for operation in OPERATIONS - {"submitScan", *LISTS, "validateScan"}:
        assert description.errors(description.parameter(operation, "scan_id"), scan) == []
    for name in (tenant, "a", "a" * 64, "a" * 65, "A", "-a", "a.b_c-d", "a."):
        known = fits(description.parameter("listScans", "tenant_id"), name)
        assert caller.http.get(f"/v1/tenants/{name}/scans").status_code == (200 if known else 404)
