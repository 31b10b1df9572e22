"""Clocks of the worker and of the API jump by an hour while they work: nothing is lost, no lease is broken or lasts, and times
keep their order."""

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from confluent_kafka import Producer

from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import PATIENCE, STATUS, Database, Publisher, StatusTopic, assert_told, changed, wait_for
from tests.load import LONG, Load, Scan, assert_exactly, keys_of, wait_for_messages, worker_log
from tests.submissions import NDJSON, HeldUpload, accepted, scans_of, submit, wait_until_taken
from trials import generator
from trials.chaos.clocks import Clock, can_jump

pytestmark = pytest.mark.skipif(not can_jump(), reason="a clock of one's own takes a C compiler")
HOUR: Final = 3_600
LEASE: Final = {"SCANLINE_API_UPLOAD_LEASE_SECONDS": "2"}
KEY: Final = "khoa-1"


@pytest.fixture
def worker_clock(stack: Stack) -> Clock:
    return Clock(stack.data_dir / "worker-clock")


@pytest.fixture
def api_clock(stack: Stack) -> Clock:
    return Clock(stack.data_dir / "api-clock")


@pytest.fixture
def http(stack: Stack, api_clock: Clock) -> Iterator[httpx.Client]:
    """Of an API whose clock can jump."""
    with httpx.Client(base_url=stack.start_api(api_clock.env).base_url, timeout=60) as client:
        yield client


def stored_with_result(http: httpx.Client, tenant: str, number: int) -> tuple[Scan, list[str]]:
    """A scan over HTTP that is waited for, with what comes back."""
    lines = generator.records(300, number, tenant)
    answer = submit(http, tenant, generator.body(lines), prefer="wait=30", idempotency_key=f"{KEY}-{number}")
    assert (answer.status_code, answer.json()["records_stored"]) == (200, 300), answer.text
    return (tenant, answer.json()["scan_id"]), keys_of(lines)


@pytest.mark.long
def test_the_clocks_of_both_jump_while_records_arrive(
    stack: Stack, http: httpx.Client, worker_clock: Clock, api_clock: Clock
) -> None:
    worker = stack.start_worker(worker_clock.env)
    over_http: dict[Scan, list[str]] = {}
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
        for number, (one, other) in enumerate([(HOUR, HOUR), (-HOUR, HOUR), (HOUR, -HOUR), (-HOUR, -HOUR), (0, 0)]):
            worker_clock.jump(one)
            api_clock.jump(other)
            over_http |= [stored_with_result(http, "clocks", number)]
            wait_for_messages(database, 120)
        odd = "SELECT * FROM scans WHERE NOT submitted_at <= started_at OR NOT started_at <= finished_at"
        assert database.rows(odd) == []
        # by PostgreSQL's clock, not by the worker's
        far = "SELECT * FROM scans WHERE abs(extract(epoch FROM finished_at - updated_at)) > 1800"
        assert database.rows(far) == []
    assert_exactly(stack, load.published | over_http)
    assert worker.returncode is None and "has stood still" not in worker_log(worker)


@pytest.mark.long
@pytest.mark.parametrize("hours", [-1, 1])
def test_what_was_found_now_is_not_in_the_future(stack: Stack, worker_clock: Clock, hours: int) -> None:
    """Judged by the broker's stamp, by a worker that is an hour behind and by one that is an hour ahead."""
    worker_clock.jump(hours * HOUR)
    stack.start_worker(worker_clock.env)
    with Database(stack.postgres.superuser_dsn()) as database, Publisher(stack.kafka.bootstrap) as publisher:
        now, soon = database.rows("SELECT now() AS now, now() + interval '30 minutes' AS soon")[0].values()
        line, early = generator.records(2)
        lines = [changed(line, discovered_at=now.isoformat()), changed(early, discovered_at=soon.isoformat())]
        scan = publisher.scan("tenant", lines)
        publisher.flush()
        row = database.finished("tenant", scan)
        assert (row["records_stored"], row["records_rejected"]) == (1, 1)
        assert [each["code"] for each in database.rejected("tenant", scan)] == ["datetime_future"]


def told_wrongly(bootstrap: str, tenant: str, scan: str, status: dict[str, Any]) -> None:
    """As if the last worker had died before it could tell."""
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    producer.produce(STATUS, json.dumps(status).encode(), f"{tenant}/{scan}".encode())
    assert not producer.flush(PATIENCE)


@pytest.mark.long
@pytest.mark.parametrize("hours", [-1, 1])
def test_what_changed_of_late_is_published_again(stack: Stack, worker_clock: Clock, hours: int) -> None:
    """Five minutes ago: long before the partition's last change, and by no clock but PostgreSQL's."""
    first = stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        with Publisher(stack.kafka.bootstrap) as publisher:
            scans = [publisher.scan("tenant", generator.records(20, number)) for number in range(2)]
        for scan in scans:
            database.finished("tenant", scan)
        assert_told(database, statuses, ["tenant"])
        assert first.stop(30) == 0
        database.rows("UPDATE scans SET updated_at = updated_at - interval '5 minutes' WHERE scan_id = %s", scans[0])
        told = statuses.read()[f"tenant/{scans[0]}"]
        told_wrongly(stack.kafka.bootstrap, "tenant", scans[0], told | {"status": "processing", "version": 1})
        worker_clock.jump(hours * HOUR)
        stack.start_worker(worker_clock.env)
        assert_told(database, statuses, ["tenant"], LONG)


def other_api(stack: Stack, clock: Clock) -> Service:
    return stack.start_api({**clock.env, **LEASE})


def test_a_lease_does_not_end_because_a_clock_is_ahead(stack: Stack, http: httpx.Client, api_clock: Clock) -> None:
    """An upload is still arriving at one API; another one, an hour ahead, must not take it up beside it."""
    stream = generator.ndjson(generator.records(2_500, 3, "tenant"))
    ahead = Clock(stack.data_dir / "ahead")
    ahead.jump(HOUR)
    other = stack.start_api(ahead.env)
    with httpx.Client(base_url=other.base_url, timeout=60) as client:
        with HeldUpload(str(http.base_url), "tenant", stream[:-100], {"Idempotency-Key": KEY}) as upload:
            scan = wait_until_taken(http, "tenant")
            wait_for(lambda: client.get(f"{scans_of('tenant')}/{scan}").status_code == 200, "both know of it")
            answer = submit(client, "tenant", stream, NDJSON, idempotency_key=KEY)
            assert (answer.status_code, answer.json()["code"]) == (409, "submission_in_progress")
            upload.finish(stream[-100:])
    stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database:
        row = database.finished("tenant", scan, LONG)
        assert (row["status"], row["records_stored"]) == ("completed", 2_500)


@pytest.mark.long
def test_a_lease_ends_although_the_clock_was_set_back(stack: Stack, api_clock: Clock) -> None:
    """The API that took the upload is dead; the one that is asked again has lost an hour."""
    stream = generator.ndjson(generator.records(2_500, 4, "tenant"))
    dying, taker = stack.start_api(), other_api(stack, api_clock)
    with httpx.Client(base_url=taker.base_url, timeout=60) as client:
        with HeldUpload(dying.base_url, "tenant", stream[:-100], {"Idempotency-Key": KEY}):
            scan = wait_until_taken(client, "tenant")
            api_clock.jump(-HOUR)
            dying.kill()
        answer = wait_for(
            lambda: (got := submit(client, "tenant", stream, NDJSON, idempotency_key=KEY)).status_code != 409 and got,
            "the lease ends",
        )
        assert accepted(answer)["scan_id"] == scan
    stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database:
        row = database.finished("tenant", scan, LONG)
        assert (row["status"], row["records_stored"]) == ("completed", 2_500)
