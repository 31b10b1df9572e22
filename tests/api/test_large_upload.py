"""A scan of a million records in one request: all of it reaches Kafka and the database, and neither the API nor the worker takes
much memory for it."""

import json
import re
import zlib
from collections.abc import Iterator
from typing import Final

import httpx
import msgspec
import pytest
from api_client import Tenant
from confluent_kafka import Consumer, TopicPartition

from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import RECORDS, headers_of, peak_memory

pytestmark = pytest.mark.long

COUNT: Final = 1_000_000
PIECE: Final = 2_000  # records sent at a time
MIB: Final = 1024 * 1024
API_MEMORY: Final = 200 * MIB
WORKER_MEMORY: Final = 400 * MIB
PATIENCE: Final = 400.0  # seconds until a million records are stored
_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


@pytest.fixture
def service(stack: Stack) -> Service:
    """An API of this test alone, whose peak is not another's."""
    return stack.start_api()


@pytest.fixture
def worker(stack: Stack) -> Service:
    """A worker of this test alone. It reads while the upload still comes."""
    return stack.start_worker()


def line(number: int) -> str:
    """A record of about 300 bytes."""
    return (
        f'{{"activity_key":"kh/{number:07d}","name":"Số điện thoại khách hàng","source_system":"crm",'
        '"asset":"crm.public.khach_hang","data_categories":["basic_identifier"],"data_subjects":["customer"],'
        '"purpose":"Chăm sóc khách hàng","legal_basis":"consent","storage_country":"VN",'
        '"discovered_at":"2026-01-31T09:30:00+07:00"}\n'
    )


def pieces(count: int) -> Iterator[bytes]:
    for at in range(0, count, PIECE):
        yield "".join(map(line, range(at, min(count, at + PIECE)))).encode()


def gzipped(parts: Iterator[bytes]) -> Iterator[bytes]:
    squeezer = zlib.compressobj(1, wbits=31)
    for part in parts:
        yield squeezer.compress(part)
    yield squeezer.flush()


def test_a_million_records_in_little_memory(stack: Stack, service: Service, worker: Service, tenant: str) -> None:
    headers = {"Content-Type": "application/x-ndjson"}
    with httpx.Client(base_url=service.base_url, timeout=300) as http:
        caller = Tenant(http, tenant)
        answer = caller.call("POST", "/scans", content=pieces(COUNT), headers=headers)
        plain = peak_memory(service.pid)
        assert answer.status_code == 202, answer.text
        assert answer.json()["records"] == COUNT
        scan = answer.json()["scan_id"]
        squeezed = {**headers, "Content-Encoding": "gzip"}
        answer = caller.call("POST", "/scans", content=gzipped(pieces(COUNT // 5)), headers=squeezed)
        assert (answer.status_code, answer.json()["records"]) == (202, COUNT // 5)
        compressed = peak_memory(service.pid)
        text = http.get("/metrics").text
        assert float(re.findall(r"^scanline_api_records_total (\S+)$", text, re.MULTILINE)[0]) == COUNT * 1.2
        for each, count in ((scan, COUNT), (answer.json()["scan_id"], COUNT // 5)):
            ended = caller.ended(each, PATIENCE)
            assert (ended["status"], ended["records_stored"]) == ("completed", count)
    stored = peak_memory(worker.pid)
    print(f"API {plain / MIB:.0f} MiB, with a compressed one {compressed / MIB:.0f} MiB; worker {stored / MIB:.0f} MiB")
    assert plain < API_MEMORY, f"{plain / MIB:.0f} MiB"
    assert compressed < API_MEMORY, f"compressed: {compressed / MIB:.0f} MiB"
    assert stored < WORKER_MEMORY, f"worker: {stored / MIB:.0f} MiB"
    assert_published(stack, tenant, scan)


def assert_published(stack: Stack, tenant: str, scan: str) -> None:
    """Opened, every record once and in its place, closed with the number of them."""
    kinds: list[str] = []
    following = 0
    for kind, first, value in messages(stack, tenant, scan):
        if kind == "records":
            records = _split(value)
            assert first == following
            assert len(records) <= 1_000
            for number in (following, following + len(records) - 1):
                assert bytes(records[number - following]) == line(number).rstrip("\n").encode()
            following += len(records)
        elif kind == "closed":
            assert json.loads(value)["records_total"] == COUNT
        if kinds[-1:] != [kind]:
            kinds.append(kind)
    assert (kinds, following) == (["opened", "records", "closed"], COUNT)


def messages(stack: Stack, tenant: str, scan: str) -> Iterator[tuple[str, int, bytes]]:
    """The scan's messages in the order of the topic, up to the last: (type, first index, value)."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka.bootstrap,
            "group.id": "not-used",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        numbers = consumer.list_topics(RECORDS, timeout=30).topics[RECORDS].partitions
        consumer.assign([TopicPartition(RECORDS, number, 0) for number in numbers])
        while True:
            message = consumer.poll(30)
            assert message is not None and message.error() is None, "the topic ends before the scan does"
            headers = headers_of(message)
            if headers["ce_subject"] != scan.encode():
                continue
            assert message.key() == tenant.encode()
            kind = headers["ce_type"].decode().split(".")[-2]
            yield kind, int(headers.get("ce_firstindex", b"-1")), message.value()
            if kind == "closed":
                return
    finally:
        consumer.close()
