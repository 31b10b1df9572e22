"""Asks brokers about a topic: its id, the bounds of its partitions' logs, and the offsets that a consumer group has
committed."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.stored_offset import StoredOffset

BEGIN_AND_END: Final = (OffsetSpec.earliest(), OffsetSpec.latest())
# a broker that has just started, has just taken the group over, or has never had one
_NOT_YET: Final = frozenset(
    {KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR}
)


class Log(NamedTuple):
    """The log of one partition: the first offset it holds, and the one after its last, transactions under way
    included."""

    begin: int
    end: int


class TopicLogs(NamedTuple):
    """What was asked of a topic. `topic_id` is None where it was not asked, or the broker knows no ids; `logs` has the
    partitions whose leader answered."""

    topic_id: str | None
    logs: Mapping[int, Log]

    def is_another(self, partition: int, stored: StoredOffset) -> bool:
        """True where the offset certainly counts another log than the one that is there now, or one that lost its
        end."""
        return stored.counts_another(self.topic_id) or stored.next_offset > self.logs[partition].end


def partitions_of(client: Any, topic: str, seconds: float) -> list[int]:
    """The numbers of a topic's partitions, in order; none where there is no such topic. `client`: an AdminClient or a
    Consumer, which hears of new leaders by this: by itself librdkafka would ask the old ones for up to five minutes.
    Raises KafkaException."""
    known = client.list_topics(topic, timeout=seconds).topics[topic]
    if known.error is None:
        return sorted(known.partitions)
    if known.error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        return []
    raise KafkaException(known.error)


def ask_offsets(
    admin: AdminClient,
    topic: str,
    partitions: Collection[int] | None,
    specs: Sequence[OffsetSpec],
    seconds: float,
    *,
    readable: bool = False,
) -> list[Mapping[int, Future[Any]]]:
    """Asks each partition's leader (`partitions` None: of all that there are), for `offset_in`: an answer to each of
    the specs, all asked at the same time. `readable`: the latest is what comes before the first transaction that is
    still open (KIP-98). Raises KafkaException where no broker says who leads."""
    if partitions is not None and not partitions:
        return [{} for _ in specs]
    there = partitions_of(admin, topic, seconds)
    level = IsolationLevel.READ_COMMITTED if readable else IsolationLevel.READ_UNCOMMITTED
    places = [TopicPartition(topic, number) for number in (there if partitions is None else partitions)]
    asked = [
        admin.list_offsets(dict.fromkeys(places, spec), isolation_level=level, request_timeout=seconds)
        for spec in specs
    ]
    return [{place.partition: answer for place, answer in answers.items()} for answers in asked]


def offset_in(answer: Future[Any], seconds: float) -> int:
    """Raises KafkaException, TimeoutError. A leader that did not answer in time comes as OFFSET_INVALID (-1001) and
    without an error (librdkafka 2.16): taken for an offset, every log would have lost its end."""
    offset = int(answer.result(seconds + 1).offset)
    if offset == OFFSET_INVALID:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the partition's leader does not answer"))
    return offset


def answered(answers: Mapping[int, Future[Any]], seconds: float) -> dict[int, int]:
    """The answers that came."""
    found = {}
    for number, answer in answers.items():
        try:
            found[number] = offset_in(answer, seconds)
        except (KafkaException, TimeoutError):
            continue
    return found


def offsets_of(
    admin: AdminClient,
    topic: str,
    partitions: Collection[int] | None,
    *specs: OffsetSpec,
    seconds: float,
    readable: bool = False,
) -> list[dict[int, int]]:
    """The offsets for each of the specs, by partition; see `ask_offsets`. Raises KafkaException, TimeoutError where one
    is not answered."""
    asked = ask_offsets(admin, topic, partitions, specs, seconds, readable=readable)
    return [{number: offset_in(answer, seconds) for number, answer in answers.items()} for answers in asked]


def ask_topic_id(admin: AdminClient, topic: str, seconds: float) -> Future[Any]:
    """Asks for a topic's description, for `topic_id_in`. Both raise KafkaException."""
    return admin.describe_topics(TopicCollection([topic]), request_timeout=seconds)[topic]


def topic_id_in(description: Any) -> str | None:
    """The topic's id as Kafka's own tools write it, 22 characters of base64 for URLs (librdkafka writes plain base64).
    A topic that was recreated under the same name has another (KIP-516). Brokers before 2.8 know none, which comes as
    zero."""
    found = description.topic_id
    if not found.get_most_significant_bits() and not found.get_least_significant_bits():
        return None
    return str(found).replace("+", "-").replace("/", "_")


def topic_id_of(admin: AdminClient, topic: str, seconds: float) -> str | None:
    """The topic's id; None from a broker that knows no ids. Raises KafkaException, TimeoutError."""
    return topic_id_in(ask_topic_id(admin, topic, seconds).result(seconds + 1))


def topic_logs_of(admin: AdminClient, topic: str, partitions: Collection[int], seconds: float) -> TopicLogs:
    """The topic's id and the logs of every partition. Raises KafkaException, TimeoutError."""
    begins, ends = offsets_of(admin, topic, partitions, *BEGIN_AND_END, seconds=seconds)
    logs = {number: Log(begins[number], ends[number]) for number in partitions}
    return TopicLogs(topic_id_of(admin, topic, seconds), logs)


class Committed(NamedTuple):
    """What a group has committed of one partition; `note` is what its member wrote beside it."""

    offset: int
    note: str


def _note_at(place: TopicPartition) -> str:
    """The client takes a note as C does (confluent-kafka 2.16.1): one that does not end with NUL is followed by whatever
    lies behind it in memory."""
    try:
        return place.metadata or ""
    except UnicodeDecodeError:
        return ""


def committed_of(consumer: Consumer, topic: str, partitions: Iterable[int], seconds: float) -> dict[int, Committed]:
    """What the consumer's group has committed, where it has; the group is not joined. A coordinator that is not ready
    yet is asked again until the time is over. Raises KafkaException.

    The admin client's call for the same ended the whole process (confluent-kafka 2.16.1) while the broker loaded its
    groups."""
    deadline = time.monotonic() + seconds
    places = [TopicPartition(topic, number) for number in partitions]
    while True:
        try:
            found = consumer.committed(places, timeout=seconds)
            return {place.partition: Committed(place.offset, _note_at(place)) for place in found if place.offset >= 0}
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET or time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def spans_of(consumer: Consumer, topic: str, partitions: Iterable[int], seconds: float) -> dict[int, tuple[int, int]]:
    """First offset and end of each partition, as far as consumers may read. Raises KafkaException."""
    return {
        number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=seconds) for number in partitions
    }
