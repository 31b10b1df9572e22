"""Questions to Kafka that must be answered, in both languages where they are not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaException

from infra.errors import InfraError

ANSWER_SECONDS: Final = 10.0


@contextmanager
def must_answer(bootstrap: str) -> Iterator[None]:
    """Raises InfraError where a question asked in the block is not answered."""
    try:
        yield
    except (KafkaException, TimeoutError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else type(error).__name__
        raise InfraError.of("kafka_offsets_unknown", bootstrap=bootstrap, reason=reason) from error
