"""What is wrong with a request is told place by place; and a refusal can be read, and gives nothing away."""

import json
import uuid
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from schemas.problems import REQUEST_ERRORS
from tests.helpers import Database
from tests.raising_api import PLANTED, start_raising_api
from tests.servers import Servers
from tests.submissions import FOUND_NOTHING, JSON, NDJSON, odd_pieces, scans_of, submit
from trials import generator

FINISHED: Final = "queued, processing, completed, completed_with_errors, failed, cancelled"

# code, the JSON body, where, and both texts
BODIES: Final[list[tuple[str, Any, str, str, str]]] = [
    ("field_missing", {}, "/records", "thiếu «records»", "«records» is missing"),
    (
        "field_unexpected",
        {"records": [], "a/b~c": 1},
        "/a~1b~0c",
        "«a/b~c» không có trong yêu cầu này",
        "«a/b~c» is not part of this request",
    ),
    (
        "body_not_object",
        [],
        "",
        'nội dung phải là một đối tượng JSON: {"records": [...]}',
        'the body must be a JSON object: {"records": [...]}',
    ),
    ("not_list", {"records": {}}, "/records", "«records» phải là danh sách", "«records» must be a list"),
    ("not_list", {"records": None}, "/records", "«records» phải là danh sách", "«records» must be a list"),
    ("not_text", {"records": [], "notify": []}, "/notify", "«notify» phải là văn bản", "«notify» must be text"),
    (
        "too_long",
        {"records": [], "source": "x" * 201},
        "/source",
        "«source» dài hơn 200 ký tự",
        "«source» is longer than 200 characters",
    ),
    (
        "value_refused",
        {"records": [], "source": "a\u202eb"},
        "/source",
        "«source» chứa giá trị không được phép",
        "«source» holds a value that is not allowed",
    ),
    (
        "value_refused",
        {"records": [], "source": "\ud800"},
        "/source",
        "«source» chứa giá trị không được phép",
        "«source» holds a value that is not allowed",
    ),
    (
        "not_in_list",
        {"records": [], "language": "fr"},
        "/language",
        "«language» phải là một trong: vi, en",
        "«language» must be one of: vi, en",
    ),
]

# code, path below the tenant, the parameter, its value (or values), and both texts
PARAMETERS: Final[list[tuple[str, str, str, str | list[str], str, str]]] = [
    (
        "not_uuid",
        "processing-activities",
        "scan_id",
        "0912345678",
        "«scan_id» phải là UUID",
        "«scan_id» must be a UUID",
    ),
    (
        "not_boolean",
        "processing-activities",
        "sensitive",
        "0912345678",
        "«sensitive» phải là true hoặc false",
        "«sensitive» must be true or false",
    ),
    (
        "not_date",
        "daily-counts",
        "since",
        "0912345678",
        "«since» phải là một ngày như 2026-11-20",
        "«since» must be a day like 2026-11-20",
    ),
    *(
        (
            "not_within",
            "scans",
            "limit",
            value,
            "«limit» phải là số nguyên từ 1 đến 1.000",
            "«limit» must be a whole number from 1 to 1,000",
        )
        for value in ("0", "1001", "-1", "1.5", "ten", "", "9" * 5_000)
    ),
    (
        "parameter_misspelt",
        "scans",
        "limits",
        "0912345678",
        "lệnh gọi này không có tham số «limits»; có lẽ là «limit»",
        "this call takes no parameter «limits»; perhaps «limit» was meant",
    ),
    (
        "parameter_unknown",
        "scans",
        "tenant",
        "0912345678",
        "lệnh gọi này không có tham số «tenant», chỉ có: cursor, limit, status",
        "this call takes no parameter «tenant», only: cursor, limit, status",
    ),
    (
        "parameter_unexpected",
        f"scans/{uuid.UUID(int=7)}",
        "limit",
        "0912345678",
        "lệnh gọi này không nhận tham số nào, nên bỏ «limit»",
        "this call takes no parameters; leave «limit» out",
    ),
    (
        "parameter_repeated",
        "processing-activities",
        "category",
        ["basic_name", "basic_gender"],
        "tham số «category» chỉ được có một lần",
        "the parameter «category» may be given once only",
    ),
    (
        "not_in_list",
        "scans",
        "status",
        "done",
        f"«status» phải là một trong: {FINISHED}",
        f"«status» must be one of: {FINISHED}",
    ),
]

# code, the call, its media type, its body, the parameter, and both texts
MEDIA: Final[list[tuple[str, str, str, dict[str, str], bytes | None, str, str, str]]] = [
    (
        "parameter_in_body",
        "POST",
        "scans",
        JSON,
        FOUND_NOTHING,
        "source",
        "với application/json, «source» nằm trong nội dung, cạnh «records», không nằm trong truy vấn",
        "in a submission of application/json «source» belongs in the body, beside «records», and not in the query",
    ),
    (
        "parameter_of_pages",
        "GET",
        f"scans/{uuid.UUID(int=7)}/errors",
        {"Accept": "application/x-ndjson"},
        None,
        "limit",
        "«limit» chỉ dành cho các trang JSON; NDJSON cho tất cả trong một lần trả lời, nên bỏ «limit»",
        "«limit» is for pages of JSON; NDJSON holds all of them in one answer, so leave «limit» out",
    ),
]


def assert_refused(answer: httpx.Response, errors: list[dict[str, Any]]) -> None:
    """One problem, whose sentence tells of the first error."""
    assert (answer.status_code, answer.json()["code"], answer.json()["errors"]) == (422, "request_invalid", errors)
    first = errors[0]["messages"]
    assert answer.json()["messages"] == {
        "vi": f"Yêu cầu đọc được nhưng không đúng dạng: {first['vi']}. Xem «errors» để biết từng chỗ.",
        "en": f"The request can be read but has the wrong shape: {first['en']}. «errors» names each place.",
    }


@pytest.mark.parametrize(("code", "body", "pointer", "vi", "en"), BODIES)
@pytest.mark.parametrize("call", ["", ":validate"], ids=["submit", "validate"])
def test_a_field_of_the_body_is_reported_by_pointer(
    http: httpx.Client, tenant: str, call: str, code: str, body: Any, pointer: str, vi: str, en: str
) -> None:
    answer = http.post(scans_of(tenant) + call, content=json.dumps(body), headers=JSON)
    assert_refused(answer, [{"pointer": pointer, "code": code, "messages": {"vi": vi, "en": en}}])


@pytest.mark.parametrize(("code", "path", "name", "value", "vi", "en"), PARAMETERS)
def test_a_parameter_is_reported_by_name(
    http: httpx.Client, tenant: str, code: str, path: str, name: str, value: str | list[str], vi: str, en: str
) -> None:
    answer = http.get(f"/v1/tenants/{tenant}/{path}", params={name: value})
    assert_refused(answer, [{"parameter": name, "code": code, "messages": {"vi": vi, "en": en}}])


@pytest.mark.parametrize(("code", "method", "path", "headers", "body", "name", "vi", "en"), MEDIA)
def test_a_parameter_of_another_media_type_is_reported_where_it_belongs(
    http: httpx.Client,
    tenant: str,
    code: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None,
    name: str,
    vi: str,
    en: str,
) -> None:
    answer = http.request(method, f"/v1/tenants/{tenant}/{path}", params={name: "7"}, content=body, headers=headers)
    assert_refused(answer, [{"parameter": name, "code": code, "messages": {"vi": vi, "en": en}}])


def test_every_request_error_is_provoked_here() -> None:
    elsewhere = {"correction_invalid"}  # test_corrections.py
    assert {each[0] for each in (*BODIES, *PARAMETERS, *MEDIA)} | elsewhere == set(REQUEST_ERRORS)


def test_every_place_that_is_wrong_is_reported_at_once(http: httpx.Client, tenant: str) -> None:
    body = {"source": 1, "language": "fr", "notify": "x" * 301, "records": 5, "more": 1}
    errors = submit(http, tenant, json.dumps(body).encode()).json()["errors"]
    assert {(each["pointer"], each["code"]) for each in errors} == {
        ("/source", "not_text"),
        ("/language", "not_in_list"),
        ("/notify", "too_long"),
        ("/records", "not_list"),
        ("/more", "field_unexpected"),
    }


def test_what_an_ndjson_scan_says_of_itself_is_reported_by_parameter(http: httpx.Client, tenant: str) -> None:
    params = {"source": "x" * 201, "language": "fr"}
    answer = http.post(scans_of(tenant), content=b"{}\n", headers=NDJSON, params=params)
    assert [(each["parameter"], each["code"]) for each in answer.json()["errors"]] == [
        ("source", "too_long"),
        ("language", "not_in_list"),
    ]


@pytest.mark.parametrize("kind", [JSON, {"Content-Type": "text/plain"}], ids=["too-large", "wrong-type"])
def test_a_client_still_sending_gets_to_read_the_refusal(http: httpx.Client, tenant: str, kind: dict[str, str]) -> None:
    wanted = {"too-large": 413, "wrong-type": 415}["too-large" if kind is JSON else "wrong-type"]
    body = b"[" + b" " * (24 << 20)
    for sent in (body, odd_pieces(body, 1, 1 << 20)):
        assert submit(http, tenant, sent, kind).status_code == wanted
    assert http.get(scans_of(tenant)).json()["scans"] == []


def test_a_refused_scan_leaves_nothing_behind(http: httpx.Client, tenant: str) -> None:
    lines = generator.records(3, 1, tenant)
    assert submit(http, tenant, generator.body(lines)[:-1]).status_code == 400
    assert submit(http, tenant, generator.body(lines), {"Content-Type": "text/csv"}).status_code == 415
    assert http.get(scans_of(tenant)).json()["scans"] == []


@pytest.mark.usefixtures("worker")
def test_what_nobody_expected_is_logged_without_values_and_the_connection_lives_on(
    servers: Servers, database: Database, tenant: str
) -> None:
    secret = f"0912{uuid.uuid4().hex}"
    raising = start_raising_api(servers)
    with httpx.Client(base_url=raising.base_url, timeout=60) as http:
        scan = submit(http, tenant, FOUND_NOTHING, prefer="wait=30").json()["scan_id"]
        database.rows(
            "INSERT INTO rejected_records (tenant_id, scan_id, record_index, activity_key, code, pointer, errors,"
            " original, kafka_partition, kafka_offset) VALUES (%s, %s, 0, %s, %s, '', '[]', '', 0, 0)",
            *(tenant, scan, secret, PLANTED),
        )
        for _ in range(3):
            answer = http.get(f"{scans_of(tenant)}/{scan}/errors")
            assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
            assert "connection" not in answer.headers
        log = Path(raising.log_file).read_text(encoding="utf-8")
        assert "unexpected KeyError at /scans/{scan_id}/errors" in log
        assert secret not in log
        assert 'status="500"' in http.get("/metrics").text
