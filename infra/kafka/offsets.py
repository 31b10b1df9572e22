"""What the broker says of scan.records.v1 to a command that asks once and may fail. The worker, which goes on whatever is not
answered, asks in stream_app/bounds.py."""

from collections.abc import Collection
from typing import Final

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.topics import RECORDS_TOPIC
from stream_app.bounds import Found, Log, ask_topic_id, topic_id_in

_SECONDS: Final = 10.0


def admin_of(bootstrap: str) -> AdminClient:
    """Quiet: what it cannot reach is told by the questions themselves."""
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


def partitions_of(admin: AdminClient) -> list[int]:
    """In order; none where there is no such topic. Raises KafkaException."""
    known = admin.list_topics(timeout=_SECONDS).topics.get(RECORDS_TOPIC)
    return [] if known is None or known.error is not None else sorted(known.partitions)


def topic_id_of(admin: AdminClient) -> str | None:
    """None from a broker that knows no ids. Raises KafkaException, TimeoutError."""
    return topic_id_in(ask_topic_id(admin, _SECONDS).result(_SECONDS + 1))


def offsets_of(
    admin: AdminClient, partitions: Collection[int], spec: OffsetSpec, *, readable: bool = False
) -> dict[int, int]:
    """By partition. `readable`: the latest is what comes before the first transaction that is still open (KIP-98). Raises
    KafkaException, TimeoutError."""
    if not partitions:
        return {}
    asked = {TopicPartition(RECORDS_TOPIC, number): spec for number in partitions}
    level = IsolationLevel.READ_COMMITTED if readable else IsolationLevel.READ_UNCOMMITTED
    found = admin.list_offsets(asked, isolation_level=level, request_timeout=_SECONDS)
    return {place.partition: int(answer.result(_SECONDS + 1).offset) for place, answer in found.items()}


def found_in(admin: AdminClient, partitions: Collection[int]) -> Found:
    """Of every partition. Raises KafkaException, TimeoutError."""
    begins = offsets_of(admin, partitions, OffsetSpec.earliest())
    ends = offsets_of(admin, partitions, OffsetSpec.latest())
    return Found(topic_id_of(admin), {number: Log(begins[number], ends[number]) for number in partitions})
