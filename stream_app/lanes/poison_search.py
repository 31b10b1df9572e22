"""Finds the poison message, by halving, when a micro-batch raises an unexpected exception. Pure, but for `suspecting`.

A micro-batch that raised is tried again in halves, each a micro-batch of its own with its own offsets, so that what can
be stored is stored as ever. A message that stands alone is tried once more, since what has passed by then was not its
fault. Then it is put aside, provided that the store takes a micro-batch without it: where even nothing cannot be
written, it is no message's fault."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal, TypeVar

from schemas.decoder import Message
from schemas.exception_summary import is_of_the_machine
from sinks.protocol import Fenced, Unavailable

_ALONE: Final = 2  # times that a message must fail alone
Next = Literal["halves", "again", "accused", "nobody"]
Held = TypeVar("Held", bound=Message)


class Unexpected(Exception):
    """Something was raised while these messages were read, formatted or written, and neither the store nor the machine
    is at fault. What was raised is the cause. Nothing of the micro-batch was written, or the store's offset has
    moved."""

    def __init__(self, offsets: Sequence[int]) -> None:
        super().__init__(f"{len(offsets)} messages")
        self.offsets = offsets


@contextmanager
def suspecting(buffer: deque[Held], taken: Sequence[Held], passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raises as Unexpected what the block raises, and puts the messages back to the buffer's beginning, from where they
    were taken. What the store and the machine raise passes as it is, and so does what is `passing`."""
    passing = (Fenced, Unavailable, Unexpected, *passing)
    try:
        yield
    except passing:
        raise
    except Exception as error:
        if is_of_the_machine(error):
            raise
        buffer.extendleft(reversed(taken))
        raise Unexpected([message.offset for message in taken]) from error


class PoisonSearch:
    """The search in one lane: how far its next micro-batch may reach, and which messages are put aside."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The lane starts again, perhaps elsewhere."""
        self._ends: list[int] = []  # of the parts that are still to be tried, the nearest last
        self._failed: tuple[int, int] = (-1, 0)  # offset of a message that failed alone, and how often
        self._aside: dict[int, bool] = {}
        self._sent: set[int] = set()

    @property
    def before(self) -> int | None:
        """The next micro-batch takes messages below this offset only; None: any."""
        return self._ends[-1] if self._ends else None

    @property
    def aside(self) -> Mapping[int, bool]:
        """Offsets of the messages that go to the dead letters, and whether their scans are to count them."""
        return self._aside

    @property
    def in_doubt(self) -> bool:
        """A message has failed alone and is to be tried again, after a while."""
        return self._failed[1] > 0

    def failed(self, offsets: Sequence[int]) -> Next:
        """A micro-batch of these messages raised. Says what is next: its halves; the one message again; whether the
        store takes a micro-batch without the message that is accused; or nothing, for it is nobody's fault."""
        if len(offsets) > 1:
            self._ends.append(
                offsets[len(offsets) // 2 - 1] + 1
            )  # not where the second half begins: there may be a gap
            return "halves"
        if not offsets:
            return "nobody"
        (offset,) = offsets
        if offset in self._aside:
            if not self._aside[offset]:
                return "nobody"
            self._aside[offset] = False  # its scan's row may be what cannot be written
            return "again"
        times = self._failed[1] + 1 if self._failed[0] == offset else 1
        self._failed = offset, times
        return "again" if times < _ALONE else "accused"

    def condemn(self, offset: int) -> None:
        """The message is put aside from now on."""
        self._aside[offset] = True
        self._failed = -1, 0

    def sent(self, offsets: Sequence[int]) -> None:
        """Letters about these messages are in the dead-letter topic."""
        self._sent.update(offsets)

    def is_sent(self, offset: int) -> bool:
        """True where this message is in the dead-letter topic already: once is enough."""
        return offset in self._sent

    def written(self, end: int) -> None:
        """Everything below this offset is written."""
        while self._ends and self._ends[-1] <= end:
            self._ends.pop()
        if self._failed[0] < end:
            self._failed = -1, 0
        if self._aside:
            self._aside = {offset: counted for offset, counted in self._aside.items() if offset >= end}
        if self._sent:
            self._sent = {offset for offset in self._sent if offset >= end}
