"""Decides whether a message is at fault when something unexpected is raised, by what else the store takes."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.exception_summary import described
from schemas.log_lines import about
from schemas.stored_offset import StoredOffset
from sinks.protocol import Fenced, MicroBatch, Sink, Unavailable
from stream_app.lanes.poison_search import PoisonSearch, Unexpected

log = logging.getLogger("scanline.lane")
_MOST_LINES: Final = 20  # of the log, about one micro-batch


class PoisonCheck:
    """Checks the suspected messages of one lane. Called in the lane's thread."""

    def __init__(
        self, topic: str, partition: int, sink: Sink[Any], search: PoisonSearch, report: Callable[[str], None]
    ) -> None:
        """`report` is called with what comes to light, for a log."""
        self._report = report
        self._topic = topic
        self._partition = partition
        self._sink = sink
        self._poison_search = search

    def hold(self, unexpected: Unexpected, stored: StoredOffset) -> int | None:
        """Narrows down which message it was, or puts that message aside and returns its offset. Raises the same where
        no message is at fault, and Fenced where the micro-batch was written after all."""
        offsets = unexpected.offsets
        following = self._poison_search.failed(offsets)
        first = min(offsets, default=stored.next_offset)
        self._report(f"{len(offsets)} messages from offset {first} on raised {described(unexpected)}: {following}")
        if following == "nobody" or (following == "accused" and not self._can_write_nothing(stored)):
            raise unexpected
        if following != "accused":
            return None
        self._poison_search.condemn(offsets[0])
        return offsets[0]

    def _can_write_nothing(self, stored: StoredOffset) -> bool:
        """True where the store takes a micro-batch without any message. Raises Fenced and Unavailable."""
        at, topic_id = stored
        try:
            self._sink.write(self._sink.prepare(MicroBatch(self._topic, self._partition, at, at, (), topic_id)))
        except (Fenced, Unavailable):
            raise
        except Exception as error:
            self._report(f"without any message it raises {described(error)}, too")
            return False
        return True


def log_put_aside(topic: str, partition: int, failures: Mapping[int, str]) -> None:
    """Says what our own code failed on, by offset, for those who are to repair it."""
    for offset, what in list(failures.items())[:_MOST_LINES]:
        log.error(
            "không xử lý được thông điệp %s[%d] offset %d: %s; đưa vào scan.dlq.v1"
            " / the message %s[%d] offset %d could not be processed: %s; it goes to scan.dlq.v1",
            *(topic, partition, offset, what) * 2,
            extra=about(topic=topic, partition=partition, offset=offset),
        )
    if len(failures) > _MOST_LINES:
        log.error(
            "partition %d: so it is with %d more messages",
            partition,
            len(failures) - _MOST_LINES,
            extra=about(topic=topic, partition=partition),
        )
