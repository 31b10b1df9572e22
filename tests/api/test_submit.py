"""POST /scans: what is sent is what is stored, in whatever wrapping it comes."""

import gzip
import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import zstandard

from infra.processes.services import Service
from tests.helpers import Database, StatusTopic, assert_accounted, assert_told, changed, headers_of
from tests.servers import Servers
from tests.submissions import FOUND_NOTHING, JSON, NDJSON, RecordsTopic, accepted, odd_pieces, scans_of, submit
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(autouse=True)
def told_at_the_end(database: Database, statuses: StatusTopic, tenant: str) -> Iterator[None]:
    yield
    assert_told(database, statuses, [tenant])


def keys_of(lines: list[bytes]) -> list[str]:
    return [json.loads(line)["activity_key"] for line in lines]


def assert_stored(database: Database, tenant: str, scan: str, lines: list[bytes]) -> dict[str, Any]:
    """Every line is stored, under its place in the scan, and counted; returns the scan's row."""
    row = database.finished(tenant, scan)
    expected = generator.expected(lines)
    assert (row["status"], row["records_total"], row["records_stored"]) == ("completed", len(lines), len(lines))
    assert (row["records_rejected"], row["records_duplicate"]) == (0, 0)
    assert (row["records_sensitive"], row["records_cross_border"]) == (expected.sensitive, expected.cross_border)
    stored = {each["record_index"]: each["activity_key"] for each in database.activities(tenant, scan)}
    assert stored == dict(enumerate(keys_of(lines)))
    assert_accounted(database, tenant, scan)
    return row


def test_json_is_accepted_found_at_its_location_and_stored(http: httpx.Client, database: Database, tenant: str) -> None:
    lines = generator.records(250, 1, tenant)
    answer = submit(http, tenant, generator.body(lines, "máy quét 7"))
    body = accepted(answer)
    scan = body["scan_id"]
    location = f"{scans_of(tenant)}/{scan}"
    assert body == {
        "scan_id": scan,
        "tenant_id": tenant,
        "status": body["status"],
        "records": 250,
        "replayed": False,
        "links": {
            "self": location,
            "events": f"{location}/events",
            "errors": f"{location}/errors",
            "cancel": f"{location}/cancel",
        },
    }
    assert body["status"] in ("queued", "processing", "completed")
    at_once = http.get(answer.headers["location"])
    assert at_once.status_code == 200
    assert (at_once.json()["scan_id"], at_once.json()["records_total"]) == (scan, 250)
    row = assert_stored(database, tenant, scan, lines)
    assert (row["source"], row["language"]) == ("máy quét 7", "vi")


def test_ten_thousand_in_one_json_body(http: httpx.Client, database: Database, tenant: str) -> None:
    lines = generator.records(10_000, 2, tenant)
    body = accepted(submit(http, tenant, generator.body(lines)))
    assert body["records"] == 10_000
    assert_stored(database, tenant, body["scan_id"], lines)


def test_ndjson_streamed_in_odd_pieces(http: httpx.Client, database: Database, tenant: str) -> None:
    lines = generator.records(2_500, 3, tenant)
    stream = b"\xef\xbb\xbf" + b"\r\n".join(lines[:10]) + b"\r\n\r\n  \n" + b"\n".join(lines[10:])  # no last line end
    answer = http.post(
        scans_of(tenant),
        content=odd_pieces(stream, 3),
        headers=NDJSON,
        params={"source": "quét đêm", "language": "en", "notify": "mailto:dpo@example.vn"},
    )
    assert answer.request.headers["transfer-encoding"] == "chunked"
    body = accepted(answer)
    assert body["records"] == 2_500
    row = assert_stored(database, tenant, body["scan_id"], lines)
    assert (row["source"], row["language"], row["notify"]) == ("quét đêm", "en", "mailto:dpo@example.vn")


def gzip_members(body: bytes) -> bytes:
    middle = len(body) // 2
    return gzip.compress(body[:middle]) + gzip.compress(body[middle:])


def zstd_frames(body: bytes) -> bytes:
    return b"".join(map(zstandard.compress, (body[:5_000], body[5_000:])))


@pytest.mark.parametrize("kind", [JSON, NDJSON], ids=["json", "ndjson"])
@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip_members), ("zstd", zstd_frames)], ids=["gzip", "zstd"])
def test_compressed(
    http: httpx.Client,
    database: Database,
    tenant: str,
    kind: dict[str, str],
    coding: str,
    compress: Callable[[bytes], bytes],
) -> None:
    lines = generator.records(1_200, 4, tenant)
    plain = generator.body(lines) if kind is JSON else generator.ndjson(lines)
    packed = compress(plain)
    assert len(packed) < len(plain)
    body = accepted(submit(http, tenant, odd_pieces(packed, 4), kind, content_encoding=coding))
    assert body["records"] == 1_200
    assert_stored(database, tenant, body["scan_id"], lines)


def test_a_scan_that_found_nothing_says_so_and_completes(http: httpx.Client, database: Database, tenant: str) -> None:
    told = accepted(submit(http, tenant, FOUND_NOTHING))
    row = database.finished(tenant, told["scan_id"])
    assert (row["status"], row["records_total"], told["records"]) == ("completed", 0, 0)


def test_prefer_wait_answers_with_the_result(http: httpx.Client, database: Database, tenant: str) -> None:
    lines = generator.records(40, 5, tenant)
    answer = submit(http, tenant, generator.body(lines), prefer="respond-async, wait=9999")
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=30")  # as long as may be asked for
    status = answer.json()
    assert answer.headers["location"] == f"{scans_of(tenant)}/{status['scan_id']}"
    assert (status["status"], status["records_stored"], status["progress"]) == ("completed", 40, 1.0)
    assert status == http.get(answer.headers["location"]).json()
    assert_stored(database, tenant, status["scan_id"], lines)


def test_prefer_wait_is_202_when_the_scan_has_not_ended_in_time(
    http: httpx.Client, database: Database, tenant: str, worker: Service
) -> None:
    lines = generator.records(10, 6, tenant)
    worker.signal(signal.SIGSTOP)
    try:
        answer = submit(http, tenant, generator.body(lines), prefer="wait=1")
    finally:
        worker.signal(signal.SIGCONT)
    body = accepted(answer)
    assert answer.headers["preference-applied"] == "wait=1"
    assert (body["status"], body["records"]) == ("queued", 10)
    assert_stored(database, tenant, body["scan_id"], lines)


def test_another_preference_is_passed_over(http: httpx.Client, database: Database, tenant: str) -> None:
    answer = submit(http, tenant, FOUND_NOTHING, prefer="wait=soon, handling=lenient")
    assert "preference-applied" not in answer.headers
    database.finished(tenant, accepted(answer)["scan_id"])


@pytest.mark.parametrize(
    ("accept", "given", "language"),
    [("", "", "vi"), ("en-GB, vi;q=0.5", "", "en"), ("en;q=0.2, vi", "", "vi"), ("fr", "", "vi"), ("en", "vi", "vi")],
)
def test_the_language_of_a_scan_is_the_one_asked_for(
    http: httpx.Client, database: Database, tenant: str, accept: str, given: str, language: str
) -> None:
    body = {"records": [], "complete": True, **({"language": given} if given else {})}
    told = accepted(submit(http, tenant, json.dumps(body).encode(), accept_language=accept))
    assert database.finished(tenant, told["scan_id"])["language"] == language


def test_texts_about_the_scan_are_normalised(http: httpx.Client, database: Database, tenant: str) -> None:
    body = {"records": [], "complete": True, "source": " Ma\u0301y que\u0301t\u200b 7 ", "notify": None}
    told = accepted(submit(http, tenant, json.dumps(body).encode()))
    row = database.finished(tenant, told["scan_id"])
    assert (row["source"], row["notify"]) == ("Máy quét 7", None)


def test_what_is_right_is_stored_and_what_is_wrong_is_reported_by_its_index(
    http: httpx.Client, database: Database, tenant: str
) -> None:
    lines = generator.records(1_500, 7, tenant)
    key = keys_of(lines)
    lines[3] = changed(lines[3], purpose="")
    lines[1_200] = changed(lines[1_200], storage_country="Việt Nam")
    lines[1_499] = lines[1_499].replace(b'"name":"', b'"name":"\\ud800', 1)  # half a character, as an escape
    told = accepted(submit(http, tenant, generator.body(lines, "quét 😀")))  # whole characters stay, also as escapes
    row = database.finished(tenant, told["scan_id"])
    assert (row["status"], row["source"]) == ("completed_with_errors", "quét 😀")
    assert (row["records_stored"], row["records_rejected"]) == (1_497, 3)
    bad = [3, 1_200, 1_499]
    assert database.keys(tenant, told["scan_id"]) == sorted(key[at] for at in range(1_500) if at not in bad)
    assert [bytes(each["original"]) for each in database.rejected(tenant, told["scan_id"])] == [lines[at] for at in bad]
    found = http.get(told["links"]["errors"]).json()["errors"]
    assert found[0]["activity_key"] == key[3]
    assert [(each["index"], each["code"], each["pointer"]) for each in found] == [
        (3, "text_empty", "/purpose"),
        (1_200, "country_unknown", "/storage_country"),
        (1_499, "text_surrogate", "/name"),
    ]
    assert found[0]["messages"] == {
        "vi": "Bản ghi thứ 4 bị từ chối: trường «purpose» không được để trống.",
        "en": "Record 4 was rejected: the field «purpose» must not be empty.",
    }
    sample = http.get(told["links"]["self"]).json()["errors_sample"]
    assert [(each["index"], each["code"]) for each in sample] == [(each["index"], each["code"]) for each in found]
    assert_accounted(database, tenant, told["scan_id"])


def test_a_line_that_is_no_record_is_rejected_alone(http: httpx.Client, database: Database, tenant: str) -> None:
    lines = generator.records(9, 8, tenant)
    wrong = [b"{broken", b"42", b'"text"', b'{"activity_key": "\xff"}', b'{"name": "' + b"x" * 300_000 + b'"}']
    stream = generator.ndjson([line for pair in zip(lines, wrong, strict=False) for line in pair] + lines[5:])
    told = accepted(submit(http, tenant, odd_pieces(stream, 8), NDJSON))
    row = database.finished(tenant, told["scan_id"])
    assert (row["records_total"], row["records_stored"], row["records_rejected"]) == (14, 9, 5)
    assert database.keys(tenant, told["scan_id"]) == sorted(keys_of(lines))
    assert [(each["record_index"], each["code"]) for each in database.rejected(tenant, told["scan_id"])] == [
        (1, "record_not_object"),
        (3, "record_not_object"),
        (5, "record_not_object"),
        (7, "encoding_invalid"),
        (9, "record_too_large"),
    ]
    assert_accounted(database, tenant, told["scan_id"])


def test_the_same_key_again_within_a_scan_is_a_duplicate(http: httpx.Client, database: Database, tenant: str) -> None:
    lines = generator.records(1_100, 9, tenant)
    again = [changed(line, name="tên khác") for line in lines[:30]]
    told = accepted(submit(http, tenant, generator.body([*lines, *again])))
    row = database.finished(tenant, told["scan_id"])
    assert (row["status"], row["records_total"]) == ("completed", 1_130)
    assert (row["records_stored"], row["records_duplicate"]) == (1_100, 30)
    assert "tên khác" not in {each["name"] for each in database.activities(tenant, told["scan_id"])}
    assert_accounted(database, tenant, told["scan_id"])


def test_messages_are_numbered_bounded_and_carry_the_trace(
    http: httpx.Client, database: Database, tenant: str, servers: Servers
) -> None:
    wide = [f"cột {number} " + "x" * 290 for number in range(200)]
    lines = [changed(line, data_fields=wide) for line in generator.records(40, 10, tenant)]
    lines += generator.records(1_500, 11, tenant)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    topic = RecordsTopic(servers.bootstrap)
    told = accepted(submit(http, tenant, generator.body(lines), traceparent=trace))
    assert_stored(database, tenant, told["scan_id"], lines)
    messages = topic.messages(tenant)
    kinds = [headers_of(each)["ce_type"].decode().split(".")[-2] for each in messages]
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("opened", "closed", {"records"})
    assert {headers_of(each)["traceparent"] for each in messages} == {trace.encode()}
    assert {headers_of(each)["ce_subject"] for each in messages} == {told["scan_id"].encode()}
    sent = []
    for message in messages[1:-1]:
        assert int(headers_of(message)["ce_firstindex"]) == len(sent)
        assert len(message.value()) <= 768 * 1024
        records = json.loads(message.value())
        assert len(records) <= 1_000
        sent += records
    assert sent == [json.loads(line) for line in lines]


def test_a_tenant_sees_nothing_of_another(http: httpx.Client, database: Database, tenant: str) -> None:
    other = f"{tenant}-b"
    lines = generator.records(20, 12)
    mine = accepted(submit(http, tenant, generator.body(lines)))["scan_id"]
    theirs = accepted(submit(http, other, generator.body(lines[:5])))["scan_id"]
    assert_stored(database, tenant, mine, lines)
    assert_stored(database, other, theirs, lines[:5])
    for tail in ("", "/events", "/errors"):
        assert http.get(f"{scans_of(other)}/{mine}{tail}").status_code == 404
    assert http.post(f"{scans_of(other)}/{mine}/cancel").status_code == 404
    assert [each["scan_id"] for each in http.get(scans_of(other)).json()["scans"]] == [theirs]
    found = http.get(f"/v1/tenants/{other}/processing-activities").json()["processing_activities"]
    assert {each["scan_id"] for each in found} == {theirs} and len(found) == 5


def test_twenty_tenants_at_once(
    api: Service, database: Database, statuses: StatusTopic, tenant: str, worker: Service
) -> None:
    tenants = [f"{tenant}-{number:02}" for number in range(20)]
    lines = generator.records(1_000, 13)  # the same keys for everybody: only the tenant tells them apart
    body = generator.body(lines)

    def send(name: str) -> str:
        with httpx.Client(base_url=api.base_url, timeout=60) as client:
            return str(accepted(submit(client, name, body))["scan_id"])

    with ThreadPoolExecutor(len(tenants)) as pool:
        scans = dict(zip(tenants, pool.map(send, tenants), strict=True))
    assert len(set(scans.values())) == 20
    for name, scan in scans.items():
        assert_stored(database, name, scan, lines)
    assert_told(database, statuses, tenants)
    assert (api.returncode, worker.returncode) == (None, None)
