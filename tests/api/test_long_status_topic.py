"""An API that starts reads the whole status topic: what it needs for that is bounded by what it keeps, not by the topic."""

import json
import random
import uuid

import httpx
import pytest
from api_client import Tenant
from confluent_kafka import Producer

from infra.stack import Stack
from tests.helpers import STATUS, peak_memory, wait_for

pytestmark = pytest.mark.long

MIB = 1024 * 1024
SCANS = 500
TOLD = 200  # times each
SIZE = 2_000  # bytes of each
BOUND = 130 * MIB  # an API that keeps nothing takes about 80


def publish_statuses(bootstrap: str, tenant: str) -> int:
    """Every scan's, one version after the other. Returns the bytes of all of them."""
    chance = random.Random(1)
    scans = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(SCANS)]
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 20})
    total = 0
    for version in range(1, TOLD + 1):
        for scan in scans:
            status = {
                "tenant_id": tenant,
                "scan_id": scan,
                "status": "processing" if version < TOLD else "completed",
                "version": version,
                "submitted_at": "2026-07-01T00:00:00Z",
                "source": chance.randbytes(SIZE // 2).hex(),
            }
            value = json.dumps(status).encode()
            total += len(value)
            producer.produce(STATUS, value, f"{tenant}/{scan}".encode())
            producer.poll(0)
    assert producer.flush(60) == 0
    return total


def test_starting_takes_little_more_than_what_is_kept(stack: Stack, tenant: str) -> None:
    assert publish_statuses(stack.kafka.bootstrap, tenant) > BOUND
    service = stack.start_api(wait=False)
    wait_for(service.is_ready, "the topic is read to its end")
    peak = peak_memory(service.pid)
    print(f"peak resident memory of the API: {peak / MIB:.0f} MiB")
    assert peak < BOUND
    with httpx.Client(base_url=service.base_url, timeout=60) as http:
        scans = Tenant(http, tenant).everything("/scans", "scans")
    assert len(scans) == SCANS
    assert {(scan["status"], scan["version"]) for scan in scans} == {("completed", TOLD)}
