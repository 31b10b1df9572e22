"""A worker of ours that fails on chosen messages: `python -m tests.poisoned_worker`.

Wherever one message is read, planned or formatted, it raises what the message itself asks for by a mark (see `mark`), as a
defect that a certain value brings to light would. Everything else is the worker as it is.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg2

from schemas import decoder
from schemas.decoder import Incoming
from sinks.effects import Plan
from sinks.postgres import sink
from sinks.postgres.native.reader import NativeReader
from stream_app import __main__ as worker

SECRET: Final = "0987 654 321"  # what an exception's text may hold; no log may
PERSISTENT: Final[dict[str, Callable[[], Exception]]] = {
    "UnicodeEncodeError": lambda: UnicodeEncodeError("utf-8", SECRET, 0, 1, SECRET),
    "RecursionError": lambda: RecursionError(SECRET),
    "KeyError": lambda: KeyError(SECRET),
    "ValueError": lambda: ValueError(SECRET),
    "DataError": lambda: psycopg2.DataError(SECRET),
    "ProgrammingError": lambda: psycopg2.ProgrammingError(SECRET),
}
PASSING: Final[dict[str, Callable[[], Exception]]] = {
    "MemoryError": MemoryError,
    "OSError": lambda: OSError(24, SECRET),
}
TIMES: Final = 4  # that what passes is raised
STAGES: Final[dict[str, tuple[Any, str]]] = {
    "envelope": (decoder, "read_envelope"),
    "records": (decoder, "_read_records"),
    "control": (decoder, "read_control"),
    "formatting": (sink, "lines_of"),
    "planning": (Plan, "apply"),
}
_MARK: Final = re.compile(rb"planted-([a-z]+)-([A-Za-z]+)")
_raised: Counter[bytes] = Counter()


def mark(stage: str, error: str) -> str:
    """In a header, for "envelope"; in the value, for the others: this message raises `error` at `stage`."""
    return f"planted-{stage}-{error}"


def _bytes_in(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, Incoming):
        yield from (bytes(record.attributes) for record in value.records)
    elif isinstance(value, Plan):
        yield from (each for message in value.batch.messages for each in _bytes_in(message))
    elif isinstance(value, list | tuple):
        yield from (each for item in value for each in _bytes_in(item))


def _poisoned(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def raising(*args: Any, **kwargs: Any) -> Any:
        for text in _bytes_in(args):
            found = _MARK.search(text)
            if found is None or found[1].decode() != stage:
                continue
            name = found[2].decode()
            if name in PERSISTENT:
                raise PERSISTENT[name]()
            _raised[found[0]] += 1
            if _raised[found[0]] <= TIMES:
                raise PASSING[name]()
        return function(*args, **kwargs)

    return raising


def main() -> None:
    """Plants the faults and becomes the worker."""
    for stage, (owner, name) in STAGES.items():
        setattr(owner, name, _poisoned(getattr(owner, name), stage))
    for name in (
        "read_message",
        "read_singles",
    ):  # a fault of its own: the records are decoded instead, and fail there too
        setattr(NativeReader, name, _poisoned(getattr(NativeReader, name), "records"))
    worker.main()


if __name__ == "__main__":
    main()
