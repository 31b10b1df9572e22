"""The `scanline` command. This module is loaded first and imports as little as it can: until the command that was asked for is
there, Ctrl-C ends the process at once and without a word, since nothing has begun."""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130  # exit code, as shells have it


def _leave(_: int, __: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def listen() -> None:
    """Everything is loaded: from here on Ctrl-C is an exception, which the command can answer."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> None:
    """Entry point: what is known to go wrong is shown as a sentence, in both languages."""
    # a process that was started to ignore Ctrl-C (nohup, a script's background) goes on doing so
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if listens:
        signal.signal(signal.SIGINT, _leave)
    from cli.commands import app
    from cli.outcome import run

    code = run(app)
    if listens:  # only the interpreter's own end is left
        signal.signal(signal.SIGINT, _leave)
    sys.exit(code)


if __name__ == "__main__":
    main()
