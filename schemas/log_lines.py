"""Log lines of each process: as text for a terminal, or as JSON, an object a line, for whatever collects them.

No line repeats the text of an exception, whoever logs it: it can hold the very value that could not be processed.
"""

import datetime as dt
import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Literal

Form = Literal["json", "text"]
_PLACES: Final = ("scan_id", "topic", "partition", "offset")  # what a line may say it is about; see `about`
_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def about(**places: str | int | None) -> dict[str, str | int]:
    """What a line is about, as its `extra`: any of scan_id, topic, partition, offset, as far as they are known."""
    assert places.keys() <= set(_PLACES)
    return {name: value for name, value in places.items() if value is not None}


def config(level: str, form: Form) -> dict[str, Any]:
    """The configuration for logging.config: everything goes to standard error, libraries' lines and ours alike."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"stderr": {"()": "schemas.log_lines.handler", "form": form}},
        "root": {"level": level, "handlers": ["stderr"]},
    }


def handler(form: Form) -> logging.Handler:
    """On standard error. What nobody catches, in a thread or at all, is logged from now on instead of printed."""
    made = _Stream(sys.stderr)
    made.setFormatter(JsonLines() if form == "json" else TextLines())
    log = logging.getLogger("scanline")
    sys.excepthook = lambda kind, error, trace: _uncaught(log, "the process ends", (kind, error, trace))
    threading.excepthook = lambda hook: _uncaught(
        log,
        f"the thread {hook.thread.name if hook.thread else '?'} ends",
        (hook.exc_type, hook.exc_value or hook.exc_type(), hook.exc_traceback),
    )
    return made


class _Stream(logging.StreamHandler[Any]):
    """A handler that says what it could not write, and does not repeat it."""

    def handleError(self, record: logging.LogRecord) -> None:  # the name that logging calls
        """Called in the except clause."""
        error = sys.exc_info()[1]
        with suppress(Exception):
            self.stream.write(f"a line of {record.name} could not be written: {type(error).__name__}\n")


def _uncaught(log: logging.Logger, what: str, raised: _Raised) -> None:
    if not isinstance(raised[1], KeyboardInterrupt | SystemExit):
        log.critical("nobody caught an exception: %s", what, exc_info=raised)


def without_values(error: BaseException) -> str:
    """The stacks of an exception and of what led to it, oldest first, and their kinds; never their texts."""
    return "\n".join(_kinds(error, set()))


def _kinds(error: BaseException, seen: set[int]) -> Iterator[str]:
    if id(error) in seen:
        return
    seen.add(id(error))
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None:
        yield from _kinds(earlier, seen)
    yield "".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__ + _of_the_machine(error)


def _of_the_machine(error: BaseException) -> str:
    """What the operating system said: «address already in use»."""
    return f": {error.strerror}" if isinstance(error, OSError) and error.errno and error.strerror else ""


class TextLines(logging.Formatter):
    """A line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the stack of an exception below it."""
        record.exc_text = None  # as another formatter may have left it, with its text
        return super().format(record)

    def formatException(self, ei: Any) -> str:  # the name that logging calls
        """Without its text."""
        return without_values(ei[1]) if ei[1] is not None else ""


class JsonLines(logging.Formatter):
    """A JSON object for programs."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name in _PLACES if (value := getattr(record, name, None)) is not None},
            "process": record.process,
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = without_values(record.exc_info[1])
        # half a character, of a file's name for example, cannot be written as UTF-8
        return json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace").decode()
