"""Reads scan.status.v1 from its beginning, for ever, on a thread of its own and outside any consumer group."""

import asyncio
import logging
import threading
import time
from typing import Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from kafka_client.clients import quiet_admin, unjoined_consumer
from kafka_client.message_headers import headers_of
from kafka_client.offsets import offsets_of
from kafka_client.received_message import ReceivedMessage
from producer_api import metrics
from producer_api.kafka.status_messages import StatusMessage, read
from producer_api.kafka.statuses import NotCaughtUp, StatusStore
from producer_api.settings import ApiSettings
from schemas.exception_summary import described
from schemas.log_lines import about
from schemas.messages import is_tenant_id
from schemas.topics import STATUS_TOPIC, split_status_key

log = logging.getLogger("scanline.follower")
CLAIM_HEADER: Final = "scanline_claim"
_BATCH: Final = 500
_REQUEST_SECONDS: Final = 3.0
_LOOK_FOR_PARTITIONS: Final = 60.0
_HANDED_OVER: Final = 8  # batches that may wait for the event loop; the topic is far larger than memory need be
_HAND_OVER_SECONDS: Final = 0.2


class Follower:
    """Feeds a StatusStore. `ready` is set once everything that was in the topic at the start has been read."""

    def __init__(self, settings: ApiSettings, store: StatusStore) -> None:
        self._store = store
        self._bootstrap = settings.kafka_bootstrap
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._admin = quiet_admin(settings.kafka_bootstrap, "scanline-api-status")
        self._asking: asyncio.Future[dict[int, int]] | None = None
        self._next: asyncio.Future[dict[int, int]] | None = None
        self._goal: dict[int, int] | None = None
        self.ready = False
        self._places = threading.Semaphore(_HANDED_OVER)
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while the topic is being read."""
        return self._thread.is_alive()

    async def catch_up(self, seconds: float) -> None:
        """Returns when everything that is in the topic now has been read. Raises NotCaughtUp.

        So an answer of "no such scan" holds also for what another process has accepted a moment ago.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._store.reach(await self._ends(), seconds)
        except (TimeoutError, KafkaException):
            raise NotCaughtUp from None

    async def _ends(self) -> dict[int, int]:
        """The end of each partition, asked after this call began; callers that come meanwhile share the next answer."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._ask_after(self._asking))
            self._next.add_done_callback(
                lambda asked: asked.cancelled() or asked.exception()
            )  # who asked may have gone
        return await asyncio.shield(self._next)

    async def _ask_after(self, running: asyncio.Future[dict[int, int]] | None) -> dict[int, int]:
        if running is not None:
            await asyncio.wait([running])
        self._asking, self._next = self._next, None  # who comes from here on needs a newer answer
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> dict[int, int]:
        (ends,) = offsets_of(self._admin, STATUS_TOPIC, None, OffsetSpec.latest(), seconds=_REQUEST_SECONDS)
        if not ends:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        return ends

    async def close(self) -> None:
        """Stops reading."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, 10)

    def _run(self) -> None:
        consumer = unjoined_consumer(
            self._bootstrap,
            "scanline-api-status",
            auto_offset_reset="earliest",
            enable_partition_eof=True,
            fetch_wait_max_ms=500,
            # librdkafka fetches ahead of the reader: 64 MiB if it may, and a process that starts reads everything there is
            queued_max_messages_kbytes=4 * 1024,
            fetch_queue_backoff_ms=10,  # or it rests for a second whenever that much is waiting
            fetch_message_max_bytes=512 * 1024,
            fetch_max_bytes=4 * 1024 * 1024,
            fetch_error_backoff_ms=50,
            reconnect_backoff_max_ms=1000,
        )
        assigned: set[int] = set()
        look_at = 0.0
        try:
            while not self._stopping.is_set():
                if time.monotonic() >= look_at:
                    self._assign(consumer, assigned)
                    look_at = time.monotonic() + (_LOOK_FOR_PARTITIONS if assigned else 0.5)
                if not assigned:
                    self._stopping.wait(0.2)
                    continue
                self._read(consumer)
                if not self.ready:
                    self._check_ready()
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer, assigned: set[int]) -> None:
        """Takes every partition that is not taken yet."""
        try:
            topic = consumer.list_topics(STATUS_TOPIC, timeout=_REQUEST_SECONDS).topics[STATUS_TOPIC]
            new = set(topic.partitions) - assigned
            if topic.error is None and new:
                consumer.incremental_assign([TopicPartition(STATUS_TOPIC, number, OFFSET_BEGINNING) for number in new])
                assigned |= new
        except KafkaException as error:
            log.warning("no metadata of the status topic: %s", error.args[0].name())

    def _check_ready(self) -> None:
        try:
            self._goal = self._goal if self._goal is not None else self._ask()
        except KafkaException:
            return
        self.ready = self._store.has_read(self._goal)

    def _read(self, consumer: Consumer) -> None:
        first = consumer.poll(0.2)
        if first is None:
            return
        batch: list[StatusMessage] = []
        positions: dict[int, int] = {}
        polled: list[Any] = [first, *consumer.consume(_BATCH, 0)]
        for message in polled:
            error = message.error()
            if error is None:
                positions[message.partition()] = message.offset() + 1
                status = _read_status(message)
                if status is not None:
                    batch.append(status)
            elif error.code() == KafkaError._PARTITION_EOF:
                positions[message.partition()] = message.offset()
        if batch:
            metrics.FOLLOWER_MESSAGES.inc(len(batch))
            metrics.FOLLOWER_LAG.set(max(0.0, time.time() - batch[-1].published_at))
        if batch or positions:
            self._hand_over(batch, positions)

    def _hand_over(self, batch: list[StatusMessage], positions: dict[int, int]) -> None:
        while not self._places.acquire(timeout=_HAND_OVER_SECONDS):
            if self._stopping.is_set():
                return
        try:
            self._loop.call_soon_threadsafe(self._apply, batch, positions)
        except RuntimeError:  # the loop is closed
            self._stopping.set()

    def _apply(self, batch: list[StatusMessage], positions: dict[int, int]) -> None:
        self._places.release()
        self._store.apply(batch, positions)


def _read_status(message: ReceivedMessage) -> StatusMessage | None:
    try:
        key = split_status_key(message.key() or b"")
        if not is_tenant_id(key[0]):
            return None
        claim = next((value for name, value in headers_of(message) if name == CLAIM_HEADER), None)
        published_at = message.timestamp()[1] / 1000
        return read(key, message.value(), message.partition(), message.offset(), published_at, claim)
    except Exception as error:  # whatever it holds: every other scan's status is read on
        log.error(
            "no status at %s-%d, offset %d: %s",
            *(STATUS_TOPIC, message.partition(), message.offset(), described(error)),
            extra=about(topic=STATUS_TOPIC, partition=message.partition(), offset=message.offset()),
        )
        return None
