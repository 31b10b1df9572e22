"""Detects that a partition's log was recreated or truncated, and holds the lane until that is resolved."""

from collections.abc import Callable
from typing import Final, NamedTuple

from schemas.stored_offset import StoredOffset
from stream_app.lanes.store_calls import StoreCalls

_NAP: Final = 0.1  # seconds between looks at whether a doubt is settled


class Replaced(NamedTuple):
    """A replaced log: the offset where the lane waits, and the end of the log that is there now; `other` is the id of
    its topic, where that is another."""

    stored: StoredOffset
    end: int
    other: str | None

    @property
    def text(self) -> str:
        """A sentence for the log, in both languages."""
        text = f"offset {self.stored.next_offset}, cuối nhật ký / end of the log {self.end}"
        if self.other is not None:
            text += f", id của topic / topic id {self.stored.topic_id} → {self.other}"
        return text


class _Doubt(NamedTuple):
    """What does not fit, as far as a look has found it, and how many looks in a row found just that."""

    at: int | None = None
    other: str | None = None  # the id of the topic that is there now, where it is another
    looks: int = 0


class LogGuard:
    """Guards the log of one lane. Belongs to the event loop; `held` and `topic_id` may be read anywhere."""

    def __init__(self, topic: str, partition: int, wake: Callable[[], None]) -> None:
        """`wake` is called when the lane has to look at `held` again."""
        self.topic_id: str | None = None  # of the topic whose messages the stored offset counts; None: not known
        self.gaps: list[tuple[int, int]] = []  # [from, to), believed and not yet explained
        self._topic = topic
        self._partition = partition
        self._wake = wake
        self._doubt: _Doubt | None = None
        self._replaced: Replaced | None = None

    @property
    def held(self) -> bool:
        """True while nothing may be read or written."""
        return self._doubt is not None or self._replaced is not None

    def take_gaps(self) -> list[tuple[int, int]]:
        """The stretches [from, to) that were not there, since the last call."""
        gaps, self.gaps = self.gaps, []
        return gaps

    def stand(self, stored: StoredOffset, known: str | None) -> None:
        """The lane starts at this offset, while the broker says that the topic's id is `known`."""
        self.topic_id = stored.topic_id
        if self._doubt is None and stored.counts_another(known):
            self._doubt = _Doubt()

    def doubt(self) -> None:
        """Something was seen that does not fit: nothing is read or written until a look settles it."""
        if self._doubt is None:
            self._doubt = _Doubt()
            self._wake()

    def doubt_for(self, at: int, other: str | None) -> int:
        """A look found that the log ends before `at`, or is of the topic with this other id. Returns how many looks in a row
        have found just that."""
        self.doubt()
        before = self._doubt
        looks = before.looks if before is not None and (before.at, before.other) == (at, other) else 0
        self._doubt = _Doubt(at, other, looks + 1)
        return looks + 1

    def count_anew(self) -> None:
        """A look settled nothing: a doubt stays, and what found it so far is not in a row with what comes."""
        if self._doubt is not None:
            self._doubt = _Doubt()

    def trust(self) -> None:
        """The broker knows the topic under the stored id, or knows no ids, and its log reaches the offset. A lane that
        was stopped because its log was too short stays so: that the log has grown since says nothing of what it
        lost."""
        self._doubt = None
        if self._replaced is not None and self._replaced.other is not None:
            self._replaced = None

    def replaced(self, found: Replaced) -> None:
        """The log is certainly another one, or lost its end."""
        if self._replaced is None:
            self._replaced = found
            self._wake()

    async def wait(self, caller: StoreCalls, load: Callable[[], StoredOffset]) -> None:
        """Waits until the doubt is settled, or an operator has set another offset than `load` gives now: what the log
        holds may be a new topic's or what a broker kept of the old one, and only an operator can know."""
        caller.doing = "waiting for word of its log"
        try:
            while self._doubt is not None and self._replaced is None and not caller.stopping:
                await caller.nap(_NAP)
            found = self._replaced
            if found is not None:
                await caller.wait_for_operator(
                    "log_replaced",
                    f"{self._topic}, {found.text};"
                    f" scanline offsets reset --partition {self._partition} --to earliest|latest|OFFSET",
                    lambda: not self.held or load() != found.stored,
                    "its offset was set anew, or the topic is the known one again",
                )
        finally:
            caller.doing = "waiting"
            caller.set_paused(None)
        if not caller.stopping:
            self._doubt, self._replaced = None, None
