"""A lane's next micro-batch: taken off what was fetched, within the dead-letter limit, and formatted for the sink."""

import datetime as dt
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from schemas.decoder import Incoming, Message
from schemas.stored_offset import StoredOffset
from sinks.protocol import LaneStore, MicroBatch
from stream_app import metrics
from stream_app.lanes.batch import Builder, DeadMessage, Limits
from stream_app.lanes.dead_letter_gate import Limiter
from stream_app.lanes.dead_letter_limit import History
from stream_app.lanes.poison_check import log_put_aside
from stream_app.lanes.poison_search import PoisonSearch, suspecting

# One lane computes at a time. Threads that decode side by side share one interpreter lock: they get no more done, and spend
# a third of the processor on handing the lock around. What waits for PostgreSQL holds neither.
_computing: Final = threading.Lock()
_MESSAGE_OVERHEAD: Final = 600  # bytes of Python objects around a consumed message, for the bound on memory


def size_of(messages: Sequence[Message]) -> int:
    """Bytes they hold in memory, about."""
    return sum([len(message.value or b"") for message in messages]) + _MESSAGE_OVERHEAD * len(messages)


class Work(NamedTuple):
    """A micro-batch that is to be written, and the messages to send to the dead-letter topic before it."""

    prepared: Any
    end: int
    letters: list[DeadMessage]
    history: History | None  # of the partition with these messages behind it; None where all could be read
    taken: Sequence[Message]
    bytes: int  # that these messages hold in memory
    controls: Sequence[Incoming]  # those that open, close or cancel a scan


class Assembler:
    """Assembles the micro-batches of one lane. Called in the lane's thread, except for forget()."""

    def __init__(
        self, topic: str, partition: int, sink: LaneStore[Any], limiter: Limiter, limits: Limits, search: PoisonSearch
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._sink = sink
        self._limiter = limiter
        self._limits = limits
        self._poison_search = search
        self._carry: Incoming | None = None  # the buffer's first message, decoded: it did not fit the last micro-batch

    def forget(self) -> None:
        """The buffer's beginning is another one."""
        self._carry = None

    def assemble(self, buffer: deque[Message], stored: StoredOffset) -> Work:
        """Takes the messages of the next micro-batch, which begins at `stored`, off the buffer. Raises LimitReached
        where the dead-letter limit holds the first of them, Unavailable, and Unexpected; the buffer is then as it
        was."""
        before = self._poison_search.before
        with _computing:
            work = self._assemble(buffer, stored, before)
        if work is None:
            self._limiter.ask()
            with _computing:
                work = self._assemble(buffer, stored, before)
        if work is None:
            raise self._limiter.reached()
        return work

    def is_too_large(self, work: Work) -> bool:
        """True where a smaller micro-batch should be tried after an attempt that failed. Dead letters that were sent
        are not sent again."""
        most = self._sink.batch_bytes
        return most is not None and work.bytes > most and len(work.taken) > 1 and work.history is None

    def _fitting_limits(self) -> Limits:
        """Less where the store is slow: what has been stored is visible, and is not sent again after an error."""
        most = self._sink.batch_bytes
        return self._limits if most is None else self._limits._replace(bytes=min(self._limits.bytes, most))

    def _assemble(self, buffer: deque[Message], stored: StoredOffset, before: int | None) -> Work | None:
        """Makes a micro-batch of the messages with offsets below `before`, where that is given. None where the
        dead-letter limit holds what comes first."""
        taken: list[Message] = []
        with suspecting(buffer, taken):
            return self._work(buffer, taken, stored, before)

    def _work(
        self, buffer: deque[Message], taken: list[Message], stored: StoredOffset, before: int | None
    ) -> Work | None:
        started = time.perf_counter()
        now, aside = dt.datetime.now(dt.UTC), self._poison_search.aside
        builder = Builder(self._fitting_limits(), now, self._carry, aside, self._sink.reader)
        self._carry = None
        while buffer and (before is None or buffer[0].offset < before) and builder.offer(buffer[0]):
            taken.append(buffer.popleft())
        messages, letters = builder.finish()
        history = None
        if letters:
            history, first_held = self._limiter.judge(taken, letters)
            if first_held is not None:
                first = taken[0].offset
                buffer.extendleft(reversed(taken))
                taken.clear()
                # what can be read before it can be written
                return self._work(buffer, taken, stored, first_held) if first_held > first else None
            letters = [letter for letter in letters if not self._poison_search.is_sent(letter[0].offset)]
            fresh = {message.offset for message, _ in letters}
            failures = {offset: what for offset, what in builder.failures.items() if offset in fresh}
            log_put_aside(self._topic, self._partition, failures)
        end = taken[-1].offset + 1 if taken else stored.next_offset
        self._carry = builder.left_over
        builder.count()
        metrics.DECODE_SECONDS.observe(time.perf_counter() - started)
        metrics.BATCH_ROWS.observe(builder.rows)
        batch = MicroBatch(self._topic, self._partition, stored.next_offset, end, messages, stored.topic_id)
        controls = [message for message in messages if message.control is not None]
        return Work(self._sink.prepare(batch), end, letters, history, taken, size_of(taken), controls)
