"""A scan straight into Kafka, as docs/kafka-contract.md promises it to every publisher."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException, Producer

from infra.errors import InfraError
from operations.kafka_answers import ANSWER_SECONDS
from operations.records_file import Details
from schemas import topics
from schemas.arrays import Array, Arrays, Lines
from schemas.messages import Closed, Opened, headers_for

_DELIVERY_SECONDS: Final = 60
_encode: Final = msgspec.json.Encoder().encode


def arrays_of(pieces: Iterable[bytes]) -> Iterator[Array]:
    """NDJSON cut into messages, exactly as the API cuts it: the same file again makes the same arrays."""
    lines, arrays = Lines(), Arrays()
    for piece in pieces:
        for element in lines.feed(piece):
            full = arrays.add(element)
            if full is not None:
                yield full
    for element in lines.finish():
        full = arrays.add(element)
        if full is not None:
            yield full
    last = arrays.flush()
    if last is not None:
        yield last


class DirectPublisher:
    """Publishes one scan at a time. Raises InfraError where Kafka is away or does not take everything."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._failures: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": "scanline-cli",
                "partitioner": topics.PARTITIONER,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.timeout.ms": _DELIVERY_SECONDS * 1000,
                "queue.buffering.max.kbytes": 64 * 1024,
                "delivery.report.only.error": True,
                "log_level": 0,
            }
        )
        self._ask()

    def publish(self, tenant: str, scan_id: str, pieces: Iterable[bytes], details: Details) -> int:
        """Everything of a scan, acknowledged by the brokers. Returns how many records it has."""
        opened = Opened(
            details.source,
            language="en" if details.language == "en" else "vi",
            notify=details.notify,
            submitted_at=dt.datetime.now(dt.UTC),
        )
        key = tenant.encode()
        self._send(key, _encode(opened), headers_for(topics.OPENED, scan_id, source="/scanline/cli"))
        count = 0
        for array in arrays_of(pieces):
            headers = headers_for(topics.RECORDS, scan_id, first_index=array.first_index, source="/scanline/cli")
            self._send(key, array.value, headers)
            count += array.records
        self._send(key, _encode(Closed(count)), headers_for(topics.CLOSED, scan_id, source="/scanline/cli"))
        left = self._producer.flush(_DELIVERY_SECONDS + ANSWER_SECONDS)
        if left or self._failures:
            raise self._not_taken()
        return count

    def _send(self, key: bytes, value: bytes, headers: Any) -> None:
        while True:
            if self._failures:
                raise self._not_taken()
            try:
                self._producer.produce(topics.RECORDS_TOPIC, value, key, headers=headers, on_delivery=self._failed)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _failed(self, error: Any, _: Any) -> None:
        self._failures.append(error.str())

    def _not_taken(self) -> InfraError:
        self._producer.purge()
        reason = self._failures[0] if self._failures else "timeout"
        return InfraError.of("kafka_not_acknowledged", reason=reason)

    def _ask(self) -> None:
        """A broker that is away is noticed now, not after a minute of waiting for acknowledgements."""
        try:
            known = self._producer.list_topics(timeout=ANSWER_SECONDS).topics
        except KafkaException as error:
            reason = error.args[0].str()
            raise InfraError.of("kafka_no_answer", bootstrap=self._bootstrap, reason=reason) from error
        if topics.RECORDS_TOPIC not in known:
            raise InfraError.of("kafka_topic_missing", bootstrap=self._bootstrap, topic=topics.RECORDS_TOPIC)
