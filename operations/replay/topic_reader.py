"""Messages of scan.records.v1, read outside every consumer group: partitions are assigned, nothing is committed, and
the live pipeline's group never hears of it. Batches are unpacked as the worker unpacks them, within its bounds."""

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.errors import InfraError
from kafka_client.bounded_fetch.fetcher import bound_the_fetcher
from kafka_client.bounded_fetch.record_batches import Oversized
from operations.replay.selection import Range
from schemas.messages import Header
from schemas.topics import RECORDS_TOPIC

_AT_ONCE: Final = 1_000
_LOOK_MS: Final = 1_000
_SILENCE: Final = 60.0  # seconds without a word from the broker after which reading is given up
_BY_THE_BROKER: Final = 1
_FETCH_BYTES: Final = 4 * 1024 * 1024
_PARTITION_BYTES: Final = 1024 * 1024
Answer = TypeVar("Answer")


class ReadMessage(NamedTuple):
    """A message in the form that reading wants (schemas.decoder.Message). Where the publisher stamped the message, that
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
    messages: list[ReadMessage | Oversized]
    reached: int


def read(bootstrap: str, places: Mapping[int, Range]) -> Iterator[Piece]:
    """Pieces of every partition until each has reached its end. Raises InfraError when the broker falls silent."""
    left = {partition: place.end for partition, place in places.items() if place.offsets}
    if not left:
        return
    heard = time.monotonic()
    with _Background() as background:
        reader = _TopicReader(bootstrap, {number: places[number].start for number in left}, left)
        try:
            background.run(reader.start())
            while left:
                pieces = background.run(reader.look())
                if pieces:
                    yield from pieces
                    heard = time.monotonic()
                elif time.monotonic() - heard > _SILENCE:
                    raise InfraError.of("replay_kafka_silent", bootstrap=bootstrap, seconds=_SILENCE)
        except KafkaError as error:
            raise InfraError.of(
                "replay_topic_not_read", topic=RECORDS_TOPIC, bootstrap=bootstrap, reason=error
            ) from error
        finally:
            background.run(reader.stop())


class _Background:
    """An event loop on a thread of its own: the next fetch is under way while the last one is written."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def run(self, task: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(task, self._loop).result()

    def __enter__(self) -> "_Background":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _TopicReader:
    """A consumer of assigned partitions. Those that have reached their end leave `left` and are fetched no more."""

    def __init__(self, bootstrap: str, starts: Mapping[int, int], left: dict[int, int]) -> None:
        self._bootstrap = bootstrap
        self._positions = dict(starts)
        self._left = left
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        bound_the_fetcher()
        # what it logs of a broker that is away is reported by `read`, in our words
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        # small fetches: what is live comes first
        self._consumer = consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id="scanline-replay",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=_PARTITION_BYTES,
            fetch_max_bytes=_FETCH_BYTES,
        )
        await consumer.start()
        consumer.assign([_place(number) for number in self._positions])
        for number, offset in self._positions.items():
            consumer.seek(_place(number), offset)

    async def look(self) -> list[Piece]:
        """Gives what one look brings."""
        assert self._consumer is not None
        found = await self._consumer.getmany(timeout_ms=_LOOK_MS, max_records=_AT_ONCE)
        pieces = []
        for number in list(self._left):
            messages = found.get(_place(number), [])
            reached = await self._position(number)
            if not messages and reached == self._positions[number]:
                continue
            self._positions[number] = reached
            pieces.append(self._piece(number, messages, reached))
        return pieces

    async def _position(self, number: int) -> int:
        """The consumer's position, which is past the marks of transactions and other holes, too; they bring no
        message."""
        assert self._consumer is not None
        try:
            async with asyncio.timeout(_LOOK_MS / 1000):
                return int(await self._consumer.position(_place(number)))
        except TimeoutError:  # retention took the offset, and the broker has not said yet where its log begins
            return self._positions[number]

    def _piece(self, number: int, messages: list[Any], reached: int) -> Piece:
        assert self._consumer is not None
        end = self._left[number]
        if reached >= end:
            del self._left[number]
            self._consumer.pause(_place(number))
        return Piece(number, [_as_read(each) for each in messages if each.offset < end], min(reached, end))

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()


def _place(number: int) -> TopicPartition:
    return TopicPartition(RECORDS_TOPIC, number)


def _as_read(message: Any) -> ReadMessage | Oversized:
    kind = _BY_THE_BROKER if message.timestamp > 0 else 0
    if isinstance(message, Oversized):
        return message._replace(timestamp_type=kind)
    return ReadMessage(message.offset, message.key, message.value, message.headers, message.timestamp, kind)
