"""Compares what scan.status.v1 says of scans with what PostgreSQL holds of them, and publishes PostgreSQL's word: one of the
two was restored to an earlier time, and what lay between is in the other alone."""

import datetime as dt
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import KafkaException, Producer
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from infra.errors import InfraError
from operations.lag import measure, written_offsets
from operations.status_follower import Change, Key, StatusFollower
from schemas import topics
from schemas.status import Scan, encode_status, status_of

_COMPARED: Final = (
    "status",
    "records_total",
    "records_stored",
    "records_rejected",
    "records_duplicate",
    "messages_unreadable",
)
# What changed so short a time ago may be on its way from the one to the other.
SETTLED_SECONDS: Final = 60.0
_WRITTEN_SECONDS: Final = 60.0
_READ_SECONDS: Final = 600.0
_DELIVERY_SECONDS: Final = 30
_FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(Scan))
_SCANS: Final = f"""
SELECT {", ".join("scan_id::text" if name == "scan_id" else name for name in _FIELDS)},
       updated_at < clock_timestamp() - %s AS settled
FROM scans
"""


class Difference(NamedTuple):
    """A scan of which the topic says something else than PostgreSQL; `published` None: the topic does not know it,
    `stored` None: PostgreSQL does not."""

    tenant_id: str
    scan_id: str
    published: str | None
    stored: str | None


class Compared(NamedTuple):
    """Scans that were compared, and what differs: each with the message that makes the topic say what PostgreSQL says,
    None to forget the scan."""

    scans: int
    found: list[tuple[Difference, bytes | None]]


def compare(bootstrap: str, read_url: str, pipeline: str, seconds: float = SETTLED_SECONDS) -> Compared:
    """Waits until what the records topic holds now is written: before that, what differs is only late. Scans that
    changed within `seconds` are left out. Raises InfraError."""
    _wait_until_written(bootstrap, read_url, pipeline)
    published = _published(bootstrap)
    settling = dt.timedelta(seconds=seconds)
    before = dt.datetime.now(dt.UTC) - settling
    count = 0
    found: list[tuple[Difference, bytes | None]] = []
    for scan, settled in _stored(read_url, settling):
        key = scan.tenant_id, scan.scan_id
        change = published.pop(key, None)
        if not settled or (change is not None and change.published_at > before):
            continue
        count += 1
        status = None if change is None else change.status
        if status is None or _says_otherwise(status, scan):
            found.append((_difference(key, status, scan.status), encode_status(status_of(scan))))
    for key, change in published.items():
        # `queued` is what an API publishes of an upload that is on its way; all else was in PostgreSQL once
        if change.status is None or change.status.get("status") == "queued" or change.published_at > before:
            continue
        count += 1
        found.append((_difference(key, change.status, None), None))
    return Compared(count, found)


def publish(bootstrap: str, found: Sequence[tuple[Difference, bytes | None]]) -> None:
    """Publishes PostgreSQL's word on each of these scans. One that PostgreSQL does not know is forgotten (a tombstone), and
    its Idempotency-Key with it, so that it can be sent again. Raises InfraError where not all of it arrived."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "client.id": "scanline-statuses",
            "partitioner": topics.PARTITIONER,
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": _DELIVERY_SECONDS * 1000,
            "log_level": 0,
        }
    )
    failures: list[str] = []

    def delivered(error: Any, _: Any) -> None:
        if error is not None:
            failures.append(error.name())

    for difference, value in found:
        key = topics.status_key(difference.tenant_id, difference.scan_id)
        while True:
            try:
                producer.produce(topics.STATUS_TOPIC, value, key, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
            except KafkaException as error:
                raise InfraError.of("statuses_not_published", reason=error.args[0].name()) from error
        producer.poll(0)
    left = producer.flush(_DELIVERY_SECONDS + 5)
    if left or failures:
        raise InfraError.of("statuses_not_published", reason=failures[0] if failures else "timeout")


def _difference(key: Key, status: Mapping[str, Any] | None, stored: str | None) -> Difference:
    return Difference(*key, None if status is None else str(status.get("status")), stored)


def _says_otherwise(status: Mapping[str, Any], scan: Scan) -> bool:
    return any(status.get(name) != getattr(scan, name) for name in _COMPARED)


def _wait_until_written(bootstrap: str, read_url: str, pipeline: str) -> None:
    deadline = time.monotonic() + _WRITTEN_SECONDS
    ends: dict[int, int] = {}
    while True:
        written = written_offsets(read_url, pipeline)
        if written is None:
            raise InfraError.of("postgres_refuses", reason="stream_offsets")
        looked = measure(bootstrap, pipeline, written)
        ends = ends or {each.partition: each.end for each in looked}
        left = sum(max(0, ends.get(each.partition, 0) - (each.written or 0)) for each in looked)
        if not left:
            return
        if time.monotonic() > deadline:
            raise InfraError.of("statuses_too_early", count=left)
        time.sleep(1)


def _published(bootstrap: str) -> dict[Key, Change]:
    """The last message of each scan, of all that the topic holds now."""
    last: dict[Key, Change] = {}
    caught_up = threading.Event()

    def take(change: Change) -> None:
        last[change.key] = change

    with StatusFollower(bootstrap, on_change=take, on_caught_up=caught_up.set):
        if not caught_up.wait(_READ_SECONDS):
            raise InfraError.of(
                "status_topic_not_read", topic=topics.STATUS_TOPIC, bootstrap=bootstrap, reason="timeout"
            )
    return last


def _stored(read_url: str, settling: dt.timedelta) -> Iterator[tuple[Scan, bool]]:
    """Every scan, and whether its last change is longer ago than that."""
    engine = create_engine(read_url, connect_args={"connect_timeout": 10, "options": "-c timezone=UTC"})
    try:
        with engine.connect() as connection:
            rows = connection.execution_options(stream_results=True, max_row_buffer=1000).exec_driver_sql(
                _SCANS, (settling,)
            )
            for *fields, settled in rows:
                yield Scan(*fields), settled
    except SQLAlchemyError as error:
        raise InfraError.of("postgres_refuses", reason=type(error).__name__) from None
    finally:
        engine.dispose()
