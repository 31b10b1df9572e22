"""Messages of scan.records.v1, read outside every consumer group: partitions are assigned, nothing is committed, and the
live pipeline's group never hears of it."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, TopicPartition

from infra.errors import InfraError
from infra.replay.selection import Range
from schemas.messages import Header
from schemas.topics import RECORDS_TOPIC

_AT_ONCE: Final = 1_000
_SILENCE: Final = 60.0  # seconds without a word from the broker after which reading is given up
_BY_THE_BROKER: Final = 1
BYTES_IN_FLIGHT: Final = 16 * 1024 * 1024


class ReadMessage(NamedTuple):
    """As the worker's decoding wants it (stream_app.decoding.Message). Where the publisher stamped the message, that
    counts as the time it came in: nothing closer to it is known by now."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    timestamp: int
    timestamp_type: int


class Piece(NamedTuple):
    """Some of a partition's messages, and the offset to go on from behind them."""

    partition: int
    messages: list[ReadMessage]
    reached: int


def consumer(bootstrap: str) -> Consumer:
    """Small fetches, one at a time for each broker: what is live comes first."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "client.id": "scanline-replay",
            "group.id": "scanline-cli",  # asked for by librdkafka; partitions are assigned, no group is joined
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.message.max.bytes": 1024 * 1024,
            "fetch.max.bytes": 4 * 1024 * 1024,
            "queued.max.messages.kbytes": BYTES_IN_FLIGHT // 1024,
            "queued.min.messages": 5_000,
            "log_level": 0,
        }
    )


def read(bootstrap: str, places: Mapping[int, Range]) -> Iterator[Piece]:
    """Pieces of every partition until each has reached its end. Raises InfraError when the broker falls silent."""
    left = {partition: place.end for partition, place in places.items() if place.count}
    if not left:
        return
    client = consumer(bootstrap)
    try:
        client.assign([TopicPartition(RECORDS_TOPIC, number, places[number].start) for number in left])
        heard = time.monotonic()
        while left:
            pieces = _pieces(client, left)
            if pieces:
                yield from pieces
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENCE:
                raise InfraError(
                    f"Kafka tại {bootstrap} không trả lời trong {_SILENCE:.0f} giây. Hãy chạy lại cùng lệnh để làm tiếp.",
                    f"Kafka at {bootstrap} gave no answer for {_SILENCE:.0f} s. Run the same command again to go on.",
                )
    finally:
        client.close()


def _pieces(client: Consumer, left: dict[int, int]) -> list[Piece]:
    """What one look brings; partitions that have reached their end leave `left` and are read no further."""
    found: dict[int, list[ReadMessage]] = defaultdict(list)
    reached: dict[int, int] = {}
    for message in client.consume(_AT_ONCE, 1.0):
        partition, error = message.partition(), message.error()
        if partition not in left:
            continue
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                reached[partition] = message.offset()  # behind the marks of transactions and other holes
            continue
        offset = message.offset()
        reached[partition] = offset + 1
        if offset < left[partition]:
            found[partition].append(_as_read(message))
    pieces = []
    for partition, at in reached.items():
        if at >= left[partition]:
            at = left.pop(partition)
            client.pause([TopicPartition(RECORDS_TOPIC, partition)])
        pieces.append(Piece(partition, found[partition], at))
    return pieces


def _as_read(message: object) -> ReadMessage:
    kind, at = message.timestamp()  # type: ignore[attr-defined]
    return ReadMessage(
        message.offset(),  # type: ignore[attr-defined]
        message.key(),  # type: ignore[attr-defined]
        message.value(),  # type: ignore[attr-defined]
        message.headers() or (),  # type: ignore[attr-defined]
        at,
        0 if kind == TIMESTAMP_NOT_AVAILABLE or at <= 0 else _BY_THE_BROKER,
    )
