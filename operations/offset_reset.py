"""Resets the stored offsets for an operator, after a topic was recreated, or lost its end."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaException
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from infra.errors import InfraError
from kafka_client.clients import quiet_admin
from kafka_client.offsets import TopicLogs, partitions_of, topic_logs_of
from operations.audit import NO_TENANT, actor
from operations.kafka_answers import ANSWER_SECONDS
from schemas.session_settings import begin_with, deciding
from schemas.stored_offset import StoredOffset
from schemas.topics import RECORDS_TOPIC

_SECONDS: Final = 10
_STORED: Final = text(
    "SELECT partition, next_offset, topic_id FROM stream_offsets WHERE pipeline = :pipeline AND topic = :topic"
    " ORDER BY partition FOR UPDATE"
)
_SET: Final = text(
    "UPDATE stream_offsets SET next_offset = :after, topic_id = :topic_id, owner = :actor, updated_at = clock_timestamp()"
    " WHERE pipeline = :pipeline AND topic = :topic AND partition = :partition"
)
_AUDIT: Final = text(
    "INSERT INTO audit_log (tenant_id, actor, action, details, message) VALUES (:tenant, :actor, 'offset_reset',"
    " jsonb_build_object('pipeline', cast(:pipeline AS text), 'topic', cast(:topic AS text),"
    " 'partition', cast(:partition AS int), 'before', cast(:before AS bigint), 'after', cast(:after AS bigint),"
    " 'passed_over', cast(:passed_over AS bigint), 'topic_id', cast(:topic_id AS text)),"
    " jsonb_build_object('vi', cast(:vi AS text), 'en', cast(:en AS text)))"
)


class Reset(NamedTuple):
    """One partition's stored offset, before and after. `passed_over` offsets of the log may never have been read."""

    partition: int
    before: int
    after: int
    passed_over: int


class Done(NamedTuple):
    """The result of a reset. `gone`: partitions with a stored offset that the topic does not have; theirs was left as
    it is."""

    resets: list[Reset]
    gone: list[int]


def reset(bootstrap: str, write_url: str, pipeline: str, partition: int | None, to: str, yes: bool) -> Done:
    """Sets the offset of the partition, or (None) of each whose lane waits with log_replaced, to `to`: earliest, latest
    or an offset of the topic as it is now, whose id is stored with it. All in one transaction, with an audit row for
    each. Raises InfraError, and has then changed nothing."""
    who = actor()
    engine = create_engine(write_url, connect_args={"connect_timeout": _SECONDS})
    # Kafka is asked between two statements, and takes its time
    begin_with(engine, {**deciding(_SECONDS), "idle_in_transaction_session_timeout": "0"})
    place = {"pipeline": pipeline, "topic": RECORDS_TOPIC}
    try:
        with engine.begin() as connection:
            rows = connection.execute(_STORED, place)
            stored = {row.partition: StoredOffset(row.next_offset, row.topic_id) for row in rows}
            if partition is not None and partition not in stored:
                raise InfraError.of("partition_never_read", partition=partition, pipeline=pipeline)
            found = _found(bootstrap, list(stored) if partition is None else [partition])
            if partition is not None and partition not in found.logs:
                raise InfraError.of("offsets_partition_unknown", topic=RECORDS_TOPIC, partition=partition)
            chosen = [
                number
                for number in found.logs
                if number == partition or (stored[number].next_offset > 0 and found.is_another(number, stored[number]))
            ]
            plan = [_planned(number, stored[number], found, to) for number in chosen]
            if not yes:
                _refuse_to_pass_over(plan)
            for each in plan:
                _write(connection, {**place, "actor": who, "topic_id": found.topic_id}, each)
    except SQLAlchemyError as error:
        raise InfraError.of("offsets_not_stored", reason=type(error).__name__) from None
    finally:
        engine.dispose()
    return Done(plan, sorted(stored.keys() - found.logs.keys()) if partition is None else [])


def _found(bootstrap: str, wanted: list[int]) -> TopicLogs:
    """Asks about those of the partitions that the topic has: one that was recreated may have fewer."""
    admin = quiet_admin(bootstrap)
    try:
        there = partitions_of(admin, RECORDS_TOPIC, ANSWER_SECONDS)
        if not there:
            raise InfraError.of("offsets_topic_missing", bootstrap=bootstrap, topic=RECORDS_TOPIC)
        return topic_logs_of(admin, RECORDS_TOPIC, [number for number in wanted if number in there], ANSWER_SECONDS)
    except (KafkaException, TimeoutError) as error:
        raise InfraError.of(
            "offsets_unknown", bootstrap=bootstrap, topic=RECORDS_TOPIC, reason=type(error).__name__
        ) from None


def _planned(partition: int, stored: StoredOffset, found: TopicLogs, to: str) -> Reset:
    held = found.logs[partition]
    if to in ("earliest", "latest"):
        target = held.begin if to == "earliest" else held.end
    elif to.isascii() and to.isdigit() and held.begin <= int(to) <= held.end:
        target = int(to)
    else:
        raise InfraError.of("offsets_target_invalid", to=to, begin=held.begin, end=held.end, partition=partition)
    # of another topic's log nothing was read, and of one that ends before the stored offset nobody knows what was
    unread = held.begin if found.is_another(partition, stored) else max(stored.next_offset, held.begin)
    return Reset(partition, stored.next_offset, target, max(0, target - unread))


def _refuse_to_pass_over(plan: list[Reset]) -> None:
    for each in plan:
        if each.passed_over:
            raise InfraError.of("offsets_unread", partition=each.partition, count=each.passed_over)


def _write(connection: Connection, place: Mapping[str, str | None], each: Reset) -> None:
    texts = {
        "vi": f"Đặt lại offset của phân vùng {each.partition}: từ {each.before} thành {each.after}.",
        "en": f"The offset of partition {each.partition} was set from {each.before} to {each.after}.",
    }
    connection.execute(_SET, {**place, "partition": each.partition, "after": each.after})
    connection.execute(_AUDIT, {**place, **each._asdict(), **texts, "tenant": NO_TENANT})
