"""What cannot be read at all goes to scan.dlq.v1 as it came; everything around it goes on."""

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import jsonschema
import pytest
import yaml
from confluent_kafka import Consumer, Message, TopicPartition

from infra.processes.services import Service
from kafka_client.bounded_fetch.record_batches import Oversized
from operations.replay.topic_reader import ReadMessage
from schemas.dead_letters import REASON_HEADERS
from schemas.documents import DIRECTORY
from stream_app.publisher import Publisher as WorkersPublisher
from tests.helpers import (
    DEAD_LETTERS,
    RECORDS,
    Database,
    Publisher,
    StatusTopic,
    array,
    assert_accounted,
    assert_told,
    new_scan,
    wait_for,
)
from tests.murmur2 import partition_of
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")

TYPE: Final = b"vn.scanline.scan.records.v1"
NO_NUMBER: Final = [("ce_firstindex", b"-1")]
RECORD: Final = generator.records(1, 20)[0]
# what a client adds for itself: more than one of a name, no value, bytes that are no text
OWN_HEADERS: Final = [("trace", b"1"), ("trace", b"2"), ("không có gì", None), ("bytes", b"\xff\x00\n")]


class Bad(NamedTuple):
    """A message that cannot be read; None in `subject` and `kind` leaves the header out."""

    reason: str
    value: bytes | None = RECORD
    kind: bytes | None = TYPE
    subject: bytes | None = b"the scan"  # replaced by the scan's id
    headers: Sequence[tuple[str, bytes | None]] = ()
    key: bytes | None = b"the tenant"
    known: bool = True  # which scan it belongs to


BAD: Final = {
    "half an array": Bad("message_unreadable", b"[" + RECORD + b","),
    "half a record": Bad("message_unreadable", RECORD[:-1]),
    "neither array nor object": Bad("message_unreadable", b'"text"'),
    "no utf-8": Bad("message_unreadable", b"\xff\xfe\x00\x80"),
    "an empty value": Bad("message_unreadable", b""),
    "a null value": Bad("message_unreadable", None),
    "a closed without total": Bad("message_unreadable", b"{}", b"vn.scanline.scan.closed.v1"),
    "an opened of another shape": Bad("message_unreadable", b'{"language":"fr"}', b"vn.scanline.scan.opened.v1"),
    "a type of another version": Bad("type_unknown", kind=b"vn.scanline.scan.records.v2"),
    "a type that is no text": Bad("type_unknown", kind=b"\xff\xfe"),
    "no type": Bad("type_unknown", kind=None),
    "no scan": Bad("scan_id_invalid", subject=None, known=False),
    "a scan that is no uuid": Bad("scan_id_invalid", subject="lượt quét 7".encode(), known=False),
    "a scan in braces": Bad("scan_id_invalid", subject=f"{{{new_scan()}}}".encode(), known=False),
    "a number below zero": Bad("first_index_invalid", headers=NO_NUMBER),
    "a number too large": Bad("first_index_invalid", headers=[("ce_firstindex", b"2000000001")]),
    "no key": Bad("tenant_invalid", key=None, known=False),
    "an empty key": Bad("tenant_invalid", key=b"", known=False),
    "a key in capitals": Bad("tenant_invalid", key=b"Tenant-A", known=False),
    "a key that is no text": Bad("tenant_invalid", key=b"\xff\x00", known=False),
    "too many records": Bad("message_too_many_records", array([RECORD] * 1_001)),
    "too many of nothing": Bad("message_too_many_records", array([b"0"] * 1_001)),
    "too large": Bad("message_too_large", b"[" + b" " * 800_000 + b"]"),
}


class DeadLetters:
    """Everything in scan.dlq.v1, read by a consumer without a group."""

    def __init__(self, bootstrap: str) -> None:
        settings = {"bootstrap.servers": bootstrap, "group.id": "not-used", "enable.auto.commit": False}
        self._consumer = Consumer({**settings, "fetch.wait.max.ms": 10, "log_level": 0})
        partitions = self._consumer.list_topics(DEAD_LETTERS, timeout=30).topics[DEAD_LETTERS].partitions
        self._consumer.assign([TopicPartition(DEAD_LETTERS, number, 0) for number in partitions])
        self._seen: list[Message] = []

    def of(self, mark: bytes) -> list[Message]:
        """The messages that carry this mark in a header."""
        while (message := self._consumer.poll(0.05)) is not None:
            assert message.error() is None, message.error()
            self._seen.append(message)
        return [message for message in self._seen if ("mark", mark) in (message.headers() or [])]

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture(scope="module")
def dead_letters(servers: Servers) -> Iterator[DeadLetters]:
    opened = DeadLetters(servers.bootstrap)
    yield opened
    opened.close()


def headers_for(bad: Bad, scan: str, mark: bytes) -> list[tuple[str, bytes | None]]:
    subject = scan.encode() if bad.subject == b"the scan" else bad.subject
    asked = [("ce_type", bad.kind), ("ce_subject", subject)]
    return [*(pair for pair in asked if pair[1] is not None), *bad.headers, *OWN_HEADERS, ("mark", mark)]


def reasons_of(message: Message) -> dict[str, bytes | None]:
    """The headers that say why; nothing else may come after what the publisher wrote."""
    headers: list[tuple[str, Any]] = message.headers() or []
    mark = [name for name, _ in headers].index("mark")
    return dict(headers[mark + 1 :])


@pytest.mark.parametrize("case", BAD)
def test_the_unreadable_is_kept_as_it_came_and_its_neighbours_are_stored(
    case: str,
    servers: Servers,
    database: Database,
    statuses: StatusTopic,
    dead_letters: DeadLetters,
    tenant: str,
    worker: Service,
) -> None:
    bad, scan, mark = BAD[case], new_scan(), secrets.token_bytes(8)
    key = tenant.encode() if bad.key == b"the tenant" else bad.key
    headers = headers_for(bad, scan, mark)
    lines = generator.records(20, 21, tenant)
    with Publisher(servers.bootstrap) as publisher:
        place = partition_of(tenant.encode())
        publisher.records(tenant, scan, lines[:10])
        # right between its neighbours, whatever its key
        publisher.raw(key, bad.value, headers, partition=place)
        publisher.records(tenant, scan, lines[10:], first=10)
        publisher.closed(tenant, scan, len(lines))
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["messages_unreadable"]) == (
        ("completed_with_errors", 20, 1) if bad.known else ("completed", 20, 0)
    )
    (letter,) = wait_for(lambda: dead_letters.of(mark), "the dead letter")
    assert (letter.key(), letter.value()) == (key, bad.value)
    assert (letter.headers() or [])[: len(headers)] == headers
    reasons = reasons_of(letter)
    assert int(reasons.pop("scanline_failed_at") or 0) > 1_700_000_000_000
    at = int(reasons.pop("scanline_offset") or -1)
    assert reasons == {
        "scanline_reason": bad.reason.encode(),
        "scanline_topic": RECORDS.encode(),
        "scanline_partition": str(place).encode(),
    }
    assert at >= 0
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])
    assert worker.returncode is None


@pytest.mark.parametrize(
    ("value", "settings"),
    [
        # what the records topic takes is 1 MiB of a batch, as it was compressed by its publisher
        (secrets.token_bytes(1024 * 1024 - 400), {}),
        (b"[" + b" " * 20_000_000 + b"]", {"compression.type": "zstd"}),
    ],
    ids=["as large as the broker takes", "much larger than it looks"],
)
def test_no_message_that_kafka_took_is_too_large_to_be_put_aside(
    value: bytes,
    settings: dict[str, Any],
    servers: Servers,
    database: Database,
    dead_letters: DeadLetters,
    tenant: str,
) -> None:
    scan, mark = new_scan(), secrets.token_bytes(8)
    headers = headers_for(Bad("message_too_large"), scan, mark)
    lines = generator.records(10, 22, tenant)
    with Publisher(servers.bootstrap, **{"message.max.bytes": 64_000_000, **settings}) as publisher:
        publisher.raw(tenant.encode(), value, headers)
        publisher.records(tenant, scan, lines)
        publisher.closed(tenant, scan, len(lines))
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["messages_unreadable"]) == ("completed_with_errors", 10, 1)
    (letter,) = wait_for(lambda: dead_letters.of(mark), "the dead letter")
    assert letter.value() == value
    reasons = reasons_of(letter)
    assert reasons["scanline_reason"] == b"message_too_large"
    origin = int(reasons["scanline_partition"] or -1), int(reasons["scanline_offset"] or -1)
    assert ("mark", mark) in (read_at(servers.bootstrap, *origin).headers() or [])


def test_the_published_contract_knows_every_header_of_a_letter(servers: Servers, dead_letters: DeadLetters) -> None:
    """What the worker writes, to the last header, against the AsyncAPI document."""
    mark = secrets.token_bytes(8)
    came: list[tuple[str, bytes | None]] = [("ce_type", b"?"), ("mark", mark)]
    kept = Oversized(17, 0, 1, b"tenant-a", None, came, "message_too_large", 21, 50_000_000)
    whole = ReadMessage(3, b"tenant-a", b"[", came, 0, 1)
    publisher = WorkersPublisher(servers.bootstrap)
    try:
        publisher.dead_letter(5, [(whole, "message_unreadable"), (kept, kept.reason)])
    finally:
        publisher.close()
    letters = wait_for(lambda: len(found := dead_letters.of(mark)) == 2 and found, "both letters are there")
    schema = yaml.safe_load((DIRECTORY / "asyncapi.yaml").read_text())["components"]["messages"]["dead_letter"][
        "headers"
    ]
    written: set[str] = set()
    for letter in letters:
        reasons = {name: (value or b"").decode() for name, value in reasons_of(letter).items()}
        jsonschema.validate(reasons, schema | {"additionalProperties": False})
        written |= set(reasons)
    assert written == REASON_HEADERS


def read_at(bootstrap: str, partition: int, offset: int) -> Message:
    """The message of the records topic that stands there."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "not-used", "enable.auto.commit": False}
    consumer = Consumer(settings)
    try:
        consumer.assign([TopicPartition(RECORDS, partition, offset)])
        message = wait_for(lambda: consumer.poll(1.0), "the message the dead letter names")
        assert (message.error(), message.offset()) == (None, offset)
        return message
    finally:
        consumer.close()
