"""SIGTERM ends a command as Ctrl-C does: in order."""

import signal
from types import FrameType


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


def sigterm_as_ctrl_c() -> None:
    """Makes SIGTERM end the process as Ctrl-C does, from here on."""
    signal.signal(signal.SIGTERM, _interrupt)
