"""A log filter that lets each source line log once in ten seconds, and counts what it dropped. Clients write the same
line many times a second while a broker is away."""

import logging
import time
from collections.abc import Callable
from typing import Final

EVERY_SECONDS: Final = 10.0
_MOST_LINES: Final = 1_000  # of code that are remembered


class Repeats(logging.Filter):
    """Lets each line of these libraries' code speak once in `seconds`, and then says how often it was silent."""

    def __init__(
        self, libraries: tuple[str, ...], seconds: float = EVERY_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._libraries = libraries
        self._seconds = seconds
        self._clock = clock
        self._spoken: dict[tuple[str, int], tuple[float, int]] = {}  # (file, line) -> when it spoke, silent since

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in self._libraries:
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        spoken = self._spoken.get(place)
        if spoken is not None and now - spoken[0] < self._seconds:
            self._spoken[place] = spoken[0], spoken[1] + 1
            return False
        if spoken is not None and spoken[1]:
            record.msg = f"{record.getMessage()} [+{spoken[1]}]"
            record.args = ()
        if len(self._spoken) >= _MOST_LINES:
            self._spoken.clear()
        self._spoken[place] = now, 0
        return True
