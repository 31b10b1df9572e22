"""The dead-letter limit: when too many messages cannot be read, the lane stops instead of putting them aside (decision
0005). Pure."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

Sender = str | None  # tenant_id, None where the message does not say
_GOOD: Final = object()


class Limit(NamedTuple):
    """The limit is reached by `run` unreadable messages in a row, or by more than this share of the last `window`
    messages (and at least `run` of them)."""

    run: int = 100
    share: float = 0.5
    window: int = 1_000


class LimitReached(Exception):
    """The lane waits for an operator: what it has before it would all go to the dead-letter topic."""


class WindowCounts(NamedTuple):
    """What a window holds: the longest run of unreadable messages, how many there are, and of how many."""

    run: int
    bad: int
    total: int

    def exceeds(self, limit: Limit) -> bool:
        return self.run >= limit.run or (self.bad >= limit.run and self.bad > limit.share * self.total)


class History:
    """The last messages of a partition as stretches of good ones and of each sender's unreadable ones."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._stretches: deque[tuple[object, int]] = deque()  # (_GOOD or sender, messages)
        self._total = 0

    def passed(self, count: int) -> None:
        """Notes so many messages that could all be read."""
        if count:
            self._push(_GOOD, min(count, self._size))

    def after(self, offsets: Iterable[int], unreadable: Mapping[int, Sender]) -> "History":
        """The history with these messages behind it; this one is left as it is."""
        later = History(self._limit)
        later._stretches = self._stretches.copy()
        later._total = self._total
        for offset in offsets:
            later._push(unreadable.get(offset, _GOOD), 1)
        return later

    @property
    def _size(self) -> int:
        return max(self._limit.window, self._limit.run)

    def _push(self, what: object, count: int) -> None:
        stretches = self._stretches
        if stretches and stretches[-1][0] == what:
            stretches[-1] = (what, stretches[-1][1] + count)
        else:
            stretches.append((what, count))
        self._total += count
        while (excess := self._total - self._size) > 0:
            first, length = stretches.popleft()
            if length > excess:
                stretches.appendleft((first, length - excess))
            self._total -= min(length, excess)

    def found(self, leave_out: object = _GOOD) -> WindowCounts:
        """Counts the window. A sender that is left out counts as if its unreadable messages had not come at all."""
        run = longest = bad = total = 0
        for what, count in self._stretches:
            if what is _GOOD:
                run = 0
            elif what == leave_out:
                continue
            else:
                run += count
                bad += count
                longest = max(longest, run)
            total += count
        return WindowCounts(longest, bad, total)

    def worst_sender(self) -> Sender:
        """Whose unreadable messages are the most."""
        counts: Counter[object] = Counter()
        for what, count in self._stretches:
            if what is not _GOOD:
                counts[what] += count
        return counts.most_common(1)[0][0] if counts else None  # type: ignore[return-value]  # none but senders were counted

    def over_limit(self) -> bool:
        """Whoever sent them."""
        return self.found().exceeds(self._limit)

    def over_limit_without(self, sender: Sender) -> bool:
        """True where the limit is passed also without this sender's messages: it is not one publisher alone."""
        return self.found(sender).exceeds(self._limit)
