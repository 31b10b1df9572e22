"""Messages with headers of any name, UTF-8 or not, as clients in C or Go can write them; those for Python refuse to."""

from collections.abc import Sequence
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.producer import message_accumulator
from aiokafka.producer import producer as producer_module
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy as Builder

from tests.helpers import RECORDS

Message = tuple[bytes, bytes]  # name of its header, value


class Name(str):
    """Text for a client that encodes names."""

    raw: bytes

    @classmethod
    def of(cls, raw: bytes) -> Self:
        name = cls("?")
        name.raw = raw
        return name

    def encode(self, *_: Any) -> bytes:
        return self.raw


def batch(messages: Sequence[Message], codec: int, first: int = 0) -> bytes:
    """A record batch (format 2) whose first message has that offset."""
    builder = Builder(2, codec, 0, -1, -1, -1, 1_000_000)
    for at, (name, value) in enumerate(messages):
        assert builder.append(at, 1, b"key", value, [(Name.of(name), b"1")]) is not None
    return first.to_bytes(8, "big") + bytes(builder.build())[8:]


async def send(
    bootstrap: str,
    partition: int,
    key: bytes,
    messages: Sequence[tuple[bytes, list[tuple[bytes, bytes]]]],
    topic: str = RECORDS,
) -> None:
    """(value, headers) of each message, in one batch."""
    before = producer_module.DefaultRecordBatchBuilder
    _write_by(Builder)
    try:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=50) as producer:
            sent = [
                await producer.send(topic, value, key, partition, headers=[(Name.of(name), of) for name, of in headers])
                for value, headers in messages
            ]
            for each in sent:
                await each
    finally:
        _write_by(before)


def _write_by(builder: Any) -> None:
    """aiokafka has a builder in C, which takes nothing but plain text, and one in Python; it looks them up by name."""
    message_accumulator.DefaultRecordBatchBuilder = producer_module.DefaultRecordBatchBuilder = builder
