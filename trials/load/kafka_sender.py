"""Publishing straight to Kafka, with every acknowledgement written down."""

import json
import threading
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import Producer

from trials.checker.history import Delivery, History, Offer, digest

RECORDS: Final = "scan.records.v1"
_PATIENT_MS: Final = 900_000  # no outage of a round lasts as long: what is offered is delivered


class DirectPublisher:
    """An idempotent producer. Thread-safe."""

    def __init__(self, history: History, bootstrap: str) -> None:
        self._history = history
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "message.timeout.ms": _PATIENT_MS,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="chaos-deliveries", daemon=True)
        self._poller.start()

    def send(
        self,
        tenant: str,
        offer: Offer,
        kind: str,
        value: bytes,
        count: int = 0,
        *,
        first: int | None = None,
    ) -> None:
        """One message of type vn.scanline.scan.<kind>.v1."""
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_type", f"vn.scanline.scan.{kind}.v1".encode()),
            ("ce_subject", (offer.scan or "").encode()),
        ]
        if first is not None:
            headers.append(("ce_firstindex", str(first).encode()))
        known = digest(value)

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                self._history.add_undelivered(offer.id)
                return
            place = (message.partition(), message.offset())
            self._history.add_delivery(Delivery(offer.id, kind, *place, known, first, count))

        while True:
            try:
                self._producer.produce(RECORDS, value, tenant.encode(), headers=headers, on_delivery=delivered)
                return
            except BufferError:
                self._stopping.wait(0.1)

    def array(self, tenant: str, offer: Offer, lines: Sequence[bytes], first: int) -> None:
        """Records in one message, numbered."""
        self.send(tenant, offer, "records", b"[" + b",".join(lines) + b"]", len(lines), first=first)

    def close_scan(self, tenant: str, offer: Offer, total: int) -> None:
        """No more records follow."""
        self.send(tenant, offer, "closed", json.dumps({"records_total": total}).encode())

    def junk(self, tenant: str, offer: Offer, which: int) -> None:
        """A message that cannot be read: broken JSON, an unknown type, or an index that is no number."""
        value = b'{"activity_key": "' + offer.id.encode()
        kind, first = (("records", None), ("finished", None), ("records", -1))[which % 3]
        if which % 3:
            value += b'"}'
        self._history.add_junk(digest(value))
        self.send(tenant, offer, kind, value, first=first)

    def close(self, seconds: float) -> None:
        """Waits for the delivery reports; what is still on its way after `seconds` is given up, and may arrive or not."""
        self._producer.flush(seconds)
        self._producer.purge()
        self._producer.flush(5)
        self._stopping.set()
        self._poller.join(5)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.2)
