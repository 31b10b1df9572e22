"""The end of a scan reaches Kafka, and its confirmation does not come back: sent again under its key, it is the same scan."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.helpers import RECORDS, Database, StatusTopic, assert_accounted, assert_told, headers_of, wait_for
from tests.submissions import JSON, NDJSON, accepted, submit
from trials import generator
from trials.chaos.rig import Rig
from trials.load.load import ends_of

pytestmark = pytest.mark.long

LATENCY_MS = 600  # between Kafka's taking the end and the API's hearing of it: the time to stop the answer
TRIES = 6
API_ENV = {
    "SCANLINE_API_DELIVERY_SECONDS": "4",
    "SCANLINE_API_PUBLISH_DEADLINE_SECONDS": "5",
    "SCANLINE_API_UPLOAD_LEASE_SECONDS": "8",
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("rig"), partitions=2, api_env=API_ENV) as running:
        running.start_servers()
        running.start_api()
        running.start_worker()
        yield running


@pytest.fixture
def http(rig: Rig) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=rig.api_urls[0], timeout=60) as client:
        yield client


def watcher(rig: Rig) -> Consumer:
    """Reads, past the link, what comes into the records topic from now on."""
    consumer = Consumer({"bootstrap.servers": rig.admin_bootstrap, "group.id": "not-used", "log_level": 0})
    ends = ends_of(rig.admin_bootstrap)[RECORDS]
    consumer.assign([TopicPartition(RECORDS, partition, offset) for partition, offset in ends.items()])
    consumer.poll(1.0)
    return consumer


def stall_when_closed(rig: Rig, consumer: Consumer) -> None:
    """The link stands still from the moment that Kafka has a closing message."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        message = consumer.poll(0.02)
        if message is not None and headers_of(message).get("ce_type") == b"vn.scanline.scan.closed.v1":
            os.kill(
                rig.links["api-kafka"].pid or 0, signal.SIGSTOP
            )  # not stall(): that would let the slow answers go first
            return


def send_and_lose_the_answer(rig: Rig, http: httpx.Client, tenant: str, body: bytes, headers: Mapping[str, str]) -> str:
    """Returns the key under which Kafka has all of the scan and the API says that it does not know."""
    link = rig.links["api-kafka"]
    for number in range(TRIES):
        key = f"unconfirmed-{number}"
        consumer = watcher(rig)
        watching = threading.Thread(target=stall_when_closed, args=(rig, consumer), daemon=True)
        link.slow(LATENCY_MS, ways=["downstream"])
        watching.start()
        answer = submit(http, tenant, body, headers, idempotency_key=key)
        watching.join()
        os.kill(link.pid or 0, signal.SIGCONT)
        link.heal()
        consumer.close()
        if answer.status_code == 503:
            assert answer.json()["code"] == "scan_unconfirmed", answer.text
            assert {"vi", "en"} == set(answer.json()["messages"])
            return key
        accepted(answer)  # the confirmation was quicker than the stall: once more
    raise AssertionError(f"the confirmation came {TRIES} times in time: nothing was shown")


@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_the_same_key_is_the_same_scan(rig: Rig, http: httpx.Client, tenant: str, kind: str) -> None:
    lines = generator.records(2_500, 5, tenant)
    body, headers = (generator.body(lines), JSON) if kind == "json" else (generator.ndjson(lines), NDJSON)
    key = send_and_lose_the_answer(rig, http, tenant, body, headers)

    def taken() -> httpx.Response | None:
        answer = submit(http, tenant, body, headers, idempotency_key=key)
        assert answer.status_code in (202, 409, 503), answer.text
        return answer if answer.status_code == 202 else None

    scan = accepted(wait_for(taken, "the same key is taken"))["scan_id"]
    with Database(rig.admin_dsn) as database, StatusTopic(rig.admin_bootstrap) as statuses:
        row = database.finished(tenant, scan)
        assert (row["status"], row["records_stored"], row["records_duplicate"]) == ("completed", 2_500, 0)
        assert_accounted(database, tenant, scan)
        assert_told(database, statuses, [tenant])
        keys = [f"unconfirmed-{number}" for number in range(TRIES)]
        scans = database.rows("SELECT scan_id::text FROM scans WHERE tenant_id = %s", tenant)
        assert len(scans) == keys.index(key) + 1, "one scan for each key"
