"""Exceptions that nobody thought of: how the log names one, and whether the machine is at fault rather than what was read.

Their texts are never repeated: they can hold the very value that could not be processed.
"""

from types import FrameType, TracebackType
from typing import Final

_OURS: Final = frozenset({"schemas", "kafka_client", "sinks", "stream_app", "producer_api", "infra", "operations"})
# Out of memory, out of files, a broken disk: what was read is not at fault, and reading it again may well succeed.
_OF_THE_MACHINE: Final = (MemoryError, OSError)


def is_of_the_machine(error: BaseException) -> bool:
    """Whether the machine is at fault, not the data and not our code."""
    return isinstance(error, _OF_THE_MACHINE)


def kind_of(error: BaseException) -> str:
    """Of the first cause: its type, and the SQLSTATE of a database's error: `CheckViolation (SQLSTATE 23514)`."""
    first = _first_cause(error)
    sqlstate = getattr(first, "pgcode", None)
    return type(first).__name__ + (f" (SQLSTATE {sqlstate})" if sqlstate else "")


def described(error: BaseException) -> str:
    """With the innermost line of ours that it came through: `UnicodeEncodeError at schemas.validation:112`."""
    return f"{kind_of(error)} at {_place_of(_first_cause(error).__traceback__)}"


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def stack_of(frame: FrameType | None) -> str:
    """Where a thread is, from the outermost call to the innermost: modules, functions and lines, no values."""
    places = []
    while frame is not None:
        places.append(f"{_module(frame)}.{frame.f_code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return " > ".join(reversed(places))


def _place_of(trace: TracebackType | None) -> str:
    innermost = ours = "?"
    while trace is not None:
        module = _module(trace.tb_frame)
        innermost = f"{module}:{trace.tb_lineno}"
        if module.partition(".")[0] in _OURS:
            ours = innermost
        trace = trace.tb_next
    return innermost if ours == "?" else ours


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))
