"""A worker of ours with a fault planted: `SCANLINE_TEST_RAISE_IN=<place> python -m tests.raising_worker`.

A chosen place of the worker's own code raises, a few times in each partition where it can tell, as a defect that nobody
thought of would. Everything else is the worker as it is."""

import functools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from sinks.postgres import PostgresSink
from stream_app import __main__ as worker
from stream_app.lanes.assembler import Assembler
from stream_app.lanes.lane import Lane
from stream_app.publisher import Publisher

VARIABLE: Final = "SCANLINE_TEST_RAISE_IN"
EVERY: Final = 3  # each third call, so that what is tried again gets through in the end
_calls: Counter[int] = Counter()  # by partition


class PlantedError(Exception):
    """Unexpected, by design."""


def _due(args: Sequence[Any]) -> bool:
    """In turns for each partition: what is tried again at once gets through."""
    partition = next(found for each in args if (found := _partition_of(each)) is not None)
    _calls[partition] += 1
    return _calls[partition] % EVERY == 1


def _partition_of(value: Any) -> int | None:
    """Of a lane, an assembler, a micro-batch, what a sink has prepared; a number is one."""
    if isinstance(value, int):
        return value
    batch = getattr(getattr(value, "plan", value), "batch", value)
    for name in ("partition", "_partition"):
        found = getattr(batch, name, None)
        if found is not None:
            return int(found)
    return None


def _before(function: Callable[..., Any], place: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def raising(*args: Any, **kwargs: Any) -> Any:
        if _due(args):
            raise PlantedError(place)
        return function(*args, **kwargs)

    return raising


def _after(function: Callable[..., Any], place: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def raising(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if _due(args):
            raise PlantedError(place)
        return result

    return raising


PLACES: Final[dict[str, tuple[type, str, Any]]] = {
    "taking a slice": (Lane, "accept", _before),
    "decoding": (Assembler, "assemble", _before),
    "formatting rows": (PostgresSink, "prepare", _before),
    "before the transaction": (PostgresSink, "write", _before),
    "after the commit": (PostgresSink, "write", _after),
    "telling the status": (Publisher, "publish_statuses", _before),
}


def main() -> None:
    """Plants the fault and becomes the worker."""
    place = os.environ[VARIABLE]
    owner, name, wrap = PLACES[place]
    setattr(owner, name, wrap(getattr(owner, name), place))
    worker.main()


if __name__ == "__main__":
    main()
