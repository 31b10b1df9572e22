"""The status topic, followed as any client of Kafka can: outside a consumer group, on a thread of its own."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from infra.errors import InfraError
from kafka_client.clients import unjoined_consumer
from kafka_client.offsets import partitions_of, spans_of
from operations.kafka_answers import ANSWER_SECONDS
from schemas.codes import FINAL_STATES
from schemas.messages import is_tenant_id
from schemas.topics import STATUS_TOPIC, split_status_key

Key = tuple[str, str]  # (tenant_id, scan_id)
_POLL: Final = 0.1


class Change(NamedTuple):
    """One message of scan.status.v1. `status` None is a tombstone; `seen_at` is time.perf_counter(), `published_at` the
    time that the broker stamped it with."""

    key: Key
    status: dict[str, Any] | None
    seen_at: float
    published_at: dt.datetime


class StatusFollower:
    """Keeps the last status of every scan. A context manager; `on_change` is called on the follower's thread, and not for
    a status that is published once more: the worker repeats those of the last minutes, in case one was lost."""

    def __init__(
        self,
        bootstrap: str,
        *,
        from_start: bool = True,
        on_change: Callable[[Change], None] = lambda _: None,
        on_caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_caught_up` is called once, when all that was there at first has been read. Without `from_start` that is
        read too, since nothing else tells a repetition from a change, but nobody is told of it. Raises InfraError where
        Kafka does not answer or has no such topic."""
        self._on_change = on_change
        self._last: dict[Key, Change] = {}
        self._said: dict[Key, int] = {}
        self._ended: dict[Key, float] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._consumer = unjoined_consumer(bootstrap, "scanline-cli", enable_partition_eof=True, fetch_wait_max_ms=50)
        ends = self._ends(bootstrap)
        self._news_from = {} if from_start else ends
        self._behind = set(ends)
        self._on_caught_up = on_caught_up
        self._consumer.assign([TopicPartition(STATUS_TOPIC, number, OFFSET_BEGINNING) for number in ends])
        self._thread = threading.Thread(target=self._run, name="status-follower", daemon=True)

    def _ends(self, bootstrap: str) -> dict[int, int]:
        """The end of each partition, now: what is published from here on is not missed, however long the rest takes."""
        try:
            partitions = partitions_of(self._consumer, STATUS_TOPIC, ANSWER_SECONDS)
            if not partitions:
                raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
            spans = spans_of(self._consumer, STATUS_TOPIC, partitions, ANSWER_SECONDS)
            return {number: spans[number][1] for number in partitions}
        except KafkaException as error:
            reason = error.args[0].str()
            raise InfraError.of(
                "status_topic_not_read", topic=STATUS_TOPIC, bootstrap=bootstrap, reason=reason
            ) from error

    def last(self, keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
        """The last status of each of these scans that has one."""
        with self._changed:
            found = {key: self._last.get(key) for key in keys}
        return {key: change.status for key, change in found.items() if change is not None and change.status}

    def ended_at(self, key: Key) -> float | None:
        """The time (perf_counter) at which the scan's first final status was seen; None while it is on its way."""
        return self._ended.get(key)

    def wait_final(self, keys: Iterable[Key], silence: float, tick: Callable[[], None] = lambda: None) -> set[Key]:
        """Waits until all have ended, or until nothing was published for `silence` seconds. Returns those that have
        not."""
        left, heard = set(keys), time.monotonic()
        while left and time.monotonic() - heard < silence:
            with self._changed:
                if self._changed.wait(_POLL):
                    heard = time.monotonic()
                left -= self._ended.keys()
            tick()
        return left

    def _run(self) -> None:
        while not self._stopping.is_set():
            message: Any = self._consumer.poll(_POLL)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                self._reached_an_end(error, message.partition())
                continue
            try:
                key = split_status_key(message.key() or b"")
                value = message.value()
                status = msgspec.json.decode(value) if value else None
            except (ValueError, RecursionError, msgspec.MsgspecError):
                continue  # not one of ours; the API's follower logs it
            if not is_tenant_id(key[0]) or not isinstance(status, dict | None):
                continue
            said = _what_it_says(status)
            repeated, self._said[key] = self._said.get(key) == said, said
            if message.offset() >= self._news_from.get(message.partition(), 0):
                published_at = dt.datetime.fromtimestamp(message.timestamp()[1] / 1000, dt.UTC)
                self._take(Change(key, status, time.perf_counter(), published_at), repeated=repeated)

    def _reached_an_end(self, error: KafkaError, partition: int) -> None:
        if error.code() == KafkaError._PARTITION_EOF and self._behind:
            self._behind.discard(partition)
            if not self._behind:
                self._on_caught_up()

    def _take(self, change: Change, *, repeated: bool) -> None:
        with self._changed:
            self._last[change.key] = change
            if change.status is not None and change.status.get("status") in FINAL_STATES:
                self._ended.setdefault(change.key, change.seen_at)
            self._changed.notify_all()
        if not repeated:
            self._on_change(change)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(10)
        self._consumer.close()


def _what_it_says(status: Mapping[str, Any] | None) -> int:
    """Equal for two statuses of a scan where the later one is no change. A lane's pause, and what it waits for, is told
    under the version that the scan has already. A number of a few bytes, since the topic may hold a million scans."""
    if status is None:
        return 0
    message = status.get("message")
    text = message.get("vi") if isinstance(message, dict) else None
    return hash((repr(status.get("version")), repr(status.get("paused")), repr(text)))


def accounted(status: Mapping[str, Any]) -> int:
    """Records of a scan that have found their end."""
    return int(status["records_stored"] + status["records_rejected"] + status["records_duplicate"])
