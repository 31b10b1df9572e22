"""Dead letters back through the front door: scan.records.v1, as any direct publisher would write to it."""

import time
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import Producer

from kafka_client.message_headers import Sendable
from operations.dead_letters.dead_letter import DeadLetter
from operations.dead_letters.reader import kafka_must_answer
from schemas import topics
from schemas.dead_letters import DeadLetterId

_DELIVERY_SECONDS: Final = 30


def headers_again(letter: DeadLetter) -> list[Sendable]:
    """The publisher's own, which letter it was, and how often it has been sent again by now."""
    return [
        *letter.original_headers(),
        (topics.RETRY_LETTER, letter.id.header),
        (topics.RETRY_COUNT, str(letter.replays + 1).encode()),
    ]


class RetrySender:
    """An idempotent producer that waits for every acknowledgement."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": "scanline-dlq",
                "partitioner": topics.PARTITIONER,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "zstd",
                "linger.ms": 5,
                "message.timeout.ms": _DELIVERY_SECONDS * 1000,
                "message.max.bytes": topics.MAX_DEAD_LETTER_BYTES,
                "log_level": 0,
            }
        )

    def send(self, letters: Sequence[DeadLetter]) -> tuple[dict[DeadLetterId, tuple[int, int]], str | None]:
        """Sends the letters. Returns the partition and offset of each, and why others are not known to be there, if
        there are any."""
        arrived: dict[DeadLetterId, tuple[int, int]] = {}
        failures: list[str] = []
        for letter in letters:
            self._produce(letter, arrived, failures)
        deadline = time.monotonic() + _DELIVERY_SECONDS + 5
        while self._producer.flush(0.5) and time.monotonic() < deadline:
            pass
        if len(arrived) < len(letters) and not failures:
            failures.append("timeout")
        return arrived, failures[0] if failures else None

    def _produce(self, letter: DeadLetter, arrived: dict[DeadLetterId, tuple[int, int]], failures: list[str]) -> None:
        def delivered(error: Any, message: Any) -> None:
            if error is None:
                arrived[letter.id] = (message.partition(), message.offset())
            else:
                failures.append(error.str())

        with kafka_must_answer(self._bootstrap):
            self._producer.produce(
                topics.RECORDS_TOPIC, letter.value, letter.key, headers=headers_again(letter), on_delivery=delivered
            )
