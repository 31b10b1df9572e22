"""scan.dlq.v1, read from where it is asked to where it ended when reading began; memory stays flat."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from infra.errors import InfraError
from infra.nearest import nearest
from kafka_client.clients import unjoined_consumer
from kafka_client.offsets import partitions_of, spans_of
from kafka_client.received_message import ReceivedMessage
from operations.dead_letters.dead_letter import UNKNOWN, DeadLetter, DeadLetterSelection, letter_of
from operations.kafka_answers import ANSWER_SECONDS, must_answer
from schemas.errors import MESSAGE_ERRORS
from schemas.topics import DLQ_TOPIC

_SILENCE_SECONDS: Final = 30
_GATHER_SECONDS: Final = 0.05  # consume() waits so long for more, although it has some
_AT_ONCE: Final = 200
# Kafka's own time of a letter is that of its writing, just after its failure; clocks may differ a little.
_MARGIN_MS: Final = 5 * 60 * 1000


def kafka_must_answer(bootstrap: str) -> AbstractContextManager[None]:
    """Raises InfraError where Kafka does not answer in the block, or refuses; the command can be run again."""
    return must_answer(bootstrap, _refused)


def _refused(bootstrap: str, reason: str) -> InfraError:
    return InfraError.of("dlq_kafka_refuses", bootstrap=bootstrap, reason=reason)


def consumer(bootstrap: str) -> Consumer:
    """A consumer that holds at most 16 MiB and one message ahead."""
    return unjoined_consumer(
        bootstrap,
        "scanline-cli",
        enable_partition_eof=True,
        auto_offset_reset="earliest",
        queued_max_messages_kbytes=16 * 1024,
        fetch_wait_max_ms=20,
    )


def spans(client: Consumer, topic: str, bootstrap: str) -> dict[int, tuple[int, int]]:
    """First offset and end of each partition, now. Raises InfraError where there is no such topic, KafkaException where
    nobody answers."""
    partitions = partitions_of(client, topic, ANSWER_SECONDS)
    if not partitions:
        raise InfraError.of("kafka_topic_missing", bootstrap=bootstrap, topic=topic)
    return spans_of(client, topic, partitions, ANSWER_SECONDS)


def messages(client: Consumer, topic: str, wanted: dict[int, tuple[int, int]]) -> Iterator[list[ReceivedMessage]]:
    """Messages of [start, end) of each partition, some at a time. Gaps are passed over. Raises KafkaException."""
    left = {number: end for number, (start, end) in wanted.items() if start < end}
    client.assign([TopicPartition(topic, number, wanted[number][0]) for number in left])
    heard = time.monotonic()
    while left:
        polled: list[Any] = client.consume(_AT_ONCE, _GATHER_SECONDS)
        if polled:
            heard = time.monotonic()
        elif time.monotonic() - heard > _SILENCE_SECONDS:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        good: list[ReceivedMessage] = []
        for message in polled:
            error, number = message.error(), message.partition()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if number not in left:
                continue
            if error is None and message.offset() < left[number]:
                good.append(message)
            if error is not None or message.offset() + 1 >= left[number]:
                del left[number]
                client.pause([TopicPartition(topic, number)])
        if good:
            yield good


class DeadLetterReader:
    """The letters of a selection. A context manager; the ends are asked for when it is opened."""

    def __init__(self, bootstrap: str, selection: DeadLetterSelection) -> None:
        """Raises InfraError where Kafka is away."""
        self._bootstrap = bootstrap
        self._selection = selection
        self._consumer = consumer(bootstrap)
        try:
            with kafka_must_answer(bootstrap):
                self._spans = self._narrowed(spans(self._consumer, DLQ_TOPIC, bootstrap))
        except InfraError:
            self.close()
            raise

    @property
    def total(self) -> int:
        """Offsets that will be passed, for the progress bar."""
        return sum(max(0, end - start) for start, end in self._spans.values())

    def _narrowed(self, found: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
        """Narrows the spans to what can hold a letter that is meant."""
        asked = self._selection
        if asked.partition is not None:
            found = {number: span for number, span in found.items() if number == asked.partition}
        if asked.since is not None:
            stamp = int(asked.since.timestamp() * 1000) - _MARGIN_MS
            places = [TopicPartition(DLQ_TOPIC, number, max(0, stamp)) for number in found]
            for place in self._consumer.offsets_for_times(places, timeout=ANSWER_SECONDS) if places else []:
                if place.error is not None:
                    raise KafkaException(place.error)
                start, end = found[place.partition]
                found[place.partition] = (max(start, place.offset if place.offset >= 0 else end), end)
        if asked.offset is not None:
            found = {number: (max(start, asked.offset), end) for number, (start, end) in found.items()}
        if asked.ids:
            found = {number: self._around_ids(number, span) for number, span in found.items()}
        return found

    def _around_ids(self, number: int, span: tuple[int, int]) -> tuple[int, int]:
        offsets = [offset for partition, offset in self._selection.ids if partition == number]
        if not offsets:
            return span[1], span[1]
        return max(span[0], min(offsets)), min(span[1], max(offsets) + 1)

    def letters(self, advance: Callable[[int], None] = lambda _: None) -> Iterator[list[DeadLetter]]:
        """Gives the letters that are meant, some at a time, each partition in its order. `advance` is called with how
        many were passed. Raises InfraError where the reason is none of ours, and no letter has it."""
        reason, met = self._selection.reason, False
        with kafka_must_answer(self._bootstrap):
            for polled in messages(self._consumer, DLQ_TOPIC, self._spans):
                letters = [letter_of(message) for message in polled]
                met = met or any(letter.reason == reason for letter in letters)
                found = [letter for letter in letters if self._selection.matches(letter)]
                if found:
                    yield found
                advance(len(polled))
        known = (*MESSAGE_ERRORS, UNKNOWN)
        if reason is not None and not met and reason not in known:  # another version of the worker may have others
            raise InfraError.of(
                "dlq_reason_unknown", reason=reason, known=", ".join(known), near=nearest(reason, known)
            )

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> "DeadLetterReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
