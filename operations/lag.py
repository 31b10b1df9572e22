"""Measures consumer lag on scan.records.v1, partition by partition, and who owns each. Without SQLAlchemy, which takes
longer to be loaded than all of this takes: monitors run it often."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

import psycopg2

from infra.errors import InfraError
from kafka_client import lag
from kafka_client.lag import Look as Look
from kafka_client.lag import Pace as Pace
from kafka_client.lag import PartitionLag as PartitionLag
from kafka_client.lag import State as State
from operations.kafka_answers import ANSWER_SECONDS, must_answer
from schemas.server_queries import WRITTEN
from schemas.session_settings import local, reading
from schemas.stored_offset import StoredOffset
from schemas.topics import RECORDS_TOPIC

_DATABASE_SECONDS: Final = 5


def written_offsets(read_url: str, pipeline: str) -> dict[int, StoredOffset] | None:
    """PostgreSQL's, by partition; None while it does not answer."""
    kind, _, where = read_url.partition("://")
    if kind.partition("+")[0] != "postgresql":  # psycopg2 would take an empty one for a server on this machine
        return None
    try:
        connection: Any = psycopg2.connect(f"postgresql://{where}", connect_timeout=_DATABASE_SECONDS)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(local(reading(_DATABASE_SECONDS)) + WRITTEN, {"pipeline": pipeline, "topic": RECORDS_TOPIC})
            return {partition: StoredOffset(offset, topic_id) for partition, offset, topic_id in cursor}
    except psycopg2.Error:
        return None


def measure(bootstrap: str, pipeline: str, written: Mapping[int, StoredOffset] | None) -> list[PartitionLag]:
    """Every partition, in order. Without `written`, lag is what the group's committed offsets say. Raises
    InfraError."""
    with closing(LagMeter(bootstrap, pipeline)) as meter:
        return meter.look(written).partitions


class LagMeter(lag.LagMeter):
    """The same, whose failures are told in both languages. `seconds`: until an answer must be there."""

    def __init__(self, bootstrap: str, pipeline: str, seconds: float = ANSWER_SECONDS) -> None:
        super().__init__(bootstrap, pipeline, seconds)

    def look(self, written: Mapping[int, StoredOffset] | None) -> Look:
        """Every partition. Without `written`, lag is what the group's committed offsets say. Raises InfraError."""
        try:
            with must_answer(self._bootstrap):
                return super().look(written)
        except lag.NoTopic:
            raise InfraError.of("kafka_topic_missing", bootstrap=self._bootstrap, topic=RECORDS_TOPIC) from None
