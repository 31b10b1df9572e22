"""Whether the log that is there now is the one that a lane's offset counts, and what the lane does until that is settled."""

from collections.abc import Callable
from typing import NamedTuple

from stream_app.calling import Caller


class Replaced(NamedTuple):
    """Where the lane waits, and the end of the log, which lies before that."""

    at: int
    end: int


class Footing:
    """Of one lane. Belongs to the event loop."""

    def __init__(self, topic: str, partition: int) -> None:
        self._topic = topic
        self._partition = partition
        self._replaced: Replaced | None = None

    @property
    def held(self) -> bool:
        """Nothing may be read or written."""
        return self._replaced is not None

    def replaced(self, found: Replaced) -> None:
        """The log is certainly another one, or lost its end."""
        if self._replaced is None:
            self._replaced = found

    async def wait(self, caller: Caller, load: Callable[[], int]) -> None:
        """Until an operator has set another offset than the one that `load` gives now: what the log holds may be a new topic's
        or what a broker kept of the old one, and only an operator can know."""
        assert self._replaced is not None
        at, end = self._replaced
        caller.doing = "waiting for an operator"
        try:
            await caller.wait_for_operator(
                "log_replaced",
                f"{self._topic}, offset {at}, cuối nhật ký / end of the log {end};"
                f" scanline offsets reset --partition {self._partition} --to earliest|latest|OFFSET",
                lambda: load() != at,
                "its offset was set anew",
            )
        finally:
            caller.doing = "waiting"
            caller.set_paused(None)
        if not caller.stopping:
            self._replaced = None
