"""Allowances: messages that an operator lets go to the dead-letter topic although the limit holds them back (decision
0005)."""

from typing import Final, NamedTuple

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from infra.errors import InfraError
from operations.audit import NO_TENANT, actor
from schemas.session_settings import begin_with, deciding
from schemas.topics import RECORDS_TOPIC

_SECONDS: Final = 10
_WRITTEN: Final = text(
    "SELECT next_offset FROM stream_offsets WHERE pipeline = :pipeline AND topic = :topic AND partition = :partition"
)
_ALLOW: Final = text(
    "INSERT INTO dead_letter_allowances (pipeline, topic, partition, before_offset, actor)"
    " VALUES (:pipeline, :topic, :partition, :before, :actor)"
)
_AUDIT: Final = text(
    "INSERT INTO audit_log (tenant_id, actor, action, details, message) VALUES (:tenant, :actor, 'dead_letters_allowed',"
    " jsonb_build_object('pipeline', cast(:pipeline AS text), 'topic', cast(:topic AS text),"
    " 'partition', cast(:partition AS int), 'first_offset', cast(:first AS bigint), 'before_offset', cast(:before AS bigint)),"
    " jsonb_build_object('vi', cast(:vi AS text), 'en', cast(:en AS text)))"
)


class Allowance(NamedTuple):
    """Messages of [first_offset, before_offset) may go to scan.dlq.v1, where they cannot be read."""

    partition: int
    first_offset: int
    before_offset: int
    actor: str


def allow(write_url: str, pipeline: str, partition: int, count: int) -> Allowance:
    """Lets the next `count` messages of the partition pass, from what is written on. Raises InfraError."""
    who = actor()
    place = {"pipeline": pipeline, "topic": RECORDS_TOPIC, "partition": partition}
    engine = create_engine(write_url, connect_args={"connect_timeout": _SECONDS})
    begin_with(engine, deciding(_SECONDS))
    try:
        with engine.begin() as connection:
            first = connection.execute(_WRITTEN, place).scalar()
            if first is None:
                raise InfraError.of("partition_never_read", partition=partition, pipeline=pipeline)
            before = first + count
            texts = {
                "vi": f"Cho phép đưa thông điệp không đọc được của phân vùng {partition}, offset {first} đến {before - 1},"
                " vào scan.dlq.v1.",
                "en": f"Messages of partition {partition}, offsets {first} to {before - 1}, may go to scan.dlq.v1 where they"
                " cannot be read.",
            }
            connection.execute(_ALLOW, {**place, "before": before, "actor": who})
            audit = {**place, **texts, "tenant": NO_TENANT, "actor": who, "first": first, "before": before}
            connection.execute(_AUDIT, audit)
    except SQLAlchemyError as error:
        raise InfraError.of("dlq_allowance_failed", reason=type(error).__name__) from None
    finally:
        engine.dispose()
    return Allowance(partition, first, before, who)
