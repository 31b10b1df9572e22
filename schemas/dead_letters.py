"""A dead letter's name, and the headers it carries: written by the worker, read by those who send it again."""

import re
from typing import Final, NamedTuple, Self

from schemas import topics

REASON_HEADERS: Final = frozenset(
    {
        topics.DLQ_REASON,
        topics.DLQ_TOPIC_HEADER,
        topics.DLQ_PARTITION,
        topics.DLQ_OFFSET,
        topics.DLQ_FAILED_AT,
        topics.DLQ_NOT_KEPT,
        topics.DLQ_LAST_OFFSET,
    }
)
RETRY_HEADERS: Final = frozenset({topics.RETRY_LETTER, topics.RETRY_COUNT})
_FULL: Final = re.compile(rb"([0-9]{1,9}):([0-9]{1,18}):([0-9]{1,18})")


class DeadLetterId(NamedTuple):
    """Where a message stands in scan.dlq.v1, and when it failed (milliseconds since 1970).

    The time tells it from the message that stood at this offset before the topic was made anew.
    """

    partition: int
    offset: int
    failed_at_ms: int

    @property
    def short(self) -> str:
        """As people name it: partition:offset."""
        return f"{self.partition}:{self.offset}"

    @property
    def header(self) -> bytes:
        """As a retried message carries it."""
        return f"{self.partition}:{self.offset}:{self.failed_at_ms}".encode()

    @classmethod
    def of_header(cls, value: bytes | None) -> Self | None:
        """None where it is no such name: anybody can write a header."""
        found = _FULL.fullmatch(value or b"")
        return None if found is None else cls(*map(int, found.groups()))
