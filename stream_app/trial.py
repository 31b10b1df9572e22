"""Decides whether a message is at fault when something unexpected is raised, by what else the store takes."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from schemas.unexpected import described
from sinks.base import Fenced, MicroBatch, Place, Sink, Unavailable
from stream_app.culprits import Culprits, Unexpected

log = logging.getLogger("scanline.lane")
_MOST_LINES: Final = 20  # of the log, about one micro-batch


class Trial:
    """Of one lane. Called in its thread."""

    def __init__(self, topic: str, partition: int, sink: Sink[Any], culprits: Culprits) -> None:
        self._topic = topic
        self._partition = partition
        self._sink = sink
        self._culprits = culprits

    def hold(self, unexpected: Unexpected, place: Place) -> None:
        """Narrows down which message it was, or puts that message aside. Raises the same where no message is at fault, and
        Fenced where the micro-batch was written after all."""
        offsets, what = unexpected.offsets, described(unexpected)
        following = self._culprits.failed(offsets)
        log.warning(
            "partition %d: %d messages from offset %d on raised %s: %s",
            self._partition, len(offsets), min(offsets, default=place.next_offset), what, following,
        )  # fmt: skip
        if following == "nobody" or (following == "accused" and not self._can_write_nothing(place)):
            raise unexpected
        if following == "accused":
            self._culprits.condemn(offsets[0])
            log_put_aside(self._topic, self._partition, {offsets[0]: what})

    def _can_write_nothing(self, place: Place) -> bool:
        """Whether the store takes a micro-batch without any message. Raises Fenced and Unavailable."""
        at, topic_id = place
        try:
            self._sink.write(self._sink.prepare(MicroBatch(self._topic, self._partition, at, at, (), topic_id)))
        except (Fenced, Unavailable):
            raise
        except Exception as error:
            log.warning("partition %d: without any message it raises %s, too", self._partition, described(error))
            return False
        return True


def log_put_aside(topic: str, partition: int, failures: Mapping[int, str]) -> None:
    """Says what our own code failed on, by offset, for those who are to mend it."""
    for offset, what in list(failures.items())[:_MOST_LINES]:
        log.error(
            "không xử lý được thông điệp %s[%d] offset %d: %s; đưa vào scan.dlq.v1"
            " / the message %s[%d] offset %d could not be processed: %s; it goes to scan.dlq.v1",
            *(topic, partition, offset, what) * 2,
        )
    if len(failures) > _MOST_LINES:
        log.error("partition %d: so it is with %d more messages", partition, len(failures) - _MOST_LINES)
