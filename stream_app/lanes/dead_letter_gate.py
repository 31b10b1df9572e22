"""The dead-letter limit of one lane: what it lets pass, and what an operator lets pass (decision 0005)."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.decoder import Message
from schemas.messages import tenant_of
from sinks.protocol import LaneStore
from stream_app import metrics
from stream_app.lanes.batch import DeadMessage
from stream_app.lanes.dead_letter_limit import History, Limit, LimitReached, Sender

_SHARED_SECONDS: Final = 60.0  # how long it is believed that others use the partition


class Limiter:
    """Called in the lane's thread, but for forget()."""

    def __init__(self, sink: LaneStore[Any], topic: str, partition: int, limit: Limit) -> None:
        self._sink = sink
        self._topic = topic
        self._partition = partition
        self._limit = limit
        self._history = self._judged = History(limit)
        self._allowed = 0  # unreadable messages below this offset may go to the dead-letter topic, however many
        self._shared: tuple[Sender, float] | None = None  # others than this sender use the partition; as of when

    def judge(self, taken: Sequence[Message], letters: Sequence[DeadMessage]) -> tuple[History, int | None]:
        """The history with these messages behind it, and the offset of the first unreadable one where it must wait. By
        what is known: before a lane waits it asks."""
        unreadable = {
            message.offset: tenant_of(message.key) for message, _ in letters if message.offset >= self._allowed
        }
        allowed = {message.offset for message, _ in letters} - unreadable.keys()
        offsets = [message.offset for message in taken if message.offset not in allowed]
        self._judged = self._history.after(offsets, unreadable)
        if not self._holds(self._judged):
            return self._judged, None
        return self._judged, self._first_over(offsets, unreadable)

    def _first_over(self, offsets: Sequence[int], unreadable: Mapping[int, Sender]) -> int:
        """The unreadable message with which the limit is passed: those before it may still be put aside."""
        bad = sorted(unreadable)
        under, over = 0, len(bad)  # so many of them are within the limit, or not
        while over - under > 1:
            middle = (under + over) // 2
            upto = [offset for offset in offsets if offset <= bad[middle - 1]]
            if self._holds(self._history.after(upto, unreadable)):
                over = middle
            else:
                under = middle
        return bad[over - 1]

    def ask(self) -> None:
        """Asks the store what judge() then goes by. Raises Unavailable."""
        self.look()
        worst = self._judged.worst_sender()
        shared = self._sink.used_by_others(self._partition, worst)
        self._shared = (worst, time.monotonic()) if shared else None

    def reached(self) -> LimitReached:
        """The text about the wait, for statuses and the log."""
        found = self._judged.found()
        metrics.LIMITS.inc()
        return LimitReached(
            f"{found.run} liên tiếp, {found.bad} trên {found.total} gần nhất / in a row, of the last;"
            f" scanline dlq allow --partition {self._partition}"
        )

    def look(self) -> bool:
        """Asks how far an operator lets pass what cannot be read. True when that is farther than before."""
        allowed = self._sink.dead_letters_allowed(self._topic, self._partition)
        farther = allowed > self._allowed
        self._allowed = max(self._allowed, allowed)
        return farther

    def written(self, messages: int, history: History | None) -> None:
        """Notes that so many messages have been written; `history` is judge()'s, None where all could be read."""
        if history is None:
            self._history.passed(messages)
        else:
            self._history = history

    def forget(self) -> None:
        """The lane's place has changed."""
        self._history = History(self._limit)

    def _holds(self, history: History) -> bool:
        """One publisher's garbage must not stop the others of its partition: where there are others, the worst sender
        is left out of account."""
        if not history.over_limit():
            return False
        worst = history.worst_sender()
        return history.over_limit_without(worst) or not self._is_shared(worst)

    def _is_shared(self, sender: Sender) -> bool:
        known = self._shared
        return known is not None and known[0] == sender and time.monotonic() - known[1] < _SHARED_SECONDS
