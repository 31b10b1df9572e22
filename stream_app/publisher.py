"""Publishes to Kafka what the worker has to say: statuses after their commit, and messages that could not be read."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from kafka_client.bounded_fetch.record_batches import Oversized
from kafka_client.message_headers import Sendable
from schemas import topics
from schemas.dead_letters import REASON_HEADERS
from schemas.decoder import Message
from schemas.exception_summary import described
from schemas.log_lines import about
from schemas.status import ScanStatus, encode_status
from stream_app import metrics

# Statuses that could not be delivered for this long are given up and read from PostgreSQL again: a worker that was frozen
# must not wake up and publish what is no longer true.
STATUS_TIMEOUT_MS: Final = 10_000
_DEAD_LETTER_SECONDS: Final = 10.0
log = logging.getLogger("scanline.publishing")


class DeadLetterFailed(Exception):
    """The dead-letter topic did not take a message; the offset must not move."""


class Publisher:
    """One idempotent librdkafka producer for the whole worker. Thread-safe."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": "scanline-worker",
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": topics.PARTITIONER,
                "linger.ms": 2,
                "compression.type": "lz4",
                "message.timeout.ms": STATUS_TIMEOUT_MS,
                "message.max.bytes": topics.MAX_DEAD_LETTER_BYTES,
            },
            logger=logging.getLogger("librdkafka"),
        )
        self._failed: set[int] = set()
        self._failed_lock = threading.Lock()  # librdkafka's thread adds, the lanes' takes
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="status-publisher", daemon=True)
        self._poller.start()

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.2)

    def publish_statuses(self, partition: int, statuses: Sequence[ScanStatus], *, just_committed: bool = False) -> None:
        """Publishes without waiting. What fails makes `partition` show up in failed_partitions(). `just_committed`: what
        is published again says nothing about how late statuses are."""
        started = time.monotonic()

        def delivered(error: Any, _: Any) -> None:
            if error is None:
                metrics.STATUSES.inc()
                if just_committed:
                    metrics.STATUS_DELAY.observe(time.monotonic() - started)
            else:
                self._fail(partition)

        for status in statuses:
            key = topics.status_key(status.tenant_id, status.scan_id)
            try:
                self._producer.produce(topics.STATUS_TOPIC, encode_status(status), key, on_delivery=delivered)
            except (BufferError, KafkaException):
                self._fail(partition)
            except (
                Exception
            ) as error:  # this one only: other scans' are published, and publishing it again would not help
                metrics.STATUS_FAILURES.inc()
                log.error(
                    "the status of scan %s could not be published: %s",
                    status.scan_id,
                    described(error),
                    extra=about(scan_id=status.scan_id, partition=partition),
                )

    def _fail(self, partition: int) -> None:
        metrics.STATUS_FAILURES.inc()
        with self._failed_lock:
            self._failed.add(partition)

    def failed_partitions(self) -> set[int]:
        """Partitions of scan.records.v1 whose scans' statuses must be published again; asking forgets them."""
        with self._failed_lock:
            failed, self._failed = self._failed, set()
        return failed

    def dead_letter(self, partition: int, letters: Sequence[tuple[Message, str]]) -> None:
        """Sends messages with their original bytes and a reason each, and waits. Those too large to be kept are
        described, and come without a value. Raises DeadLetterFailed."""
        outstanding = len(letters)
        failures: list[str] = []
        done = threading.Event()

        def delivered(error: Any, _: Any) -> None:
            nonlocal outstanding
            if error is not None:
                failures.append(error.name())
            outstanding -= 1
            if outstanding == 0:
                done.set()

        for message, reason in letters:
            headers: list[Sendable] = [
                # reasons of an earlier failure, copied back by hand, would pile up and mislead
                *(header for header in message.headers if header[0] not in REASON_HEADERS),
                (topics.DLQ_REASON, reason.encode()),
                (topics.DLQ_TOPIC_HEADER, topics.RECORDS_TOPIC.encode()),
                (topics.DLQ_PARTITION, str(partition).encode()),
                (topics.DLQ_OFFSET, str(message.offset).encode()),
                (topics.DLQ_FAILED_AT, str(int(time.time() * 1000)).encode()),
            ]
            if isinstance(message, Oversized):
                headers.append((topics.DLQ_NOT_KEPT, str(message.size).encode()))
                headers.append((topics.DLQ_LAST_OFFSET, str(message.last_offset).encode()))
            try:
                self._produce_letter(message, headers, delivered)
            except (BufferError, KafkaException) as error:
                raise DeadLetterFailed(type(error).__name__) from error
        if letters and not done.wait(_DEAD_LETTER_SECONDS + STATUS_TIMEOUT_MS / 1000):
            raise DeadLetterFailed("no answer")
        if failures:
            raise DeadLetterFailed(failures[0])
        for _, reason in letters:
            metrics.DEAD_LETTERS.labels(reason).inc()

    def _produce_letter(self, message: Message, headers: list[Sendable], delivered: Any) -> None:
        def produce(headers: list[Sendable]) -> None:
            self._producer.produce(topics.DLQ_TOPIC, message.value, message.key, headers=headers, on_delivery=delivered)

        try:
            produce(headers)
        except (ValueError, TypeError) as error:  # the client cannot write one of the publisher's headers
            log.error(
                "offset %d: put aside without its own headers: %s",
                message.offset,
                described(error),
                extra=about(offset=message.offset),
            )
            produce([header for header in headers if header[0] in REASON_HEADERS])

    def close(self, seconds: float = 5.0) -> None:
        """Delivers what is queued, for at most that long."""
        self._producer.flush(seconds)
        self._stopping.set()
        self._poller.join(1)
