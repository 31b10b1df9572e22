"""Clients that keep to no rule: slow, silent, without an end, too many. Each is told so, and none holds the API's memory."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import pytest
from sockets import Connection

from infra.processes.services import Service
from tests.helpers import Database, wait_for
from tests.load import metric
from tests.servers import Servers
from tests.submissions import FOUND_NOTHING, accepted, scans_of, submit, wait_until_taken
from trials import generator

MIB: Final = 1024 * 1024
STRICT: Final = {
    "SCANLINE_API_HEAD_SECONDS": "2",
    "SCANLINE_API_STREAM_SILENCE_SECONDS": "2",
    "SCANLINE_API_CONNECTIONS": "20",
}


@pytest.fixture(scope="module")
def strict(servers: Servers) -> Iterator[Service]:
    """An API with little patience."""
    service = servers.start_api(STRICT)
    yield service
    service.stop()


def growth(service: Service, work: Callable[[], Any]) -> float:
    """MiB by which the process grew, at its largest as seen before and after `work`."""
    process = psutil.Process(service.pid)
    before = process.memory_info().rss
    work()
    return (process.memory_info().rss - before) / MIB


def until_refused(connection: Connection, pieces: Iterator[bytes], pause: float = 0.0) -> None:
    """Sends until the server closes, or for ten minutes."""
    deadline = time.monotonic() + 600
    try:
        for piece in pieces:
            connection.send(piece)
            assert time.monotonic() < deadline, "the server never closed"
            time.sleep(pause)
    except OSError:
        return


def wait_until_received(connection: Connection) -> None:
    """The other side's kernel has taken all that was sent."""
    wait_for(lambda: connection.unsent == 0, "what was sent has been received")


def test_headers_that_never_end_have_a_time(strict: Service) -> None:
    with Connection(strict.base_url) as silent, Connection(strict.base_url) as slow:
        slow.send(b"GET /healthz HTTP/1.1\r\nHost: test\r\nX-Slow: ")
        for connection in (silent, slow):
            answer = connection.answer()
            assert (answer.status, answer.problem["code"]) == (408, "head_too_slow")
            assert answer.headers["connection"] == "close"


def test_a_second_request_on_a_kept_connection_has_the_same_time(strict: Service) -> None:
    with Connection(strict.base_url) as connection:
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n" + b"GET /healthz HTTP/1.1\r\nHo")
        first, second = connection.rest().split(b"HTTP/1.1 ")[1:]
        assert first.startswith(b"200") and second.startswith(b"408")


def test_headers_without_an_end_have_a_size(strict: Service) -> None:
    def flood() -> None:
        with Connection(strict.base_url) as connection:
            connection.send(b"GET /healthz HTTP/1.1\r\n")
            until_refused(connection, itertools.repeat(b"X-More: " + b"x" * 60_000 + b"\r\n", 5_000))

    assert growth(strict, flood) < 30


@pytest.mark.parametrize("head", [b"GET /" + b"a" * 70_000 + b" HTTP/1.1", b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000])
def test_a_head_that_is_too_large_is_reported(strict: Service, head: bytes) -> None:
    with Connection(strict.base_url) as connection:
        connection.send(head[:66_000])
        answer = connection.answer()
    assert (answer.status, answer.problem["code"]) == (431, "head_too_large")
    assert "65.536" in answer.problem["messages"]["vi"] and "65,536" in answer.problem["messages"]["en"]


def test_a_large_body_behind_small_headers_is_no_large_head(strict: Service, tenant: str) -> None:
    body = json.dumps({"records": [json.loads(line) for line in generator.records(300, 1, tenant)]}).encode()
    assert len(body) > 100_000
    with Connection(strict.base_url) as connection:
        head = (
            f"POST {scans_of(tenant)} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nConnection: close\r\n"
        )
        connection.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert connection.answer().status == 202


def test_a_head_whose_last_byte_comes_with_a_large_body_is_no_large_head(strict: Service, tenant: str) -> None:
    body = b"\n" * 100_000 + generator.records(1, 1, tenant)[0]
    with Connection(strict.base_url) as connection:
        head = (
            f"POST {scans_of(tenant)} HTTP/1.1\r\nHost: test\r\nContent-Type: application/x-ndjson\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        connection.send(head[:-1])
        wait_until_received(connection)
        connection.send(head[-1:] + body)
        assert connection.answer().status == 202


@pytest.mark.parametrize("begin", [b"5;extension=", b"5\r\n{}\n{}\r\n0\r\nX-Trailer: "], ids=["extension", "trailer"])
def test_what_lies_between_and_after_chunks_has_a_size(strict: Service, tenant: str, begin: bytes) -> None:
    def flood() -> None:
        with Connection(strict.base_url) as connection:
            connection.post(scans_of(tenant))
            connection.send(begin)
            until_refused(connection, itertools.repeat(b"x" * 60_000, 5_000))

    assert growth(strict, flood) < 30


def test_what_is_left_of_an_answered_body_has_a_time(strict: Service, tenant: str) -> None:
    with Connection(strict.base_url) as connection:
        connection.post(f"/v1/tenants/{tenant}/nowhere")
        assert connection.next_answer().status == 404
        until_refused(connection, itertools.repeat(b"1\r\n \r\n"), 0.05)


def test_a_connection_goes_on_after_an_answer_that_came_before_the_body_was_there(strict: Service, tenant: str) -> None:
    with Connection(strict.base_url) as connection:
        connection.post(f"/v1/tenants/{tenant}/nowhere")
        assert connection.next_answer().status == 404
        connection.send(b"1\r\n \r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
        assert connection.next_answer().status == 200


def test_what_is_no_http_is_reported(strict: Service) -> None:
    with Connection(strict.base_url) as connection:
        connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is no HTTP\r\n\r\n")
        answer = connection.answer()
    assert (answer.status, answer.problem["code"]) == (400, "http_malformed")


@pytest.mark.parametrize("pause", [None, 0.2])
def test_an_upload_that_stops_or_crawls_is_given_up_and_its_scan_ended(
    strict: Service, worker: Service, database: Database, tenant: str, pause: float | None
) -> None:
    with httpx.Client(base_url=strict.base_url, timeout=60) as http, Connection(strict.base_url) as upload:
        upload.post(scans_of(tenant))
        upload.chunk(generator.records(1, 1, tenant)[0] + b"\n")
        scan = wait_until_taken(http, tenant)
        if pause is not None:
            until_refused(upload, itertools.repeat(b"1\r\n \r\n"), pause)
        else:
            answer = upload.answer()
            assert (answer.status, answer.problem["code"]) == (408, "upload_too_slow")
            assert answer.headers["connection"] == "close"
    wait_for(lambda: (database.scan(tenant, scan) or {}).get("status") == "cancelled", "the scan is ended")
    assert (database.scan(tenant, scan) or {})["cancel_reason"] == "upload_aborted"


def test_an_upload_that_stops_before_its_first_record_leaves_no_scan(strict: Service, tenant: str) -> None:
    with httpx.Client(base_url=strict.base_url, timeout=60) as http, Connection(strict.base_url) as upload:
        upload.post(scans_of(tenant), Idempotency_Key="a")
        upload.chunk(generator.records(1, 1, tenant)[0][:100])
        answer = upload.answer()
        assert (answer.status, answer.problem["code"]) == (408, "upload_too_slow")
        assert "scan_id" not in answer.problem
        assert http.get(scans_of(tenant)).json()["scans"] == []


def test_a_json_body_that_stops_is_reported(strict: Service, tenant: str) -> None:
    with Connection(strict.base_url) as upload:
        upload.post(scans_of(tenant), "application/json", length=1_000)
        upload.send(b'{"records": [')
        assert upload.answer().problem["code"] == "upload_too_slow"


@pytest.mark.parametrize("action", ["", ":validate"])
def test_a_client_that_goes_away_is_no_error_of_ours(strict: Service, tenant: str, action: str) -> None:
    def ended() -> float:
        return metric(strict, "scanline_api_request_seconds_count", method="POST")

    before = ended()
    with Connection(strict.base_url) as going:
        going.post(scans_of(tenant) + action)
        going.chunk(generator.records(1, 1, tenant)[0] + b"\n")
    wait_for(lambda: ended() > before, "nobody is answered")
    assert "unexpected" not in Path(strict.log_file).read_text(encoding="utf-8")


def test_an_upload_that_is_slow_but_moves_is_taken(strict: Service, tenant: str) -> None:
    lines = generator.records(30, 2, tenant)

    def slowly() -> Iterator[bytes]:
        for line in lines:
            yield line + b"\n"
            time.sleep(0.15)

    headers = {"Content-Type": "application/x-ndjson"}
    answer = httpx.post(strict.base_url + scans_of(tenant), content=slowly(), headers=headers, timeout=60)
    assert accepted(answer)["records"] == 30


def test_connections_have_a_number(strict: Service, tenant: str) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Connection(strict.base_url))
        with httpx.Client(base_url=strict.base_url, timeout=60) as http:
            answer = submit(http, tenant, FOUND_NOTHING)
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_connections")
        assert answer.headers["retry-after"] and answer.headers["connection"] == "close"
    wait_for(strict.is_ready, "there is room again")
    with httpx.Client(base_url=strict.base_url, timeout=60) as http:
        assert accepted(submit(http, tenant, FOUND_NOTHING))["records"] == 0


def test_an_object_of_a_hundred_thousand_fields_costs_one_rejection(
    api: Service, http: httpx.Client, worker: Service, database: Database, tenant: str
) -> None:
    lines = generator.records(20, 3, tenant)
    wide = b"{" + b",".join(b'"f%d":1' % number for number in range(15_000)) + b"}"  # as wide as a record may be
    wider = b"{" + b",".join(b'"f%d":1' % number for number in range(100_000)) + b"}"
    deep = b'{"attributes":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    body = b"\n".join([*lines, wide, wider, deep, b'{"activity_key": "\xff"}'])
    grown = growth(api, lambda: accepted(submit(http, tenant, body, {"Content-Type": "application/x-ndjson"})))
    assert grown < 60
    rows = wait_for(lambda: database.rows("SELECT * FROM scans WHERE tenant_id = %s AND status LIKE %s", tenant, "compl%"),
                    "the scan ends")  # fmt: skip
    assert (rows[0]["records_stored"], rows[0]["records_rejected"]) == (20, 4)
