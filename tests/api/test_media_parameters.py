"""A parameter that holds only for one media type is counted with that one, and refused with the other: never passed over."""

import gzip
import itertools
import json
import uuid
from collections.abc import Callable
from typing import Any, Final

import httpx
import pytest
import zstandard
from api_client import Tenant, assert_problem

from tests.helpers import Database, changed
from tests.submissions import JSON, NDJSON, accepted, odd_pieces, scans_of
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
DETAILS: Final = {"source": "quét đêm", "language": "en", "notify": "mailto:dpo@example.vn"}
PACKINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
}
FRAMINGS: Final[dict[str, Callable[[bytes], Any]]] = {"length": bytes, "chunked": odd_pieces}
ways = pytest.mark.parametrize(
    ("packing", "framing"), [pytest.param(*way, id="-".join(way)) for way in itertools.product(PACKINGS, FRAMINGS)]
)


def send(
    http: httpx.Client, tenant: str, params: dict[str, str], kind: dict[str, str], packing: str, framing: str, key: str
) -> httpx.Response:
    """Three records."""
    lines = generator.records(3, 1, tenant)
    body = PACKINGS[packing](generator.body(lines) if kind is JSON else generator.ndjson(lines))
    headers = {**kind, "Content-Encoding": packing, "Idempotency-Key": key}
    return http.post(scans_of(tenant), params=params, content=FRAMINGS[framing](body), headers=headers)


def told(errors: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(error["parameter"], error["code"]) for error in errors]


def test_the_calls_with_more_than_one_media_type_are_those_tested_here(http: httpx.Client) -> None:
    described = http.get("/openapi.json").json()["paths"]
    found = {}
    for path, methods in described.items():
        for call in methods.values():
            kinds = [call.get("requestBody", {}), call["responses"].get("200", {})]
            names = {each["name"] for each in call.get("parameters", ()) if each["in"] == "query"}
            if names and any(len(kind.get("content", {})) > 1 for kind in kinds):
                found[path.removeprefix("/v1/tenants/{tenant_id}")] = names
    assert "/scans" in found
    assert found.items() <= {"/scans": set(DETAILS), "/scans/{scan_id}/errors": {"cursor", "limit"}}.items()


@ways
def test_what_a_json_submission_says_of_itself_in_the_query_is_refused_and_leaves_nothing(
    http: httpx.Client, tenant: str, packing: str, framing: str
) -> None:
    key = uuid.uuid4().hex
    for params in (*({name: value} for name, value in DETAILS.items()), DETAILS):
        answer = send(http, tenant, params, JSON, packing, framing, key)
        errors = assert_problem(answer, 422, "request_invalid")["errors"]
        assert told(errors) == [(name, "parameter_in_body") for name in params]
    assert http.get(scans_of(tenant)).json()["scans"] == []
    assert not accepted(send(http, tenant, {}, JSON, packing, framing, key))["replayed"]  # the key was not taken


@ways
def test_what_an_ndjson_submission_says_of_itself_in_the_query_is_kept(
    http: httpx.Client, database: Database, tenant: str, packing: str, framing: str
) -> None:
    scan = accepted(send(http, tenant, DETAILS, NDJSON, packing, framing, uuid.uuid4().hex))["scan_id"]
    row = database.finished(tenant, scan)
    assert {name: row[name] for name in DETAILS} == DETAILS
    assert row["records_stored"] == 3


def test_what_a_json_submission_says_of_itself_in_its_body_is_kept(
    http: httpx.Client, database: Database, tenant: str
) -> None:
    body = {**DETAILS, "records": [json.loads(line) for line in generator.records(3, 1, tenant)]}
    scan = accepted(http.post(scans_of(tenant), json=body))["scan_id"]
    row = database.finished(tenant, scan)
    assert {name: row[name] for name in DETAILS} == DETAILS


def test_rejected_records_as_ndjson_are_all_or_the_request_is_refused(http: httpx.Client, tenant: str) -> None:
    caller = Tenant(http, tenant)
    scan = caller.submit([changed(line, purpose="") for line in generator.records(3, 1, tenant)])
    caller.ended(scan)
    path, lines = f"/scans/{scan}/errors", {"Accept": "application/x-ndjson"}
    first = caller.get(path, limit=1)
    assert len(first["errors"]) == 1
    assert len(caller.get(path, limit=2, cursor=first["next_cursor"])["errors"]) == 2
    given = {"limit": "1", "cursor": first["next_cursor"]}
    for names in (["limit"], ["cursor"], ["cursor", "limit"]):
        answer = caller.call("GET", path, params={name: given[name] for name in names}, headers=lines)
        errors = assert_problem(answer, 422, "request_invalid")["errors"]
        assert told(errors) == [(name, "parameter_of_pages") for name in names]
    assert len(caller.call("GET", path, headers=lines).content.split(b"\n")[:-1]) == 3
