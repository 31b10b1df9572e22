"""What Kafka tells of the topics, and how far the workers are behind."""

from collections.abc import Iterator
from typing import Final

import psycopg2
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType

from infra.errors import InfraError
from kafka_client.clients import quiet_admin
from kafka_client.offsets import BEGIN_AND_END, offsets_of
from operations.exporter import declarations as told
from operations.exporter.postgres import Session
from operations.exporter.sources import Away, Sample
from operations.lag import LagMeter, PartitionLag
from schemas.server_queries import LETTERS_DONE, WRITTEN
from schemas.stored_offset import StoredOffset
from schemas.topics import DLQ_TOPIC, RECORDS_TOPIC, STATUS_TOPIC


class Kafka:
    """See Source."""

    name: Final = "kafka"

    def __init__(self, bootstrap: str, pipeline: str, monitor_url: str, seconds: float) -> None:
        self._pipeline = pipeline
        self._seconds = seconds
        self._admin = quiet_admin(bootstrap, "scanline-exporter")
        self._meter = LagMeter(bootstrap, pipeline, seconds)
        self._session = Session(monitor_url, seconds)

    def look(self) -> list[Sample]:
        """See Source."""
        try:
            return [*self._lag(), *self._topics(), *self._dead_letters()]
        except InfraError as error:
            raise Away(error.en) from None
        except (KafkaException, TimeoutError) as error:
            reason = error.args[0].str() if isinstance(error, KafkaException) else type(error).__name__
            raise Away(reason) from None

    def _lag(self) -> Iterator[Sample]:
        for each in self._meter.look(self._written()).partitions:
            yield from _lag_of(each)

    def _written(self) -> dict[int, StoredOffset] | None:
        """None while PostgreSQL does not answer: the group's offsets then count."""
        try:
            rows = self._session.rows(WRITTEN, {"pipeline": self._pipeline, "topic": RECORDS_TOPIC})
        except psycopg2.Error:
            return None
        return {partition: StoredOffset(offset, topic_id) for partition, offset, topic_id in rows}

    def _topics(self) -> Iterator[Sample]:
        present = self._admin.list_topics(timeout=self._seconds).topics
        names = [name for name in (RECORDS_TOPIC, STATUS_TOPIC, DLQ_TOPIC) if name in present]
        resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in names}
        answers = self._admin.describe_configs(list(resources.values()), request_timeout=self._seconds)
        for name, resource in resources.items():
            policy = str(answers[resource].result(self._seconds + 1)["cleanup.policy"].value)
            yield Sample(told.TOPIC_COMPACTED, float("compact" in policy.split(",")), (name,))
            yield Sample(told.TOPIC_PARTITIONS, float(len(present[name].partitions)), (name,))

    def _dead_letters(self) -> Iterator[Sample]:
        begins, ends = offsets_of(self._admin, DLQ_TOPIC, None, *BEGIN_AND_END, seconds=self._seconds)
        numbers = sorted(begins)
        bounds = {
            "partitions": numbers,
            "begins": [begins[number] for number in numbers],
            "ends": [ends[number] for number in numbers],
        }
        try:
            ((done,),) = self._session.rows(LETTERS_DONE, bounds)
        except psycopg2.Error:
            return  # what was done about them is not known
        there = sum(ends.values()) - sum(begins.values())
        yield Sample(told.DEAD_LETTERS_WAITING, float(max(0, there - done)))


def _lag_of(each: PartitionLag) -> Iterator[Sample]:
    place = (str(each.partition),)
    yield Sample(told.LAG_MESSAGES, float(each.lag), place)
    if each.lag_seconds is not None:
        yield Sample(told.LAG_SECONDS, each.lag_seconds, place)
    if each.written is not None:
        yield Sample(told.LAG_WRITTEN_OFFSET, float(each.written), place)
    yield Sample(told.LAG_END_OFFSET, float(each.end), place)
    if each.owner is not None or each.state == "unowned":
        yield Sample(told.LAG_OWNED, float(each.owner is not None), place)
