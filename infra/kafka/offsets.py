"""What the broker says of scan.records.v1 to a command that asks once and may fail. The worker, which goes on whatever is not
answered, asks in stream_app/bounds.py."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from infra.errors import InfraError
from schemas.topics import RECORDS_TOPIC
from stream_app.bounds import BEGIN_AND_END, Found, Log, ask_offsets, ask_topic_id, offset_in, topic_id_in

_SECONDS: Final = 10.0


def admin_of(bootstrap: str) -> AdminClient:
    """Quiet: what it cannot reach is told by the questions themselves."""
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


@contextmanager
def must_answer(bootstrap: str) -> Iterator[None]:
    """Raises InfraError where a question asked in the block is not answered."""
    try:
        yield
    except (KafkaException, TimeoutError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else type(error).__name__
        raise InfraError(
            f"Kafka tại {bootstrap} không cho biết offset: {reason}. Hãy kiểm tra SCANLINE_KAFKA_BOOTSTRAP.",
            f"Kafka at {bootstrap} does not tell its offsets: {reason}. Check SCANLINE_KAFKA_BOOTSTRAP.",
        ) from error


def partitions_of(admin: AdminClient) -> list[int]:
    """In order; none where there is no such topic. Raises KafkaException."""
    known = admin.list_topics(timeout=_SECONDS).topics.get(RECORDS_TOPIC)
    return [] if known is None or known.error is not None else sorted(known.partitions)


def topic_id_of(admin: AdminClient) -> str | None:
    """None from a broker that knows no ids. Raises KafkaException, TimeoutError."""
    return topic_id_in(ask_topic_id(admin, _SECONDS).result(_SECONDS + 1))


def offsets_of(
    admin: AdminClient, partitions: Collection[int], *specs: OffsetSpec, readable: bool = False
) -> list[dict[int, int]]:
    """As `ask_offsets`: for each of the specs, by partition. Raises KafkaException, TimeoutError where one is not answered."""
    asked = ask_offsets(admin, partitions, specs, _SECONDS, readable=readable)
    return [{number: offset_in(answer, _SECONDS) for number, answer in answers.items()} for answers in asked]


def found_in(admin: AdminClient, partitions: Collection[int]) -> Found:
    """Of every partition. Raises KafkaException, TimeoutError."""
    begins, ends = offsets_of(admin, partitions, *BEGIN_AND_END)
    return Found(topic_id_of(admin), {number: Log(begins[number], ends[number]) for number in partitions})
