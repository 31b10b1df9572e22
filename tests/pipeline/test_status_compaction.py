"""The status topic after the broker has compacted it: an API that starts then answers as one that saw everything."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import ResourceType

from infra.stack import Stack
from tests.broker_settings import COMPACTED, configure
from tests.helpers import PATIENCE, STATUS, Database, Publisher, wait_for
from tests.load import LONG
from tests.stock_servers import copied_stack
from tests.submissions import NDJSON, HeldUpload, accepted, scans_of, submit, wait_until_taken
from trials import generator

TENANT: Final = "nen-lai"
LOUD: Final = "on-ao"
PATIENT: Final = {"SCANLINE_API_UPLOAD_LEASE_SECONDS": "600", "SCANLINE_API_STREAM_SILENCE_SECONDS": "300"}


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory, stock_dir: Path) -> Iterator[Stack]:
    with copied_stack(tmp_path_factory.mktemp("statuses"), stock_dir, partitions=1) as stack:
        configure(stack.kafka.bootstrap, ResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "100"})
        configure(stack.kafka.bootstrap, ResourceType.TOPIC, STATUS, COMPACTED | {"delete.retention.ms": "0"})
        stack.start_worker()
        yield stack


def left(own: Stack) -> list[tuple[str, bool]]:
    """What a stranger can still read: each message's key, and whether it is a tombstone."""
    settings = {"bootstrap.servers": own.kafka.bootstrap, "group.id": "not-used", "enable.partition.eof": True}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(STATUS, 0, 0)])
    found: list[tuple[str, bool]] = []
    try:
        while (message := consumer.poll(30)) is not None and message.error() is None:
            found.append(((message.key() or b"").decode(), message.value() is None))
        assert message is not None  # the partition's end
    finally:
        consumer.close()
    return found


def is_compacted(own: Stack, scans: list[str], gone: str, upload: HeldUpload) -> bool:
    """Of each of these scans one status is left, and of the one that was removed not even the tombstone. New segments are
    begun by statuses of somebody else. The upload goes on, with empty lines."""
    upload.send(b"\n")
    with Publisher(own.kafka.bootstrap) as publisher:
        publisher.scan(LOUD, generator.records(2))
    time.sleep(0.2)  # longer than segment.ms
    found = left(own)
    return (gone, True) not in found and all(found.count((scan, False)) == 1 for scan in scans)


def remove(own: Stack, key: str) -> None:
    producer = Producer({"bootstrap.servers": own.kafka.bootstrap, "partitioner": "murmur2_random"})
    producer.produce(STATUS, None, key.encode())
    assert not producer.flush(PATIENCE)


def told(http: httpx.Client) -> dict[str, Any]:
    """The tenant's scans, by id."""
    return {each["scan_id"]: each for each in http.get(scans_of(TENANT)).json()["scans"]}


def test_an_api_that_starts_after_compaction_answers_the_same(own: Stack) -> None:
    body, other = generator.body(generator.records(1_500, 1)), generator.body(generator.records(3, 2))
    lines = generator.records(2_500, 3)
    stream = generator.ndjson(lines)
    with httpx.Client(base_url=own.start_api(PATIENT).base_url, timeout=60) as http:
        whole = accepted(submit(http, TENANT, body, idempotency_key="json"))["scan_id"]
        streamed = accepted(submit(http, TENANT, stream, NDJSON, idempotency_key="stream"))["scan_id"]
        removed = accepted(submit(http, TENANT, other))["scan_id"]
        with Database(own.postgres.superuser_dsn()) as database:
            for scan in (whole, streamed, removed):
                database.finished(TENANT, scan)
        wait_for(lambda: len(told(http)) == 3 and all(each["finished_at"] for each in told(http).values()), "all told")
        remove(own, f"{TENANT}/{removed}")
        wait_for(lambda: set(told(http)) == {whole, streamed}, "a tombstone is heeded")
        with HeldUpload(
            str(http.base_url), "dang-gui", generator.ndjson(lines[:-1]), {"Idempotency-Key": "held"}
        ) as upload:
            held = wait_until_taken(http, "dang-gui")
            kept = [f"{TENANT}/{whole}", f"{TENANT}/{streamed}", f"dang-gui/{held}"]
            wait_for(lambda: is_compacted(own, kept, f"{TENANT}/{removed}", upload), "it is compacted", LONG)
            with httpx.Client(base_url=own.start_api(PATIENT).base_url, timeout=60) as fresh:
                assert told(fresh) == told(http)
                assert fresh.get(f"{scans_of(TENANT)}/{removed}").status_code == 404
                again = accepted(submit(fresh, TENANT, body, idempotency_key="json"))
                assert (again["scan_id"], again["replayed"]) == (whole, True)
                again = accepted(submit(fresh, TENANT, stream, NDJSON, idempotency_key="stream"))
                assert (again["scan_id"], again["replayed"]) == (streamed, True)
                assert submit(fresh, TENANT, other, idempotency_key="json").status_code == 422
                # whose upload it is was said by the first status, which is gone
                busy = submit(fresh, "dang-gui", stream, NDJSON, idempotency_key="held")
                assert (busy.status_code, busy.json()["code"]) == (409, "submission_in_progress")
                upload.finish(lines[-1])
                wait_for(
                    lambda: fresh.get(f"{scans_of('dang-gui')}/{held}").json()["records_stored"] == 2_500,
                    "the upload goes on",
                )
                assert json.loads(fresh.get(f"{scans_of('dang-gui')}/{held}").text)["status"] == "completed"
