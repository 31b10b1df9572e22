"""Single-record messages straight to Kafka, as fast as a scanner with librdkafka can send them."""

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import Producer

from infra.errors import InfraError
from kafka_client.message_headers import Sendable
from schemas import topics
from schemas.messages import headers_for
from trials import generator

_KEYS_IN_TURN: Final = 100


class Backlog:
    """`records` records for each tenant, in turn: what arrives when a hundred scanners publish at the same time."""

    def __init__(self, tenants: Sequence[str], records: int, seed: int) -> None:
        self._scans = {tenant: str(uuid.uuid4()) for tenant in tenants}
        self._records = {tenant: generator.records(records, seed, tenant) for tenant in tenants}
        self._count = records

    @property
    def sent(self) -> dict[str, int]:
        """Records per scan id."""
        return dict.fromkeys(self._scans.values(), self._count)

    @property
    def total(self) -> int:
        return self._count * len(self._scans)

    def publish(self, bootstrap: str) -> None:
        """Publishes all and waits for the broker's word on every message. Raises InfraError."""
        self._send(bootstrap, {})

    def publish_hidden(self, bootstrap: str) -> Callable[[], object]:
        """The same in one Kafka transaction (KIP-98). Workers see nothing of it until what is returned is called, and then
        all of it at once."""
        producer = self._send(bootstrap, {"transactional.id": str(uuid.uuid4()), "transaction.timeout.ms": 600_000})
        return lambda: producer.commit_transaction(60)

    def _send(self, bootstrap: str, settings: dict[str, Any]) -> Producer:
        failures: list[str] = []
        producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": topics.PARTITIONER,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 20,
                "batch.size": 512 * 1024,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 512 * 1024,
                # only failures call back: a call per message would cost more than the message
                "delivery.report.only.error": True,
                **settings,
            }
        )
        if settings:
            producer.init_transactions(60)
            producer.begin_transaction()

        def failed(error: object, _: object) -> None:
            failures.append(str(error))

        keys = {tenant: tenant.encode() for tenant in self._scans}
        headers: dict[str, list[Sendable]] = {
            tenant: [*headers_for(topics.RECORDS, scan)[1:3]] for tenant, scan in self._scans.items()
        }
        for index in range(self._count):
            for tenant, lines in self._records.items():
                producer.produce(
                    topics.RECORDS_TOPIC, lines[index], keys[tenant], headers=headers[tenant], on_delivery=failed
                )
            if index % _KEYS_IN_TURN == 0:
                producer.poll(0)
        closed = json.dumps({"records_total": self._count}).encode()
        for tenant, scan in self._scans.items():
            producer.produce(
                topics.RECORDS_TOPIC,
                closed,
                keys[tenant],
                headers=[*headers_for(topics.CLOSED, scan)],
                on_delivery=failed,
            )
        if producer.flush(120) or failures:
            raise InfraError.of("kafka_not_acknowledged", reason=failures[:1])
        return producer
