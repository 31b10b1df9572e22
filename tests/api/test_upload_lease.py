"""Who holds an Idempotency-Key while its upload lives, is frozen, or dead: one holder at a time, and what it does counts once."""

import json
import signal
import time
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from confluent_kafka import Producer

from infra.processes.services import Service
from tests.helpers import STATUS, Database, StatusTopic, assert_accounted, assert_told, wait_for
from tests.servers import Servers
from tests.submissions import FOUND_NOTHING, NDJSON, HeldUpload, accepted, scans_of, submit, wait_until_taken
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
KEY: Final = {"Idempotency-Key": "scan-2026-12"}
LEASE: Final = 4.0
SHORT: Final = {
    "SCANLINE_API_UPLOAD_LEASE_SECONDS": str(LEASE),
    "SCANLINE_API_DELIVERY_SECONDS": "1.5",
    "SCANLINE_API_DRAIN_SECONDS": "0",
}


@pytest.fixture(scope="module")
def holder(servers: Servers) -> Iterator[Service]:
    service = servers.start_api(SHORT)
    yield service
    service.signal(signal.SIGCONT)
    service.stop()


@pytest.fixture(scope="module")
def taker(servers: Servers) -> Iterator[Service]:
    service = servers.start_api(SHORT)
    yield service
    service.stop()


@pytest.fixture
def other(taker: Service) -> Iterator[httpx.Client]:
    """A client of the process that does not have the upload."""
    with httpx.Client(base_url=taker.base_url, timeout=60) as client:
        yield client


def again(client: httpx.Client, tenant: str, stream: bytes) -> httpx.Response:
    return submit(client, tenant, stream, {**NDJSON, **KEY})


def taken_up(client: httpx.Client, tenant: str, stream: bytes) -> httpx.Response:
    """The first answer that is no 409."""

    def ask() -> httpx.Response | None:
        answer = again(client, tenant, stream)
        return answer if answer.status_code != 409 else None

    return wait_for(ask, "the lease ends")


def assert_one_scan_stored_once(
    client: httpx.Client, database: Database, statuses: StatusTopic, tenant: str, scan: str, count: int
) -> None:
    """Whatever was published for the tenant before counts once."""
    database.finished(tenant, accepted(submit(client, tenant, FOUND_NOTHING))["scan_id"])  # one partition, in order
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_total"], row["records_stored"]) == ("completed", count, count)
    assert (row["records_duplicate"], row["records_rejected"]) == (0, 0)
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])
    assert len(client.get(scans_of(tenant)).json()["scans"]) == 2


def test_an_upload_whose_client_is_silent_keeps_its_key(
    holder: Service, other: httpx.Client, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    stream = generator.ndjson(generator.records(1_500, 1, tenant))
    half = len(stream) // 2
    with HeldUpload(holder.base_url, tenant, stream[:half], KEY) as first:
        scan = wait_until_taken(other, tenant)
        until = time.monotonic() + 3 * LEASE
        while time.monotonic() < until:
            answer = again(other, tenant, stream)
            assert (answer.status_code, answer.json()["scan_id"]) == (409, scan), answer.text
        told = accepted(first.finish(stream[half:]))
    assert told["scan_id"] == scan
    assert_one_scan_stored_once(other, database, statuses, tenant, scan, 1_500)


def test_what_the_worker_publishes_does_not_keep_a_dead_upload_alive(
    servers: Servers, other: httpx.Client, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    """A worker tells a scan again whenever it gets a partition, and once a minute: the key would never be free."""
    stream = generator.ndjson(generator.records(2_500, 2, tenant))
    dying = servers.start_api(SHORT)
    with HeldUpload(dying.base_url, tenant, stream[: len(stream) * 3 // 4], KEY):
        scan = wait_until_taken(other, tenant)
        wait_for(lambda: len(database.keys(tenant, scan)) == 1_000, "what came is stored")
        dying.kill()
    producer = Producer({"bootstrap.servers": servers.bootstrap, "partitioner": "murmur2_random"})

    def ask_while_the_scan_is_told() -> httpx.Response | None:
        name = f"{tenant}/{scan}"
        producer.produce(STATUS, json.dumps(statuses.read()[name]).encode(), name.encode())
        assert producer.flush(30) == 0
        answer = again(other, tenant, stream)
        return answer if answer.status_code != 409 else None

    assert accepted(wait_for(ask_while_the_scan_is_told, "the lease ends"))["scan_id"] == scan
    assert_one_scan_stored_once(other, database, statuses, tenant, scan, 2_500)


@pytest.mark.parametrize("ending", ["goes on", "breaks off"])
def test_a_frozen_upload_that_wakes_up_harms_nobody_who_has_taken_its_scan_up(
    holder: Service, other: httpx.Client, database: Database, statuses: StatusTopic, tenant: str, ending: str
) -> None:
    stream = generator.ndjson(generator.records(3_500, 3, tenant))
    half = len(stream) // 2
    with HeldUpload(holder.base_url, tenant, stream[:half], KEY) as first:
        scan = wait_until_taken(other, tenant)
        wait_for(lambda: len(database.keys(tenant, scan)) == 1_000, "what came is stored")
        holder.signal(signal.SIGSTOP)
        try:
            if ending == "breaks off":
                first.break_off()
            assert accepted(taken_up(other, tenant, stream))["scan_id"] == scan
        finally:
            holder.signal(signal.SIGCONT)
        if ending == "goes on":
            answer = first.finish(stream[half:])
            assert (answer.status_code, answer.json()["code"]) == (409, "submission_in_progress")
    with httpx.Client(base_url=holder.base_url, timeout=60) as client:
        replay = wait_for(lambda: (found := again(client, tenant, stream)).status_code == 202 and found, "it knows")
        assert (replay.json()["scan_id"], replay.json()["replayed"]) == (scan, True)
    assert_one_scan_stored_once(other, database, statuses, tenant, scan, 3_500)


def test_a_frozen_upload_that_nobody_has_taken_up_ends_as_if_nothing_had_been(
    holder: Service, other: httpx.Client, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    stream = generator.ndjson(generator.records(3_500, 4, tenant))
    half = len(stream) // 2
    with HeldUpload(holder.base_url, tenant, stream[:half], KEY) as first:
        scan = wait_until_taken(other, tenant)
        holder.signal(signal.SIGSTOP)
        frozen = time.monotonic()
        wait_for(lambda: time.monotonic() > frozen + 1.5 * LEASE, "the lease ends, and nobody takes it")
        holder.signal(signal.SIGCONT)
        told = accepted(first.finish(stream[half:]))
    assert told["scan_id"] == scan
    assert_one_scan_stored_once(other, database, statuses, tenant, scan, 3_500)
