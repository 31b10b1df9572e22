"""The usual mistakes are answered before anything is published, and leave nothing behind: no scan, and the key still free."""

import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
import pytest
import zstandard

from infra.processes.services import Service
from schemas.errors import Text
from schemas.problems import PROBLEMS
from tests.format_mistakes import BOM, LINES, MISTAKES, STREAM, zstd_with_window
from tests.helpers import Database, changed
from tests.servers import Servers
from tests.submissions import (
    FOUND_NOTHING,
    JSON,
    NDJSON,
    HeldUpload,
    RecordsTopic,
    accepted,
    odd_pieces,
    scans_of,
    submit,
)
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
KEY: Final = {"Idempotency-Key": "once"}
EMPTIES: Final = {name: mistaken.body for name, mistaken in MISTAKES.items() if mistaken.as_ndjson == "no_records"}
WAYS: Final[dict[str, Any]] = {
    "in one piece": (lambda body: body, {}),
    "in chunks": (lambda body: iter([b"", *odd_pieces(body, 3, 40), b""]), {}),
    "by gzip": (gzip.compress, {"Content-Encoding": "gzip"}),
    "by zstd": (zstandard.compress, {"Content-Encoding": "zstd"}),
    "by gzip in chunks": (lambda body: odd_pieces(gzip.compress(body), 4, 9), {"Content-Encoding": "gzip"}),
}


@pytest.fixture
def topic(servers: Servers) -> RecordsTopic:
    return RecordsTopic(servers.bootstrap)


def assert_problem(answer: httpx.Response, code: str) -> None:
    """One of the catalogue, in words, without a scan's id: there is none."""
    told = answer.json()
    assert (answer.status_code, told.get("code")) == (PROBLEMS[code].status, code), answer.text
    assert {"vi", "en"} == set(told["messages"]) and "{format" not in answer.text
    assert "scan_id" not in told


def assert_nothing_happened(http: httpx.Client, topic: RecordsTopic, tenant: str) -> None:
    assert http.get(scans_of(tenant)).json()["scans"] == []
    assert topic.messages(tenant) == []


def test_each_mistake_is_answered_as_what_it_is_and_leaves_nothing_behind(
    http: httpx.Client, topic: RecordsTopic, database: Database, tenant: str
) -> None:
    for name, mistaken in MISTAKES.items():
        for kind, code in ((NDJSON, mistaken.as_ndjson), (JSON, mistaken.as_json)):
            if code is not None:
                for body in (mistaken.body, odd_pieces(mistaken.body, 1, 70_000)):
                    answer = submit(http, tenant, body, {**kind, **KEY})
                    assert answer.json().get("code") == code, (name, kind, answer.text)
                    assert_problem(answer, code)
                validated = http.post(f"/v1/tenants/{tenant}/scans:validate", content=mistaken.body, headers=kind)
                assert_problem(validated, code)
    assert_nothing_happened(http, topic, tenant)
    told = accepted(submit(http, tenant, STREAM, {**NDJSON, **KEY}))
    assert (told["records"], told["replayed"]) == (len(LINES), False)
    assert database.finished(tenant, told["scan_id"])["records_stored"] == len(LINES)


@pytest.mark.parametrize("way", WAYS)
def test_a_body_without_records_is_a_problem_however_it_comes(
    http: httpx.Client, topic: RecordsTopic, tenant: str, way: str
) -> None:
    wrap, headers = WAYS[way]
    for body in EMPTIES.values():
        for kind in (JSON, NDJSON):
            assert_problem(submit(http, tenant, wrap(body), {**kind, **headers, **KEY}, prefer="wait=5"), "no_records")
    if headers:  # declared as compressed, and nothing at all
        assert_problem(submit(http, tenant, b"", {**NDJSON, **headers}), "no_records")
    assert_nothing_happened(http, topic, tenant)


def test_a_key_is_taken_with_the_first_record_and_not_before(
    api: Service, http: httpx.Client, topic: RecordsTopic, database: Database, tenant: str
) -> None:
    with HeldUpload(api.base_url, tenant, b"\n\n" + LINES[0][:-9], KEY) as silent:
        told = accepted(submit(http, tenant, STREAM, {**NDJSON, **KEY}))
        assert len(http.get(scans_of(tenant)).json()["scans"]) == 1
        late = silent.finish(LINES[0][-9:])  # its body is another one: the key was given away meanwhile
        assert (late.status_code, late.json()["code"]) == (422, "idempotency_key_reused")
    assert database.finished(tenant, told["scan_id"])["records_stored"] == len(LINES)
    assert len(http.get(scans_of(tenant)).json()["scans"]) == 1


def test_an_upload_that_breaks_off_before_its_first_record_leaves_nothing(
    api: Service, http: httpx.Client, topic: RecordsTopic, tenant: str
) -> None:
    with HeldUpload(api.base_url, tenant, b" \n" + LINES[0][:-1], KEY) as broken:
        broken.break_off()
    assert_nothing_happened(http, topic, tenant)


def test_a_scan_that_found_nothing_says_that_it_is_complete(
    http: httpx.Client, database: Database, tenant: str
) -> None:
    for _ in range(2):
        told = accepted(submit(http, tenant, BOM + FOUND_NOTHING, {**JSON, **KEY}))
        assert told["records"] == 0
        assert database.finished(tenant, told["scan_id"])["status"] == "completed"
    assert told["replayed"] is True
    wrong = submit(http, tenant, b'{"records": [], "complete": 1}')
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (422, "not_boolean")
    assert wrong.json()["errors"][0]["pointer"] == "/complete"


def test_corrected_records_without_a_record_are_a_problem_too(
    http: httpx.Client, database: Database, tenant: str
) -> None:
    scan = accepted(submit(http, tenant, generator.ndjson([changed(LINES[0], purpose="")]), NDJSON))["scan_id"]
    database.finished(tenant, scan)
    for name in ("nothing", "white space", "UTF-16 with a BOM", "gzip", "an array", "several in a line"):
        mistaken = MISTAKES[name]
        answer = http.post(f"{scans_of(tenant)}/{scan}/records", content=mistaken.body, headers=NDJSON)
        assert answer.json().get("code") == mistaken.as_ndjson, (name, answer.text)


SMALL: Final = generator.ndjson(LINES[:2])
WRONG_CODING: Final[list[tuple[bytes, str, str]]] = [
    (SMALL, "gzip", "compression_missing"),
    (SMALL, "zstd", "compression_missing"),
    (b"{", "gzip", "compression_missing"),
    (b"[", "gzip", "compression_missing"),
    (b"{", "zstd", "compression_missing"),
    (zstandard.compress(SMALL), "gzip", "compression_missing"),
    (gzip.compress(SMALL), "zstd", "compression_missing"),
    (gzip.compress(SMALL)[:-9], "gzip", "encoding_malformed"),
    (b"\x1f", "gzip", "encoding_malformed"),
    (zstandard.compress(SMALL)[:4], "zstd", "encoding_malformed"),
    (gzip.compress(gzip.compress(SMALL)), "gzip", "compression_undeclared"),
    (gzip.compress(SMALL.decode().encode("utf-16")), "gzip", "charset_unsupported"),
    (zstd_with_window(24, SMALL), "zstd", "zstd_window_too_large"),
    (zstd_with_window(27, SMALL), "zstd", "zstd_window_too_large"),
]


@pytest.mark.parametrize(("body", "coding", "code"), WRONG_CODING)
@pytest.mark.parametrize("kind", [JSON, NDJSON], ids=["json", "ndjson"])
def test_what_content_encoding_says_is_compared_with_the_body(
    http: httpx.Client, topic: RecordsTopic, tenant: str, kind: Mapping[str, str], body: bytes, coding: str, code: str
) -> None:
    if (code, kind) == ("encoding_malformed", NDJSON) and len(body) > 5:
        return  # what came of it is a scan, cancelled: test_submit.py
    for sent in (body, (body[at : at + 1] for at in range(len(body)))):
        assert_problem(submit(http, tenant, sent, {**kind, "Content-Encoding": coding}), code)
    assert_nothing_happened(http, topic, tenant)


def test_zstd_with_the_largest_window_that_is_taken(http: httpx.Client, database: Database, tenant: str) -> None:
    body = zstd_with_window(23)
    told = accepted(submit(http, tenant, body, {**NDJSON, "Content-Encoding": "zstd"}))
    assert database.finished(tenant, told["scan_id"])["records_stored"] == len(LINES)


@pytest.mark.parametrize("media", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_form_is_answered_what_to_send_instead(http: httpx.Client, tenant: str, media: str) -> None:
    answer = submit(http, tenant, STREAM, {"Content-Type": media})
    assert_problem(answer, "format_unsupported")
    assert "--data-binary" in answer.json()["messages"]["en"]


def test_later_mistakes_are_reported_record_by_record(http: httpx.Client, database: Database, tenant: str) -> None:
    wrong = [LINES[3] + LINES[4], LINES[5][:-1] + b',"confidence":NaN}', b"\xef\xbb\xbf" + LINES[6], b"{}{}"]
    told = accepted(submit(http, tenant, generator.ndjson([*LINES[:2], *wrong]), NDJSON))
    row = database.finished(tenant, told["scan_id"])
    assert (row["records_stored"], row["records_rejected"]) == (3, 3)
    rejected = [(each["record_index"], each["code"]) for each in database.rejected(tenant, told["scan_id"])]
    assert rejected == [(2, "several_in_line"), (3, "number_not_finite"), (5, "several_in_line")]
    found = http.get(told["links"]["errors"]).json()["errors"]
    assert "--data-binary" in found[0]["messages"]["vi"]


def test_a_bom_may_stand_before_a_document_and_before_each_line(
    http: httpx.Client, database: Database, tenant: str
) -> None:
    bodies: Iterator[tuple[bytes, Mapping[str, str]]] = iter(
        [(BOM + generator.body(LINES), JSON), (b"".join(BOM + line + b"\r\n" for line in LINES), NDJSON)]
    )
    for body, kind in bodies:
        told = accepted(submit(http, tenant, odd_pieces(body, 5, 7), kind))
        assert database.finished(tenant, told["scan_id"])["records_stored"] == len(LINES)
        assert [json.loads(line)["activity_key"] for line in sorted(LINES)] == database.keys(tenant, told["scan_id"])


def test_the_words_name_what_came(http: httpx.Client, tenant: str) -> None:
    for name, words in {
        "UTF-32, little-endian": Text("UTF-32", "UTF-32"),
        "zip": Text("ZIP (cũng là dạng của tệp Office)", "ZIP (which Office files are, too)"),
        "CSV": Text("CSV hoặc bảng văn bản", "CSV or another table of text"),
    }.items():
        told = submit(http, tenant, MISTAKES[name].body, NDJSON).json()["messages"]
        assert words.vi in told["vi"] and words.en in told["en"]
