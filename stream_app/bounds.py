"""What the broker says of scan.records.v1: which topic it is, and what its partitions' logs hold."""

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.topics import RECORDS_TOPIC
from sinks.base import Place

log = logging.getLogger("scanline.logs")
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
            asked_id = ask_topic_id(self._client, _SECONDS)
            asked_begins = self._ask(partitions, OffsetSpec.earliest())
            asked_ends = self._ask(partitions, OffsetSpec.latest())
        except KafkaException as error:
            log.info("no bounds of logs this time: %s", type(error).__name__)
            return Found(None, {})
        begins, ends = _offsets(asked_begins), _offsets(asked_ends)
        logs = {number: Log(begin, ends[number]) for number, begin in begins.items() if number in ends}
        try:
            return Found(topic_id_in(asked_id.result(_SECONDS + 1)), logs)
        except (KafkaException, TimeoutError):
            return Found(None, logs)

    def _ask(self, partitions: list[int], spec: OffsetSpec) -> Mapping[TopicPartition, Future[Any]]:
        assert self._client is not None
        if not partitions:
            return {}
        asked = {TopicPartition(RECORDS_TOPIC, number): spec for number in partitions}
        return self._client.list_offsets(asked, request_timeout=_SECONDS)


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


def _offsets(answers: Mapping[TopicPartition, Future[Any]]) -> dict[int, int]:
    found = {}
    for place, answer in answers.items():
        try:
            found[place.partition] = int(answer.result(_SECONDS + 1).offset)
        except (KafkaException, TimeoutError):
            continue
    return found
