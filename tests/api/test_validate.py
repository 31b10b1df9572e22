"""POST /scans:validate says what submitting would say, and leaves nothing behind."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from api_client import Tenant, assert_problem
from confluent_kafka import Consumer, TopicPartition

from tests.helpers import RECORDS, Database, StatusTopic, assert_told, changed
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
JSON, NDJSON = {"Content-Type": "application/json"}, {"Content-Type": "application/x-ndjson"}
COUNTS = ("records_total", "records_rejected", "records_duplicate", "records_sensitive", "records_cross_border")


@pytest.fixture
def caller(http: httpx.Client, database: Database, statuses: StatusTopic, tenant: str) -> Iterator[Tenant]:
    yield Tenant(http, tenant)
    assert_told(database, statuses, [tenant])


def mixed(tenant: str) -> list[bytes]:
    """Right ones, wrong ones, the same key again, and what is no record at all but JSON."""
    lines = generator.records(120, 1, tenant)
    lines[0] = changed(lines[0], purpose="")  # its key comes again, and is no duplicate then
    lines.append(changed(lines[0], purpose="chăm sóc"))
    lines += [lines[5], lines[6], lines[5]]
    for index, fields in (
        (10, {"storage_country": "Việt Nam"}), (20, {"data_categories": []}), (30, {"confidence": "cao"}),
        (40, {"name": "a\u202eb"}), (50, {"discovered_at": "2099-01-01T00:00:00Z"}), (60, {"tên": 1, "purpose": ""}),
        (70, {"attributes": {"a": "x" * 5_000}}), (80, {"legal_basis": "legitimate_interests"}),
    ):  # fmt: skip
        lines[index] = changed(lines[index], **fields)
    return [*lines, b"[]", b"17", b'"k"', b"null", b"{}"]


def validate(caller: Tenant, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    answer = caller.call("POST", "/scans:validate", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def assert_as_submitted(caller: Tenant, report: dict[str, Any], scan: str) -> None:
    """The report says what became of the scan, error by error."""
    status = caller.ended(scan)
    assert {name: report[name] for name in COUNTS} == {name: status[name] for name in COUNTS}
    assert report["records_valid"] == status["records_stored"]
    found = caller.everything(f"/scans/{scan}/errors", "errors", limit=1_000)
    own = ("id", "record", "record_base64", "rejected_at")  # of what is stored
    assert report["errors"] == [{name: each[name] for name in each if name not in own} for each in found]
    assert report["errors_truncated"] is False


@pytest.mark.parametrize("compressed", [False, True])
def test_ndjson_as_submitted(caller: Tenant, tenant: str, compressed: bool) -> None:
    lines = [*mixed(tenant), b"kh\xc3\xb4ng", b'{"a":', b"\xff\xfe", b'{"name":"\xff"}', b"{" * 2_000, b'"\\ud800"']
    body, headers = generator.ndjson(lines), NDJSON
    if compressed:
        body, headers = gzip.compress(body), {**NDJSON, "Content-Encoding": "gzip"}
    report = validate(caller, body, headers)
    assert report["records_total"] == len(lines)
    # nine faults, three twins, five values that are no records, six lines that are no JSON
    assert (report["records_rejected"], report["records_duplicate"]) == (9 + 5 + 6, 3)
    assert_as_submitted(caller, report, caller.submit(lines))


def test_json_as_submitted(caller: Tenant, tenant: str) -> None:
    lines = mixed(tenant)
    body = generator.body(lines)
    report = validate(caller, body, JSON)
    answer = caller.call("POST", "/scans", content=body, headers=JSON)
    assert_as_submitted(caller, report, answer.json()["scan_id"])
    assert {(each["code"], each["pointer"]) for each in report["errors"]} >= {
        ("country_unknown", "/storage_country"), ("list_too_short", "/data_categories"), ("wrong_type", "/confidence"),
        ("text_bidi", "/name"), ("datetime_future", "/discovered_at"), ("attributes_too_large", "/attributes"),
        ("unknown_code", "/legal_basis"), ("required", "/activity_key"), ("record_not_object", ""),
    }  # fmt: skip


def test_nothing_is_left_behind(caller: Tenant, servers: Servers, database: Database, tenant: str) -> None:
    marker = caller.submit(generator.records(1, 9, tenant))
    caller.ended(marker)
    before = _ends(servers, RECORDS)
    validate(caller, generator.ndjson(mixed(tenant)), NDJSON)
    validate(caller, generator.body(mixed(tenant)), JSON)
    assert _ends(servers, RECORDS) == before
    assert [each["scan_id"] for each in caller.get("/scans")["scans"]] == [marker]
    for table in ("scans", "scan_messages", "processing_activities", "audit_log"):
        assert database.value(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", tenant) == 1, table
    assert database.value("SELECT count(*) FROM rejected_records WHERE tenant_id = %s", tenant) == 0


def _ends(servers: Servers, topic: str) -> list[int]:
    """The end of each partition."""
    consumer = Consumer({"bootstrap.servers": servers.bootstrap, "group.id": "not-used", "log_level": 0})
    try:
        numbers = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        return [consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=30)[1] for n in sorted(numbers)]
    finally:
        consumer.close()


def test_all_are_counted_and_the_first_thousand_shown(caller: Tenant, tenant: str) -> None:
    lines = [changed(line, purpose="") for line in generator.records(1_500, 2, tenant)]
    report = validate(caller, generator.ndjson(lines), NDJSON)
    assert (report["records_rejected"], report["errors_truncated"]) == (1_500, True)
    assert [each["index"] for each in report["errors"]] == list(range(1_000))
    assert report["errors"][999]["messages"]["vi"].startswith("Bản ghi thứ 1000 ")


def test_all_right(caller: Tenant, tenant: str) -> None:
    lines = generator.records(300, 3, tenant)
    expected = generator.expected(lines)
    assert validate(caller, generator.body(lines), JSON) == {
        "records_total": 300, "records_valid": 300, "records_rejected": 0, "records_duplicate": 0,
        "records_sensitive": expected.sensitive, "records_cross_border": expected.cross_border,
        "errors": [], "errors_truncated": False,
    }  # fmt: skip


def test_no_refused_value_is_repeated(caller: Tenant, tenant: str) -> None:
    secret = "079201001234"
    line = changed(
        generator.records(1, 4, tenant)[0], storage_country=secret, legal_basis=secret, controller_role=secret,
        discovered_at=secret, subject_count=secret, data_subjects=[secret], purpose=secret + "\u0000",
    )  # fmt: skip
    report = validate(caller, line, NDJSON)
    assert len(report["errors"][0]["errors"]) == 7
    assert secret not in json.dumps(report)


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", JSON, 400, "json_malformed"),
        (b'{"records":[' + b"1," * 10_000 + b"1]}", JSON, 413, "too_many_records"),
        (b"{}\n" * 10_001, NDJSON, 413, "too_many_records"),
        (b"{}", {"Content-Type": "text/csv"}, 415, "content_type_unsupported"),
        (b"{}", {**JSON, "Content-Encoding": "br"}, 415, "content_encoding_unsupported"),
        (b"{}", {**JSON, "Content-Encoding": "gzip"}, 400, "compression_missing"),
        (b'{"records":{}}', JSON, 422, "request_invalid"),
    ],
)
def test_requests_of_another_shape(
    caller: Tenant, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    assert_problem(caller.call("POST", "/scans:validate", content=body, headers=headers), status, code)
