"""Room for bodies: how many bytes of them are held at once, shared so that all uploads move together.

A body takes room as it grows, and says at its start the most that it may come to. It is given more only where
afterwards every body could still come to its most, one after the other (the banker's algorithm, with bytes for money).
So bodies that hold room never wait for each other in a circle, and a slow client holds no more than it has sent. A body
that cannot be given room now waits in line: nothing is read from its client meanwhile, and the client's own buffers
hold it back.

The line is served in order. One may be passed by another that holds room already and could come to its most with what
is free: it gives back more than it takes. A body is refused only when the line stands still, nobody in it being given
anything for SCANLINE_API_BUFFER_WAIT_SECONDS.

This is the API's own back-pressure; that of the workers behind it is in producer_api.kafka.backlog.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from producer_api import metrics

STEP: Final = 64 * 1024  # by which room grows


class Overloaded(Exception):
    """No room for the body, also after waiting."""


class Room:
    """The part of a budget that one body holds."""

    def __init__(self, budget: "Budget", most: int) -> None:
        self._budget = budget
        self.size = 0
        self.most = most

    async def grow_to(self, size: int) -> None:
        """Makes it hold at least `size`, when there is room for it. Raises Overloaded."""
        if size > self.size:
            await self._budget.grow(self, size)

    def settle(self, size: int) -> None:
        """The body is complete: gives back what it does not need; it will not grow any more."""
        self._budget.settle(self, min(size, self.size))

    def lend(self, size: int, until: asyncio.Future[Any]) -> None:
        """Leaves that much of it to a message on its way, which gives it back at its end, whatever that is."""
        self._budget.lend(self, size)
        until.add_done_callback(lambda _: self._budget.returned(size))


class _Turn(NamedTuple):
    size: int
    granted: asyncio.Future[None]


class Budget:
    """Belongs to one event loop. Sizes in bytes."""

    def __init__(self, limit: int, wait_seconds: float) -> None:
        self._limit = limit
        self._wait_seconds = wait_seconds
        self._rooms: set[Room] = set()  # that hold something
        self._lent = 0  # to messages on their way
        self._largest = 0  # of what rooms came, or could have come, to
        self._line: dict[Room, _Turn] = {}
        self._moved_at = float("-inf")  # when the line was last given something
        self.used = 0

    @asynccontextmanager
    async def hold(self, first: int, most: int) -> AsyncIterator[Room]:
        """Room for one body while the block runs: `first` bytes at once, at most `most`. Raises Overloaded."""
        room = Room(self, min(most, self._limit))
        try:
            await room.grow_to(first)
            yield room
        finally:
            self._rooms.discard(room)
            self._take(-room.size)
            room.size = 0
            self._let_in()

    async def grow(self, room: Room, size: int) -> None:
        """Waits in line where it must. Raises Overloaded."""
        if size > room.most:
            raise Overloaded
        size = min(room.most, -(-size // STEP) * STEP)
        if not self._line and self._is_safe(room, size):
            self._give(room, size)
            return
        loop = asyncio.get_running_loop()
        asked_at, granted = loop.time(), loop.create_future()
        self._line[room] = _Turn(size, granted)
        self._let_in()
        try:
            while not granted.done():
                patience = max(asked_at, self._moved_at) + self._wait_seconds - loop.time()
                if patience <= 0:
                    raise Overloaded
                await asyncio.wait((granted,), timeout=patience)
        finally:
            if self._line.pop(room, None) is not None:
                self._let_in()

    def settle(self, room: Room, size: int) -> None:
        """Gives back all but `size`, and lets the room grow no more."""
        self._take(size - room.size)
        room.size = room.most = size
        self._let_in()

    def lend(self, room: Room, size: int) -> None:
        """Moves room from a body to a message on its way."""
        room.size -= size
        self._lent += size

    def returned(self, size: int) -> None:
        """A message has arrived, or is given up."""
        self._lent -= size
        self._take(-size)
        self._let_in()

    def _take(self, size: int) -> None:
        self.used += size
        metrics.BUFFERED.inc(size)

    def _give(self, room: Room, size: int) -> None:
        self._take(size - room.size)
        room.size = size
        self._rooms.add(room)
        self._largest = max(self._largest, room.most)

    def _let_in(self) -> None:
        while self._line:
            room = next(iter(self._line))
            if not self._is_safe(room, self._line[room].size):
                passing = self._passing()
                if passing is None:
                    return
                room = passing
            size, granted = self._line.pop(room)
            self._give(room, size)
            self._moved_at = granted.get_loop().time()
            granted.set_result(None)

    def _passing(self) -> Room | None:
        """The first in line that could come to its most with what is free or on its way back, and give all of it
        back."""
        free = self._limit - self.used
        for room, turn in self._line.items():
            if room.size and turn.size - room.size <= free and room.most - room.size <= free + self._lent:
                return room
        return None

    def _is_safe(self, room: Room, size: int) -> bool:
        """True where every room could still come to its most, one after the other, once this one holds `size`."""
        free = self._limit - self.used - (size - room.size)
        if free < 0:
            return False
        free += self._lent
        largest = max(self._largest, room.most)
        if free >= largest:
            return True
        wanting = [(each.most - each.size, each.size) for each in self._rooms if each is not room]
        wanting.append((room.most - size, size))
        heapq.heapify(wanting)
        while wanting and free < largest:
            missing, held = heapq.heappop(wanting)
            if missing > free:
                return False
            free += held
        return True
