"""How many bytes of bodies are held at once: more wait in line, and get a 503 when that takes too long.

This is the API's own back-pressure; that of the workers behind it is in producer_api.backlog.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from producer_api import metrics


class Overloaded(Exception):
    """No room for the body, also after waiting."""


class Held:
    """Room taken by one body."""

    def __init__(self, budget: "Budget", size: int) -> None:
        self._budget = budget
        self.size = size

    def grow_to(self, size: int) -> None:
        """Makes room for a body that turned out larger. Raises Overloaded: who holds must not wait for who waits."""
        if size > self.size:
            self._budget.take(size - self.size)
            self.size = size

    def shrink_to(self, size: int) -> None:
        """Gives back what was estimated too high."""
        if size < self.size:
            self._budget.give(self.size - size)
            self.size = size


class Budget:
    """Belongs to one event loop. Sizes in bytes."""

    def __init__(self, limit: int, wait_seconds: float) -> None:
        self._limit = limit
        self._wait_seconds = wait_seconds
        self._used = 0
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[Held]:
        """Room for `size` bytes while the block runs. Raises Overloaded."""
        size = min(size, self._limit)
        if self._line or self._used + size > self._limit:
            await self._wait_for(size)
        else:
            self.take(size)
        held = Held(self, size)
        try:
            yield held
        finally:
            self.give(held.size)

    async def _wait_for(self, size: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((size, turn))
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.give(size)  # the turn came in the same moment
            else:
                with suppress(ValueError):  # let in and found cancelled: out of the line already
                    self._line.remove((size, turn))
                self._let_in()
            if isinstance(error, TimeoutError):
                raise Overloaded from None
            raise

    def take(self, size: int) -> None:
        """Raises Overloaded."""
        if self._used + size > self._limit:
            raise Overloaded
        self._used += size
        metrics.BUFFERED.set(self._used)

    def give(self, size: int) -> None:
        """Returns room and lets in who waits, in order."""
        self._used -= size
        self._let_in()
        metrics.BUFFERED.set(self._used)

    def _let_in(self) -> None:
        while self._line and self._used + self._line[0][0] <= self._limit:
            size, turn = self._line.popleft()
            if not turn.cancelled():
                self._used += size
                turn.set_result(None)
