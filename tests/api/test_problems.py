"""Every problem of the catalogue, provoked over HTTP and compared word for word in both languages."""

import gzip
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import httpx
import pytest
import zstandard

from infra.processes.child import free_port
from infra.processes.services import Service
from schemas.errors import Text
from schemas.format_mistakes import OTHER_CHARSET
from schemas.problems import PROBLEMS
from tests.format_mistakes import zstd_with_window
from tests.helpers import Database, wait_for
from tests.raising_api import PLANTED, start_raising_api
from tests.servers import Servers
from tests.submissions import (
    FOUND_NOTHING,
    JSON,
    NDJSON,
    AnyScan,
    HeldUpload,
    accepted,
    scans_of,
    submit,
    wait_until_taken,
)

pytestmark = pytest.mark.usefixtures("worker")
SECRET: Final = "0912-345-678"  # part of most requests below, and of no answer
EMPTY: Final = FOUND_NOTHING
SMALL: Final = {
    "SCANLINE_API_JSON_BYTES": "4096",
    "SCANLINE_API_JSON_INFLATED_BYTES": "8192",
    "SCANLINE_API_JSON_RECORDS": "3",
    "SCANLINE_API_NDJSON_BYTES": "5000",
    "SCANLINE_API_NDJSON_INFLATED_BYTES": "9000",
    "SCANLINE_API_NDJSON_RECORDS": "4",
    "SCANLINE_API_BUFFER_BYTES": "1048576",
    "SCANLINE_API_BUFFER_WAIT_SECONDS": "0",
    "SCANLINE_API_RETRY_AFTER_SECONDS": "7",
}
# a message lies longer in the send buffer than a submission may take
HASTY: Final = {"SCANLINE_API_LINGER_MS": "1000", "SCANLINE_API_PUBLISH_DEADLINE_SECONDS": "0.05"}


class Apis(NamedTuple):
    """Clients of API processes, each with another reason to refuse; and the tenant of the test."""

    usual: httpx.Client
    small: httpx.Client
    hasty: httpx.Client
    away: httpx.Client  # neither Kafka nor PostgreSQL answers
    raising: httpx.Client  # raises what nobody expected
    database: Database
    tenant: str = ""


Asked = Mapping[str, str]  # headers that every request of a provocation carries
Provoke = Callable[[Apis, Asked], httpx.Response]


class Case(NamedTuple):
    """One way to a problem. `params` by language where they differ; `extra` the members beside the usual ones."""

    code: str
    provoke: Provoke
    params: Mapping[str, str | tuple[str, str]] = {}
    extra: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}


@pytest.fixture(scope="module")
def processes(servers: Servers, api: Service, database: Database) -> Iterator[Apis]:
    nobody = {
        "SCANLINE_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
        "SCANLINE_POSTGRES_READ_URL": f"postgresql+psycopg2://reader:none@127.0.0.1:{free_port()}/none",
    }
    started = [servers.start_api(env, wait=False) for env in (SMALL, HASTY, nobody)] + [start_raising_api(servers)]
    clients = [httpx.Client(base_url=each.base_url, timeout=60) for each in (api, *started)]
    for each in started[:2]:
        each.wait_until_ready()
    wait_for(lambda: _knows_that_kafka_is_away(started[2]), "an API without Kafka says so")
    yield Apis(*clients, database)
    for client in clients:
        client.close()
    for each in started:
        each.stop()


def _knows_that_kafka_is_away(service: Service) -> bool:
    try:
        return not service.health()["kafka"]
    except OSError:
        return False


@pytest.fixture
def apis(processes: Apis, tenant: str) -> Apis:
    return processes._replace(tenant=tenant)


def post(body: Any, headers: Asked = JSON, api: str = "usual", **more: str) -> Provoke:
    """A POST /scans."""

    def provoke(apis: Apis, asked: Asked) -> httpx.Response:
        return submit(getattr(apis, api), apis.tenant, body, {**headers, **asked}, **more)

    return provoke


def get(path: str, api: str = "usual", method: str = "GET", **params: str) -> Provoke:
    """Any other call; `{tenant}` in the path is filled in."""

    def provoke(apis: Apis, asked: Asked) -> httpx.Response:
        url = path.format(tenant=f"/v1/tenants/{apis.tenant}")
        return getattr(apis, api).request(method, url, params=params, headers=asked)

    return provoke


def chunked(body: bytes) -> list[bytes]:
    """A body whose length is not told beforehand."""
    return [body[:100], body[100:]]


def still_arriving(apis: Apis, asked: Asked) -> httpx.Response:
    tenant = f"{apis.tenant}-{len(asked)}"
    with HeldUpload(str(apis.usual.base_url), tenant, LINES, {"Idempotency-Key": "a"}):
        wait_until_taken(apis.usual, tenant)
        return submit(apis.usual, tenant, LINES, {**NDJSON, **asked}, idempotency_key="a")


def too_large_midway(apis: Apis, asked: Asked) -> httpx.Response:
    tenant = f"{apis.tenant}-{len(asked)}"
    with HeldUpload(str(apis.small.base_url), tenant, LINES, asked) as upload:
        wait_until_taken(apis.small, tenant)
        return upload.finish(b" " * 5_000)


def key_reused(apis: Apis, asked: Asked) -> httpx.Response:
    accepted(submit(apis.usual, apis.tenant, EMPTY, idempotency_key=f'"{SECRET}"'))
    return submit(apis.usual, apis.tenant, EMPTY + b" ", {**JSON, **asked}, idempotency_key=f'"{SECRET}"')


def cancel_what_has_ended(apis: Apis, asked: Asked) -> httpx.Response:
    scan = submit(apis.usual, apis.tenant, EMPTY, prefer="wait=30").json()["scan_id"]
    return apis.usual.post(f"{scans_of(apis.tenant)}/{scan}/cancel", headers=asked)


def what_nobody_expected(apis: Apis, asked: Asked) -> httpx.Response:
    """A defect of ours meets a row."""
    scan = submit(apis.usual, apis.tenant, EMPTY, prefer="wait=30").json()["scan_id"]
    apis.database.rows(
        "INSERT INTO rejected_records (tenant_id, scan_id, record_index, activity_key, code, pointer, errors,"
        " original, kafka_partition, kafka_offset) VALUES (%s, %s, 0, %s, %s, '', '[]', '', 0, 0)",
        apis.tenant,
        scan,
        SECRET,
        PLANTED,
    )
    return apis.raising.get(f"{scans_of(apis.tenant)}/{scan}/errors", headers=asked)


def while_another_body_is_held(apis: Apis, asked: Asked) -> httpx.Response:
    """All the room there is lets one message be gathered, and no second one."""
    tenant = f"{apis.tenant}-{len(asked)}"
    with HeldUpload(str(apis.small.base_url), tenant, LINES, {}):
        wait_until_taken(apis.small, tenant)
        return submit(apis.small, tenant, LINES, {**NDJSON, **asked})


BROKEN: Final = b'{"source": "' + SECRET.encode() + b'", "records": [}'
DEEP: Final = b"[" * 100_000
LONG: Final = b'{"records": [{}, {"name": "' + b"x" * 262_144 + b'"}]}'
LATER: Final = {"seconds": "5"}
AFTER: Final = {"retry-after": "5"}
LINES: Final = b"{}\n"
TOO_MANY: Final = b'{"records": [1, 2, 3, 4]}'


def _limit(vi: str) -> dict[str, tuple[str, str]]:
    return {"limit": (vi, vi.replace(".", ","))}


def _packed(body: bytes, spaces: int) -> bytes:
    return gzip.compress(body + b" " * spaces)


CASES: Final = [
    Case("json_malformed", post(BROKEN), {"position": str(len(BROKEN))}),
    Case("json_malformed", post(b'{"records": [{}'), {"position": "16"}),
    Case("json_malformed", post(b'{"records": [' + b" " * 2_000 + b"}"), {"position": ("2.014", "2,014")}),
    Case("charset_unsupported", post(b'{"records": [], "x\xff": 1}'), {"format": OTHER_CHARSET}),
    Case("json_too_deep", post(b'{"records": ' + DEEP)),
    Case("json_too_deep", post(b'{"unknown": 1, "source": ' + DEEP)),
    Case("encoding_malformed", post(gzip.compress(EMPTY)[:-8], content_encoding="gzip"), {"encoding": "gzip"}),
    Case("encoding_malformed", post(zstandard.compress(EMPTY)[:-1], content_encoding="zstd"), {"encoding": "zstd"}),
    Case("compression_missing", post(SECRET, NDJSON, content_encoding="zstd"), {"encoding": "zstd"}),
    Case("compression_missing", post(EMPTY, content_encoding="gzip"), {"encoding": "gzip"}),
    Case("idempotency_key_invalid", post(EMPTY, idempotency_key=SECRET * 30)),
    Case("idempotency_key_invalid", post(EMPTY, idempotency_key='""')),
    Case("no_records", post(b"")),
    Case("no_records", post(b'{"source": "' + SECRET.encode() + b'", "records": []}')),
    Case("no_records", post(b"\r\n", NDJSON)),
    Case("ndjson_malformed", post(SECRET, NDJSON)),
    Case("several_in_line", post(b'{"name": "' + SECRET.encode() + b'"}{}', NDJSON)),
    Case("number_not_finite", post(b'{"records": [{"0912-345-678": NaN}]}')),
    Case("json_not_ndjson", post(b'["' + SECRET.encode() + b'"]', NDJSON)),
    Case("ndjson_not_json", post(b'{"name": "' + SECRET.encode() + b'"}\n{}\n')),
    Case("charset_unsupported", post(SECRET.encode("utf-16"), NDJSON), {"format": "UTF-16"}),
    Case("compression_undeclared", post(gzip.compress(EMPTY)), {"format": "gzip"}),
    Case("compression_unsupported", post(b"BZh91AY&SY", NDJSON), {"format": "bzip2"}),
    Case(
        "zstd_window_too_large",
        post(zstd_with_window(27), NDJSON, content_encoding="zstd"),
        _limit("8.388.608"),
        {"limit": 8_388_608},
    ),
    Case(
        "format_unsupported",
        post("name=" + SECRET, {"Content-Type": "application/x-www-form-urlencoded"}),
        {"format": ("dữ liệu biểu mẫu (form)", "form data")},
    ),
    Case("tenant_invalid", get("/v1/tenants/ACME/scans")),
    Case("tenant_invalid", get("/v1/tenants/acme-/scans", method="POST")),
    Case("scan_not_found", get(f"{{tenant}}/scans/{uuid.UUID(int=7)}"), {"scans_url": "{tenant}/scans"}),
    Case("scan_not_found", get("{tenant}/scans/no-uuid/errors"), {"scans_url": "{tenant}/scans"}),
    Case("route_not_found", get("/v1/nothing")),
    Case("slash_at_the_end", get("{tenant}/scans/"), {"address": "{tenant}/scans"}),
    Case("slash_at_the_end", get("{tenant}/scans/", method="POST"), {"address": "{tenant}/scans"}),
    Case(
        "method_not_allowed", get("{tenant}/scans", method="PUT"), {"allowed": "GET, POST"}, {}, {"allow": "GET, POST"}
    ),
    Case("method_not_allowed", get("{tenant}/scans:validate"), {"allowed": "POST"}, {}, {"allow": "POST"}),
    Case("submission_in_progress", still_arriving, LATER, {"scan_id": AnyScan()}, AFTER),
    Case("scan_finished", cancel_what_has_ended, {}, {"scan_id": AnyScan(), "scan_status": "completed"}),
    Case("body_too_large", post(b" " * 4_097, api="small"), _limit("4.096"), {"limit": 4_096}),
    Case("body_too_large", post(chunked(b" " * 4_097), api="small"), _limit("4.096"), {"limit": 4_096}),
    Case("body_too_large", too_large_midway, _limit("5.000"), {"limit": 5_000, "scan_id": AnyScan()}),
    Case(
        "inflated_too_large",
        post(_packed(EMPTY, 8_192), JSON, "small", content_encoding="gzip"),
        _limit("8.192"),
        {"limit": 8_192},
    ),
    Case(
        "inflated_too_large",
        post(_packed(LINES, 9_000), NDJSON, "small", content_encoding="gzip"),
        _limit("9.000"),
        {"limit": 9_000},
    ),
    Case("inflation_too_high", post(_packed(EMPTY, 9 << 20), content_encoding="gzip"), _limit("250"), {"limit": 250}),
    Case("too_many_records", post(TOO_MANY, JSON, "small"), _limit("3"), {"limit": 3}),
    Case("too_many_records", post(LINES * 5, NDJSON, "small"), _limit("4"), {"limit": 4, "scan_id": AnyScan()}),
    Case("too_many_records", post(b'{"records": [' + b"1," * 10_000 + b"1]}"), _limit("10.000"), {"limit": 10_000}),
    Case(
        "record_too_large",
        post(LONG),
        {**_limit("262.144"), "position": "2"},
        {"limit": 262_144, "pointer": "/records/1"},
    ),
    Case("content_type_unsupported", post(EMPTY, {"Content-Type": "text/csv"})),
    Case("content_type_unsupported", post(EMPTY, {"Content-Type": "application/json; charset=utf-16"})),
    Case("content_type_unsupported", post(EMPTY, {})),
    Case("content_encoding_unsupported", post(EMPTY, content_encoding="br"), headers={"accept-encoding": "gzip, zstd"}),
    Case(
        "request_invalid",
        post(b'{"records": [], "source": 12}'),
        {"reason": ("«source» phải là văn bản", "«source» must be text")},
        {
            "errors": [
                {
                    "pointer": "/source",
                    "code": "not_text",
                    "messages": {"vi": "«source» phải là văn bản", "en": "«source» must be text"},
                }
            ]
        },
    ),
    Case("cursor_invalid", get("{tenant}/scans", cursor=SECRET)),
    Case("cursor_invalid", get("{tenant}/processing-activities", cursor="WzEsMl0")),
    Case("idempotency_key_reused", key_reused, {}, {"scan_id": AnyScan()}),
    Case("internal_error", what_nobody_expected),
    Case("kafka_unavailable", post(EMPTY, api="away"), LATER, {}, AFTER),
    Case("scan_not_queued", post(EMPTY, api="hasty"), LATER, {"scan_id": AnyScan()}, AFTER),
    Case("scan_not_queued", post(LINES, NDJSON, "hasty"), LATER, {"scan_id": AnyScan()}, AFTER),
    Case("overloaded", while_another_body_is_held, {"seconds": "7"}, {}, {"retry-after": "7"}),
    Case("statuses_unavailable", get("{tenant}/scans", "away"), LATER, {}, AFTER),
    Case("reads_unavailable", get("{tenant}/processing-activities", "away"), LATER, {}, AFTER),
]


# Those that need a process of their own, or a client that keeps to no rule.
ELSEWHERE: Final = {
    "backlog_too_long",  # test_backlog_limit.py
    "restarting",  # test_drain.py
    "too_many_viewers",  # test_ops_page.py
    "scan_unconfirmed",  # tests/faults/test_unconfirmed_uploads.py
    "upload_too_slow",  # test_client_connections.py, as the next four
    "head_too_slow",
    "head_too_large",
    "http_malformed",
    "transfer_unsupported",  # test_framing.py
    "too_many_connections",
    "scan_cancelled",  # test_corrections.py, as the next
    "mend_invalid",
    "mends_not_queued",  # as scan_not_queued
}


def filled(template: Text, case: Case, tenant: str) -> dict[str, str]:
    """The text in both languages."""

    def parameter(value: str | tuple[str, str], at: int) -> str:
        return (value if isinstance(value, str) else value[at]).replace("{tenant}", f"/v1/tenants/{tenant}")

    return {
        language: template[at].format(**{name: parameter(value, at) for name, value in case.params.items()})
        for at, language in enumerate(("vi", "en"))
    }


@pytest.mark.parametrize("case", CASES, ids=[f"{case.code}-{at}" for at, case in enumerate(CASES)])
def test_a_problem_says_what_is_wrong_in_the_language_asked_for(apis: Apis, case: Case) -> None:
    kind = PROBLEMS[case.code]
    messages = filled(kind.detail, case, apis.tenant)
    asked_for: list[tuple[str, Asked]] = [("vi", {}), ("en", {"Accept-Language": "en-US, vi;q=0.3"})]
    for at, (language, asked) in enumerate(asked_for):
        answer = case.provoke(apis, asked)
        assert (answer.status_code, answer.headers["content-type"]) == (kind.status, "application/problem+json")
        assert (answer.headers["content-language"], answer.headers["vary"]) == (language, "Accept-Language")
        assert answer.json() == {
            "type": f"urn:scanline:problem:{case.code}",
            "title": kind.title[at],
            "status": kind.status,
            "detail": messages[language],
            "instance": answer.request.url.path,
            "code": case.code,
            "messages": messages,
            **case.extra,
        }
        assert {name: answer.headers.get(name) for name in case.headers} == dict(case.headers)
        assert SECRET not in answer.text


def test_every_problem_is_provoked_here() -> None:
    assert {case.code for case in CASES} | ELSEWHERE == set(PROBLEMS)
