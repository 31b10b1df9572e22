"""Idempotency-Key: one key, one scan, counted once; whichever API process is asked, however often, whatever breaks off."""

import gzip
import json
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import pytest
import zstandard

from infra.processes.services import Service
from tests.helpers import Database, StatusTopic, assert_accounted, assert_told, wait_for
from tests.servers import Servers
from tests.submissions import (
    FOUND_NOTHING,
    JSON,
    NDJSON,
    HeldUpload,
    accepted,
    odd_pieces,
    scans_of,
    submit,
    wait_until_taken,
)
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
KEY: Final = "scan-2026-11"


@pytest.fixture(autouse=True)
def told_at_the_end(database: Database, statuses: StatusTopic, tenant: str) -> Iterator[None]:
    yield
    assert_told(database, statuses, [tenant])


@pytest.fixture(scope="module")
def second_api(servers: Servers) -> Iterator[Service]:
    service = servers.start_api()
    yield service
    service.stop()


@pytest.fixture
def second(second_api: Service) -> Iterator[httpx.Client]:
    """A client of another API process on the same servers."""
    with httpx.Client(base_url=second_api.base_url, timeout=60) as client:
        yield client


def replayed(answer: httpx.Response) -> dict[str, Any]:
    """The body of a 202 for what was taken before."""
    assert answer.headers.get("idempotency-replayed") == "true"
    body = accepted(answer)
    assert body["replayed"] is True
    return body


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["code"], answer.json()["scan_id"]


def after_all_else(http: httpx.Client, database: Database, tenant: str) -> None:
    """Whatever was published for the tenant before has been written: one partition, in order."""
    database.finished(tenant, accepted(submit(http, tenant, FOUND_NOTHING))["scan_id"])


def assert_counted_once(database: Database, tenant: str, scan: str, count: int) -> None:
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_total"], row["records_stored"]) == ("completed", count, count)
    assert (row["records_duplicate"], row["records_rejected"]) == (0, 0)
    assert_accounted(database, tenant, scan)


def test_the_same_again_after_the_end_is_the_same_scan_and_changes_nothing(
    http: httpx.Client, second: httpx.Client, database: Database, tenant: str
) -> None:
    body = generator.body(generator.records(1_300, 1, tenant))
    first = submit(http, tenant, body, idempotency_key=KEY)
    assert "idempotency-replayed" not in first.headers
    scan = accepted(first)["scan_id"]
    before = database.finished(tenant, scan)
    packed = [(gzip.compress(body), "gzip"), (zstandard.compress(body), "zstd"), (body, "identity")]
    for client in (http, second):
        for sent, coding in packed:
            again = replayed(submit(client, tenant, sent, idempotency_key=f'"{KEY}"', content_encoding=coding))
            assert (again["scan_id"], again["records"], again["status"]) == (scan, 1_300, "completed")
        waited = submit(client, tenant, body, idempotency_key=KEY, prefer="wait=5")
        assert (waited.status_code, waited.json()["scan_id"]) == (200, scan)
    after_all_else(http, database, tenant)
    assert database.scan(tenant, scan) == before
    assert_counted_once(database, tenant, scan, 1_300)


def test_the_same_again_while_it_runs_is_the_same_scan(
    http: httpx.Client, second: httpx.Client, database: Database, tenant: str, worker: Service
) -> None:
    body = generator.body(generator.records(2_100, 2, tenant))
    worker.signal(signal.SIGSTOP)
    try:
        answers = [submit(client, tenant, body, idempotency_key=KEY) for client in (http, http, second, second, http)]
    finally:
        worker.signal(signal.SIGCONT)
    scans = {accepted(answer)["scan_id"] for answer in answers}
    assert len(scans) == 1
    after_all_else(http, database, tenant)
    assert_counted_once(database, tenant, scans.pop(), 2_100)


def test_another_body_is_refused_and_changes_nothing(
    http: httpx.Client, second: httpx.Client, database: Database, tenant: str, worker: Service
) -> None:
    lines = generator.records(12, 3, tenant)
    others = [generator.body(lines[:11]), generator.body(lines, "another source"), generator.ndjson(lines)]

    def all_refused(scan: str) -> None:
        for client in (http, second):
            for body, kind in zip(others, (JSON, JSON, NDJSON), strict=True):
                answer = submit(client, tenant, body, kind, idempotency_key=KEY)
                assert refused(answer) == (422, "idempotency_key_reused", scan)

    worker.signal(signal.SIGSTOP)
    try:
        scan = accepted(submit(http, tenant, generator.body(lines), idempotency_key=KEY))["scan_id"]
        all_refused(scan)
    finally:
        worker.signal(signal.SIGCONT)
    assert_counted_once(database, tenant, scan, 12)
    all_refused(scan)
    after_all_else(http, database, tenant)
    assert_counted_once(database, tenant, scan, 12)
    assert len(http.get(scans_of(tenant)).json()["scans"]) == 2


def test_while_the_first_is_still_arriving_others_are_asked_to_wait(
    api: Service, http: httpx.Client, second: httpx.Client, database: Database, tenant: str
) -> None:
    lines = generator.records(1_500, 4, tenant)
    stream = generator.ndjson(lines)
    half = len(stream) // 2
    with HeldUpload(api.base_url, tenant, stream[:half], {"Idempotency-Key": KEY}) as first:
        scan = wait_until_taken(http, tenant)
        for client in (http, second):
            for body in (stream, b"{}\n"):  # the same or not cannot be told yet
                answer = submit(client, tenant, body, NDJSON, idempotency_key=KEY)
                assert refused(answer) == (409, "submission_in_progress", scan)
                assert int(answer.headers["retry-after"]) > 0
        told = accepted(first.finish(stream[half:]))
    assert (told["scan_id"], told["records"]) == (scan, 1_500)
    assert_counted_once(database, tenant, scan, 1_500)
    for client in (http, second):
        again = replayed(submit(client, tenant, odd_pieces(stream), NDJSON, idempotency_key=KEY))
        assert (again["scan_id"], again["records"]) == (scan, 1_500)
        answer = submit(client, tenant, stream + b"{}\n", NDJSON, idempotency_key=KEY)
        assert refused(answer) == (422, "idempotency_key_reused", scan)
    after_all_else(http, database, tenant)
    assert_counted_once(database, tenant, scan, 1_500)


def test_whoever_asks_in_another_language_asks_for_the_same_scan(
    http: httpx.Client, database: Database, tenant: str
) -> None:
    lines = generator.records(3, 5, tenant)
    for kind, body in ((JSON, generator.body(lines)), (NDJSON, generator.ndjson(lines))):
        key = kind["Content-Type"]
        first = accepted(submit(http, tenant, body, kind, idempotency_key=key, accept_language="en"))
        again = replayed(submit(http, tenant, body, kind, idempotency_key=key, accept_language="vi"))
        assert again["scan_id"] == first["scan_id"]
        assert database.finished(tenant, first["scan_id"])["language"] == "en"


def test_keys_of_different_tenants_do_not_clash(http: httpx.Client, database: Database, tenant: str) -> None:
    lines = generator.records(8, 6)
    other = f"{tenant}-b"
    mine = accepted(submit(http, tenant, generator.body(lines), idempotency_key=KEY))
    theirs = accepted(submit(http, other, generator.body(lines[:5]), idempotency_key=KEY))
    assert mine["scan_id"] != theirs["scan_id"]
    assert (mine["replayed"], theirs["replayed"]) == (False, False)
    assert_counted_once(database, tenant, mine["scan_id"], 8)
    assert_counted_once(database, other, theirs["scan_id"], 5)


def test_without_a_key_the_same_body_is_another_scan(http: httpx.Client, database: Database, tenant: str) -> None:
    body = generator.body(generator.records(4, 7, tenant))
    scans = {accepted(submit(http, tenant, body))["scan_id"] for _ in range(2)}
    assert len(scans) == 2
    for scan in scans:
        assert_counted_once(database, tenant, scan, 4)


def at_once(apis: list[Service], tenant: str, bodies: list[bytes], kind: dict[str, str]) -> list[httpx.Response]:
    """All bodies under one key in the same moment, by turns to each API."""

    def send(at: int) -> httpx.Response:
        with httpx.Client(base_url=apis[at % len(apis)].base_url, timeout=60) as client:
            return submit(client, tenant, bodies[at], kind, idempotency_key=KEY)

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(send, range(len(bodies))))


@pytest.mark.parametrize("kind", [JSON, NDJSON], ids=["json", "ndjson"])
def test_many_at_once_to_two_processes_are_one_scan(
    api: Service, second_api: Service, http: httpx.Client, database: Database, tenant: str, kind: dict[str, str]
) -> None:
    lines = generator.records(1_100, 8, tenant)
    body = generator.body(lines) if kind is JSON else generator.ndjson(lines)
    answers = at_once([api, second_api], tenant, [body] * 12, kind)
    codes = Counter(answer.status_code for answer in answers)
    assert codes[202] >= 1 and set(codes) <= {202, 409}, codes
    scans = {answer.json()["scan_id"] for answer in answers}
    assert len(scans) == 1
    after_all_else(http, database, tenant)
    assert_counted_once(database, tenant, scans.pop(), 1_100)


@pytest.mark.parametrize("kind", [JSON, NDJSON], ids=["json", "ndjson"])
def test_of_different_bodies_at_once_one_wins(
    api: Service, second_api: Service, http: httpx.Client, database: Database, tenant: str, kind: dict[str, str]
) -> None:
    write = generator.body if kind is JSON else generator.ndjson
    scans_lines = [generator.records(200, seed, tenant) for seed in range(10, 18)]
    answers = at_once([api, second_api], tenant, [write(lines) for lines in scans_lines], kind)
    winners = [at for at, answer in enumerate(answers) if answer.status_code == 202]
    assert len(winners) == 1, Counter(answer.status_code for answer in answers)
    scan = answers[winners[0]].json()["scan_id"]
    losers = [refused(answer) for at, answer in enumerate(answers) if at != winners[0]]
    assert set(losers) <= {(409, "submission_in_progress", scan), (422, "idempotency_key_reused", scan)}
    after_all_else(http, database, tenant)
    assert_counted_once(database, tenant, scan, 200)
    assert database.keys(tenant, scan) == sorted(
        each["activity_key"] for each in map(json.loads, scans_lines[winners[0]])
    )


def test_a_key_whose_upload_broke_off_may_be_used_again(
    api: Service, http: httpx.Client, second: httpx.Client, database: Database, tenant: str
) -> None:
    stream = generator.ndjson(generator.records(2_500, 20, tenant))
    with HeldUpload(api.base_url, tenant, stream[: len(stream) // 2], {"Idempotency-Key": KEY}) as broken:
        scan = wait_until_taken(http, tenant)
        broken.break_off()
    row = database.finished(tenant, scan)
    assert (row["status"], row["cancel_reason"]) == ("cancelled", "upload_aborted")
    wait_for(lambda: second.get(f"{scans_of(tenant)}/{scan}").json()["status"] == "cancelled", "both know")
    whole = accepted(submit(second, tenant, stream, NDJSON, idempotency_key=KEY))
    assert (whole["scan_id"] != scan, whole["replayed"]) == (True, False)
    assert_counted_once(database, tenant, whole["scan_id"], 2_500)
    assert replayed(submit(http, tenant, stream, NDJSON, idempotency_key=KEY))["scan_id"] == whole["scan_id"]


def test_an_upload_whose_process_died_is_taken_up_again(
    servers: Servers, http: httpx.Client, database: Database, tenant: str
) -> None:
    stream = generator.ndjson(generator.records(2_500, 21, tenant))
    dying, taker = servers.start_api(wait=False), servers.start_api({"SCANLINE_API_UPLOAD_LEASE_SECONDS": "2"})
    dying.wait_until_ready()
    with HeldUpload(dying.base_url, tenant, stream[: len(stream) * 3 // 4], {"Idempotency-Key": KEY}):
        scan = wait_until_taken(http, tenant)
        wait_for(lambda: len(database.keys(tenant, scan)) == 1_000, "what came is stored")
        dying.kill()
    with httpx.Client(base_url=taker.base_url, timeout=60) as client:

        def taken() -> httpx.Response | None:
            answer = submit(client, tenant, stream, NDJSON, idempotency_key=KEY)
            return answer if answer.status_code != 409 else None

        assert accepted(wait_for(taken, "the lease ends"))["scan_id"] == scan
    assert_counted_once(database, tenant, scan, 2_500)
    taker.stop()
