"""Questions to Kafka that must be answered, in both languages where they are not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaException

from infra.errors import InfraError

ANSWER_SECONDS: Final = 10.0


def _offsets_unknown(bootstrap: str, reason: str) -> InfraError:
    return InfraError.of("kafka_offsets_unknown", bootstrap=bootstrap, reason=reason)


@contextmanager
def must_answer(bootstrap: str, error_of: Callable[[str, str], InfraError] = _offsets_unknown) -> Iterator[None]:
    """Raises an InfraError, made of `bootstrap` and the reason, where a question asked in the block is not answered."""
    try:
        yield
    except (KafkaException, TimeoutError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else type(error).__name__
        raise error_of(bootstrap, reason) from error
