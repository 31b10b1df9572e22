"""What the broker says of scan.records.v1: which topic it is, and what its partitions' logs hold."""

import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

from confluent_kafka import (
    OFFSET_INVALID,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.topics import RECORDS_TOPIC
from sinks.protocol import Place

log = logging.getLogger("scanline.logs")
BEGIN_AND_END: Final = (OffsetSpec.earliest(), OffsetSpec.latest())
_SECONDS: Final = 5.0


class Log(NamedTuple):
    """Of one partition: the first offset it holds, and the one after its last, transactions under way included."""

    begin: int
    end: int


class Found(NamedTuple):
    """`topic_id` None: not told, or by a broker that knows no ids. `logs`: of those partitions whose leader answers."""

    topic_id: str | None
    logs: Mapping[int, Log]

    def is_another(self, partition: int, place: Place) -> bool:
        """Whether the place was stored of another log than the one that is there now, or of one that lost its end."""
        other = self.topic_id is not None and place.of_another(self.topic_id)
        return other or place.next_offset > self.logs[partition].end


class Bounds:
    """Asks the broker, everything at once. Blocks for some seconds at most, for a thread."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._client: AdminClient | None = None

    def __call__(self, partitions: list[int]) -> Found:
        """Nothing is raised; what is not answered is left out."""
        if self._client is None:
            self._client = AdminClient(
                {"bootstrap.servers": self._bootstrap, "client.id": "scanline-logs", "log_level": 0}
            )
        try:
            asked_begins, asked_ends = ask_offsets(self._client, partitions, BEGIN_AND_END, _SECONDS)
            asked_id = ask_topic_id(self._client, _SECONDS)
        except KafkaException as error:
            log.info("no bounds of logs this time: %s", type(error).__name__)
            return Found(None, {})
        begins, ends = answered(asked_begins, _SECONDS), answered(asked_ends, _SECONDS)
        logs = {number: Log(begin, ends[number]) for number, begin in begins.items() if number in ends}
        try:
            return Found(topic_id_in(asked_id.result(_SECONDS + 1)), logs)
        except (KafkaException, TimeoutError):
            return Found(None, logs)


def ask_offsets(
    admin: AdminClient,
    partitions: Collection[int],
    specs: Sequence[OffsetSpec],
    seconds: float,
    *,
    readable: bool = False,
) -> list[Mapping[int, Future[Any]]]:
    """Of each partition's leader, for `offset_in`: an answer to each of the specs, all asked at the same time. `readable`: the
    latest is what comes before the first transaction that is still open (KIP-98). Raises KafkaException where no broker says
    who leads."""
    if not partitions:
        return [{} for _ in specs]
    # librdkafka asks the leaders that it knows of, and hears of others once in five minutes: until then it would go on asking
    # a broker that is gone, and one that leads again by another epoch
    admin.list_topics(RECORDS_TOPIC, timeout=seconds)
    level = IsolationLevel.READ_COMMITTED if readable else IsolationLevel.READ_UNCOMMITTED
    places = [TopicPartition(RECORDS_TOPIC, number) for number in partitions]
    asked = [
        admin.list_offsets(dict.fromkeys(places, spec), isolation_level=level, request_timeout=seconds)
        for spec in specs
    ]
    return [{place.partition: answer for place, answer in answers.items()} for answers in asked]


def offset_in(answer: Future[Any], seconds: float) -> int:
    """Raises KafkaException, TimeoutError. A leader that did not answer in time comes as OFFSET_INVALID (-1001) and without an
    error (librdkafka 2.16): taken for an offset, every log would have lost its end."""
    offset = int(answer.result(seconds + 1).offset)
    if offset == OFFSET_INVALID:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the partition's leader does not answer"))
    return offset


def answered(answers: Mapping[int, Future[Any]], seconds: float) -> dict[int, int]:
    """Those that came."""
    found = {}
    for number, answer in answers.items():
        try:
            found[number] = offset_in(answer, seconds)
        except (KafkaException, TimeoutError):
            continue
    return found


def ask_topic_id(admin: AdminClient, seconds: float) -> Future[Any]:
    """Of a description for `topic_id_in`. Both raise KafkaException."""
    return admin.describe_topics(TopicCollection([RECORDS_TOPIC]), request_timeout=seconds)[RECORDS_TOPIC]


def topic_id_in(description: Any) -> str | None:
    """As Kafka's own tools write it, 22 characters of base64 for URLs (librdkafka writes plain base64). A topic that was made
    anew under the same name has another (KIP-516). Brokers before 2.8 know none, which comes as zero."""
    found = description.topic_id
    if not found.get_most_significant_bits() and not found.get_least_significant_bits():
        return None
    return str(found).replace("+", "-").replace("/", "_")
