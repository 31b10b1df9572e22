"""Keeps to a number of records a second by waiting before a write."""

import time
from collections.abc import Callable
from typing import Final

_PIECE: Final = 0.5  # seconds' worth of records that are written at once, where their messages can be parted
_CREDIT: Final = 1.0  # seconds that a slow write or a silent broker may be made up for; more would be a burst


class Pace:
    """Never more than a second's worth ahead. What one message holds comes at once, after the whole wait for it."""

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """`rate` records a second, 0: as fast as it goes."""
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._due: float | None = None

    def at_most(self, rows: int) -> int:
        """The number of records to take for one write, of so many."""
        return min(rows, max(1, int(self._rate * _PIECE))) if self._rate > 0 else rows

    def wait_for(self, records: int) -> None:
        """Returns when so many may be written. The time before the first call earns nothing."""
        if self._rate <= 0 or not records:
            return
        now = self._clock()
        earliest = now if self._due is None else max(self._due, now - _CREDIT)
        self._due = earliest + records / self._rate
        if self._due > now:
            self._sleep(self._due - now)
