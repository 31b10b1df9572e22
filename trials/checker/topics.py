"""Reading topics from one offset to their end, by plain confluent-kafka."""

import time
from collections.abc import Iterator, Mapping
from operator import methodcaller
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

_PATIENCE: Final = 120.0  # seconds without a message before the end, until a read is given up
_BATCH: Final = 2_000
_REQUEST: Final = 10.0


class Entry(NamedTuple):
    """A message as it lies in a topic."""

    partition: int
    offset: int
    key: bytes
    headers: dict[str, bytes]
    value: bytes | None


class Topics:
    """A context manager around a consumer that is in no group. Times out with TimeoutError."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "not-used",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def ends(self, topic: str, seconds: float = _PATIENCE) -> dict[int, int]:
        """The offset that the next message of each partition will have."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self._consumer.list_topics(topic, timeout=_REQUEST).topics[topic]
                if found.error is None and found.partitions:
                    return {
                        number: self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_REQUEST)[1]
                        for number in found.partitions
                    }
            except KafkaException:
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic}: its ends are not told")
            time.sleep(0.2)

    def read(self, topic: str, starts: Mapping[int, int]) -> Iterator[Entry]:
        """Everything from `starts` (0 where it is silent) to the ends as they are now."""
        ends = self.ends(topic)
        left = {number for number, end in ends.items() if starts.get(number, 0) < end}
        if not left:
            return
        self._consumer.assign([TopicPartition(topic, number, starts.get(number, 0)) for number in left])
        heard = time.monotonic()
        while left:
            polled: list[Any] = self._consumer.consume(_BATCH, 0.05)
            for message in polled:
                number = message.partition()
                if message.error() is not None:
                    if message.error().code() == KafkaError._PARTITION_EOF and message.offset() >= ends[number]:
                        left.discard(number)
                    continue
                heard = time.monotonic()
                if message.offset() < ends[number]:
                    yield _entry(message)
                if message.offset() >= ends[number] - 1:
                    left.discard(number)
            if time.monotonic() - heard > _PATIENCE:
                raise TimeoutError(f"{topic}: nothing more to be read of {sorted(left)}")
        self._consumer.unassign()

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> "Topics":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# A plain call that was made often no longer notices the client's exception, which then comes to light anywhere.
_headers: Final = methodcaller("headers")


def _entry(message: Any) -> Entry:
    try:
        headers = {name: value or b"" for name, value in _headers(message) or ()}
    except (SystemError, UnicodeDecodeError):  # a name that is no UTF-8
        headers = {}
    return Entry(message.partition(), message.offset(), message.key() or b"", headers, message.value())
