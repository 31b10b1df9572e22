"""Measures consumer lag on scan.records.v1, partition by partition. Without SQLAlchemy, which takes longer to be
loaded than all of this takes: monitors run it often."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any, Final, NamedTuple

import psycopg2
from confluent_kafka import KafkaError, TopicPartition

from infra.errors import InfraError
from kafka_client.clients import quiet_admin, unjoined_consumer
from kafka_client.offsets import TopicLogs, committed_of, partitions_of, topic_logs_of
from operations.kafka_answers import ANSWER_SECONDS, must_answer
from schemas.stored_offset import StoredOffset
from schemas.topics import RECORDS_TOPIC

_DATABASE_SECONDS: Final = 5
_WRITTEN: Final = "SELECT partition, next_offset, topic_id FROM stream_offsets WHERE pipeline = %s AND topic = %s"


class PartitionLag(NamedTuple):
    """Offsets of one partition. `written` is PostgreSQL's, the truth; `committed` the group's copy of it for monitors.
    `lag` is all that the log holds where `written` is of another log: a recreated topic, or one that lost its end."""

    partition: int
    end: int
    committed: int | None
    written: int | None
    lag: int


def written_offsets(read_url: str, pipeline: str) -> dict[int, StoredOffset] | None:
    """PostgreSQL's, by partition; None while it does not answer."""
    kind, _, where = read_url.partition("://")
    if kind.partition("+")[0] != "postgresql":  # psycopg2 would take an empty one for a server on this machine
        return None
    options = f"-c statement_timeout={_DATABASE_SECONDS * 1000} -c default_transaction_read_only=on"
    try:
        connection: Any = psycopg2.connect(f"postgresql://{where}", connect_timeout=_DATABASE_SECONDS, options=options)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(_WRITTEN, (pipeline, RECORDS_TOPIC))
            return {partition: StoredOffset(offset, topic_id) for partition, offset, topic_id in cursor}
    except psycopg2.Error:
        return None


def measure(bootstrap: str, pipeline: str, written: Mapping[int, StoredOffset] | None) -> list[PartitionLag]:
    """Every partition, in order. Without `written`, lag is what the group's committed offsets say. Raises
    InfraError."""
    with must_answer(bootstrap):
        return _measure(bootstrap, pipeline, written)


def _measure(bootstrap: str, pipeline: str, written: Mapping[int, StoredOffset] | None) -> list[PartitionLag]:
    admin = quiet_admin(bootstrap)
    partitions = partitions_of(admin, RECORDS_TOPIC, ANSWER_SECONDS)
    if not partitions:
        raise InfraError.of("kafka_topic_missing", bootstrap=bootstrap, topic=RECORDS_TOPIC)
    committed = _committed(bootstrap, pipeline, partitions)
    found = topic_logs_of(admin, RECORDS_TOPIC, partitions, ANSWER_SECONDS)
    reached = committed if written is None else _reached(written, found)
    # what retention has deleted is nobody's backlog
    starts = {number: max(reached.get(number, 0), held.begin) for number, held in found.logs.items()}
    nexts = _next_readable(bootstrap, {number: at for number, at in starts.items() if at < found.logs[number].end})
    return [
        PartitionLag(
            number,
            held.end,
            committed.get(number),
            None if written is None or number not in written else written[number].next_offset,
            max(0, held.end - nexts.get(number, starts[number])),
        )
        for number, held in found.logs.items()
    ]


def _reached(written: Mapping[int, StoredOffset], found: TopicLogs) -> dict[int, int]:
    return {
        number: 0 if found.is_another(number, stored) else stored.next_offset
        for number, stored in written.items()
        if number in found.logs
    }


def _committed(bootstrap: str, group: str, partitions: Iterable[int]) -> dict[int, int]:
    consumer = unjoined_consumer(bootstrap, group)
    try:
        return committed_of(consumer, RECORDS_TOPIC, partitions, ANSWER_SECONDS)
    finally:
        consumer.close()


def _next_readable(bootstrap: str, starts: Mapping[int, int]) -> dict[int, int]:
    """The first message at or after each offset, or where the partition ends: the marks of transactions, what was
    aborted and what was compacted away are nothing to lag behind."""
    if not starts:
        return {}
    consumer = unjoined_consumer(
        bootstrap,
        "scanline-cli",
        enable_partition_eof=True,
        auto_offset_reset="earliest",
        fetch_message_max_bytes=16 * 1024,
        fetch_wait_max_ms=10,
    )
    found: dict[int, int] = {}
    try:
        consumer.assign([TopicPartition(RECORDS_TOPIC, number, at) for number, at in starts.items()])
        while len(found) < len(starts):
            message: Any = consumer.poll(ANSWER_SECONDS)
            if message is None:
                break  # the broker is slow: what is not known counts as backlog
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                continue
            found.setdefault(message.partition(), message.offset())
            consumer.pause([TopicPartition(RECORDS_TOPIC, message.partition())])
    finally:
        consumer.close()
    return found
