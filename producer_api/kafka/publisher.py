"""Publishing to Kafka from an event loop: futures that a poll thread resolves, many at a time.

Two producers. The first gives up on a message after SCANLINE_API_DELIVERY_SECONDS, so that a submission is never left
hanging and nothing of a refused one arrives later. The second, made when first needed, keeps trying for an hour: it
carries the cancellation of scans that the first could not publish."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from kafka_client.received_message import ReceivedMessage
from producer_api import metrics
from producer_api.settings import ApiSettings
from schemas.topics import METADATA_REFRESH_MS, PARTITIONER

log = logging.getLogger("scanline.publisher")
_librdkafka = logging.getLogger("librdkafka")
_LASTING_SECONDS: Final = 3600
_PROBE_SECONDS: Final = 2.0
_PROBE_EVERY: Final = 1.0
_AWAY: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT})
Headers = Sequence[tuple[str, bytes]]


class PublishFailed(Exception):
    """Kafka did not take a message in time, or cannot be reached."""


class Delivered(NamedTuple):
    """The partition and offset of an acknowledged message; `timestamp` in milliseconds since 1970."""

    partition: int
    offset: int
    timestamp: int


_Done = tuple[asyncio.Future[Delivered], float, Any, ReceivedMessage]  # who waits, since when, the error, the message


def _settings(settings: ApiSettings, timeout_seconds: float, buffer_kib: int) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": "scanline-api",
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": PARTITIONER,
        "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS,
        "linger.ms": settings.api_linger_ms,
        "compression.type": "lz4",
        "message.timeout.ms": int(timeout_seconds * 1000),
        "queue.buffering.max.kbytes": buffer_kib,
        "socket.nagle.disable": True,
        "reconnect.backoff.max.ms": 1000,
        "log.connection.close": False,
    }


class Publisher:
    """Belongs to the event loop that made it; `send` is called there only."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._suspect = False
        self._probed_at = 0.0
        self._probing: asyncio.Future[bool] | None = None
        self._done: deque[_Done] = deque()  # threads add and take, one at a time
        self._stopping = threading.Event()
        self._main = Producer(
            {
                **_settings(settings, settings.api_delivery_seconds, settings.api_kafka_buffer_kib),
                "error_cb": self._on_error,
            },
            logger=_librdkafka,
        )
        self._lasting: Producer | None = None
        self._thread = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while acknowledgements are being collected."""
        return self._thread.is_alive()

    def send(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> asyncio.Future[Delivered]:
        """Hands a message over; the future ends when Kafka has it. It (or the call, with a full buffer) raises
        PublishFailed."""
        future: asyncio.Future[Delivered] = self._loop.create_future()
        try:
            self._main.produce(
                topic,
                value,
                key,
                headers=list(headers),
                on_delivery=partial(self._on_delivery, future, time.monotonic()),
            )
        except (BufferError, KafkaException):
            self._suspect = True
            raise PublishFailed("the send buffer is full") from None
        return future

    def send_lasting(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """Publishes without waiting, and keeps trying for an hour."""
        if self._lasting is None:
            self._lasting = Producer(_settings(self._settings, _LASTING_SECONDS, 8 * 1024), logger=_librdkafka)
        try:
            self._lasting.produce(topic, value, key, headers=list(headers))
        except (BufferError, KafkaException):
            metrics.PUBLISH_FAILURES.inc()
            log.error("no room to publish a cancellation to %s", topic)

    def suspect(self) -> None:
        """Something did not arrive in time: ask for metadata before taking the next body."""
        self._suspect = True

    async def ensure_reachable(self) -> None:
        """Returns at once while all is well; after a failure asks Kafka for metadata first. Raises PublishFailed."""
        if self._suspect and not await self.probe():
            raise PublishFailed("no metadata")

    async def probe(self) -> bool:
        """True where Kafka answers a metadata request; asked at most once a second, by all callers together."""
        if self._probing is None or (self._probing.done() and time.monotonic() - self._probed_at > _PROBE_EVERY):
            self._probing = asyncio.ensure_future(asyncio.to_thread(self._ask_for_metadata))
        return await asyncio.shield(self._probing)

    def _ask_for_metadata(self) -> bool:
        try:
            self._main.list_topics(timeout=_PROBE_SECONDS)
        except KafkaException:
            self._suspect = True
            return False
        else:
            self._suspect = False
            return True
        finally:
            self._probed_at = time.monotonic()

    async def close(self) -> None:
        """Gives what is on its way a few seconds, then stops."""
        await asyncio.to_thread(self._flush)
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, 5)

    def _flush(self) -> None:
        for producer in (self._main, self._lasting):
            if producer is not None and producer.flush(5):
                log.error("%d messages were not delivered at shutdown", len(producer))

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in _AWAY:
            self._suspect = True

    def _on_delivery(self, future: asyncio.Future[Delivered], since: float, error: Any, message: Any) -> None:
        self._done.append((future, since, error, message))
        if threading.current_thread() is not self._thread:  # flush() at shutdown serves callbacks as well
            self._hand_over()

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._main.poll(0.2)
            if self._lasting is not None:
                self._lasting.poll(0)
            if self._done:
                self._hand_over()

    def _hand_over(self) -> None:
        done: list[_Done] = []
        with suppress(IndexError):
            while True:
                done.append(self._done.popleft())
        try:
            self._loop.call_soon_threadsafe(self._resolve, done)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.warning("%d acknowledgements came after the end", len(done))

    def _resolve(self, done: list[_Done]) -> None:
        now = time.monotonic()
        for future, since, error, message in done:
            if error is not None:
                self._suspect = True
                metrics.PUBLISH_FAILURES.inc()
                if not future.done():
                    future.set_exception(PublishFailed(error.name()))
                    future.exception()  # marked as seen: who gave up on it must not hear of it again
                continue
            metrics.PUBLISH.observe(now - since)
            if not future.done():
                future.set_result(Delivered(message.partition(), message.offset(), message.timestamp()[1]))
