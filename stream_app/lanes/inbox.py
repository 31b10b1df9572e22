"""The inbox of a lane holds what is fetched and not yet written, and decides about each slice that comes. No loop, no
threads, no clock.

Offsets must come one after the other. What comes a second time is dropped. What is missing is fetched again once, since
Faust may have dropped it; a gap that is still there then is believed: it was compacted, aborted, or deleted by
retention."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from schemas.decoder import Message, received_at
from schemas.topics import CANCELLED, CLOSED, HEADER_TYPE
from stream_app.lanes.assembler import size_of

_ENDS: frozenset[bytes] = frozenset({CLOSED.encode(), CANCELLED.encode()})


class Slice(NamedTuple):
    """The messages that one fetch brought of one partition; `epoch` counts the seeks before it. Between `start`, where
    the slice before it ended or the last seek went, and its first message there is nothing to be read."""

    messages: list[Message]
    epoch: int
    start: int = 0


class SliceTaken(NamedTuple):
    """The slice is in the inbox. `gap`: offsets [from, to) before it that are believed not to be there."""

    gap: tuple[int, int] | None


class FetchAgain(NamedTuple):
    """The slice was left: something before it is missing, and is to be fetched from this offset on."""

    offset: int


class Inbox:
    """The inbox of one lane. The event loop offers slices; a writer's thread takes messages off the left of
    `messages`."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.bytes = 0  # of what was taken in and is not written
        self.expected: int | None = None  # where the next slice must begin; None: not known, and nothing is taken
        self.epoch = 0  # of the last seek
        self.oldest = 0.0  # when what waits began to wait; time.monotonic
        self.ends_scan = False  # the last message ends a scan, and somebody waits for that
        self.waits_since: float | None = (
            None  # when the broker took what is longest in here, or taken off and not written
        )
        self._slices: deque[tuple[int, float | None]] = deque()  # of each: offset after it, and when it was taken
        self._asked_again: int | None = None  # the offset that was fetched again, so that a gap may be believed

    def start_at(self, offset: int) -> None:
        """The lane reads from this offset on."""
        self.expected = offset
        self._asked_again = None

    def clear(self) -> None:
        """Everything is to be fetched again, from an offset that is not known yet."""
        self.expected = None
        self.messages.clear()
        self.bytes = 0
        self.waits_since = None
        self._slices.clear()

    def written(self, size: int, now: float, end: int) -> list[float]:
        """Notes that so many bytes of what was taken off have been written, up to the offset `end`. Returns when the broker
        took the first message of each slice that is now written to its end."""
        self.bytes -= size
        self.oldest = now
        self.waits_since = _appended(self.messages[0]) if self.messages else None
        whole = []
        while self._slices and self._slices[0][0] <= end:
            at = self._slices.popleft()[1]
            if at is not None:
                whole.append(at)
        return whole

    def awaits(self, piece: Slice) -> bool:
        """True where the inbox can use a slice. While it is not known where to go on, whatever comes was fetched from
        the wrong place and will be fetched again after the seek."""
        return self.expected is not None and bool(piece.messages)

    def doubts(self, piece: Slice) -> bool:
        """True where the slice begins before the offset it was fetched from, although nobody sought back: the client's
        position was beyond the end of what is there now, so this may be another log."""
        return piece.messages[0].offset < piece.start and piece.epoch >= self.epoch

    def offer(self, piece: Slice, now: float) -> SliceTaken | FetchAgain | None:
        """Takes a slice that it awaits, or what is new of it. None: nothing is, or the slice was fetched before the
        last seek, whose own slice is still to come."""
        expected = self.expected
        assert expected is not None
        messages: Sequence[Message] = piece.messages
        if messages[0].offset < expected:
            messages = [message for message in messages if message.offset >= expected]
            if not messages:
                return None
        first, gap = messages[0].offset, None
        if first > expected:
            if piece.epoch < self.epoch:
                return None
            if self._asked_again != expected or piece.start > expected:
                # in the second case a slice in between was fetched and never came here: no gap, whatever was asked before
                self._asked_again = expected
                return FetchAgain(expected)
            gap = (expected, first)
        self.expected = messages[-1].offset + 1
        if not self.messages:
            self.oldest = now
        at = _appended(messages[0])
        if not self._slices:
            self.waits_since = at
        self._slices.append((self.expected, at))
        self.messages.extend(messages)
        self.bytes += size_of(messages)
        self.ends_scan = (dict(messages[-1].headers).get(HEADER_TYPE) or b"") in _ENDS
        return SliceTaken(gap)


def _appended(message: Message) -> float | None:
    """When the broker took it, in seconds since 1970; None where the stamp is the publisher's own."""
    at = received_at(message)
    return None if at is None else at.timestamp()
