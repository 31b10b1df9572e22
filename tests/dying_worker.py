"""A worker of ours that ends by SIGKILL at a chosen point: `SCANLINE_TEST_DIE=<point> python -m tests.dying_worker`.

A kill from outside meets whatever is under way; here the moment is certain. Everything else is the worker as it is.
"""

import functools
import os
import signal
from collections.abc import Callable
from typing import Any, Final

from sinks.postgres import PostgresSink
from stream_app import __main__ as worker
from stream_app.lanes.group import Lanes

VARIABLE: Final = "SCANLINE_TEST_DIE"
AT: Final = 3  # so that something was done before


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: Any, name: str) -> None:
    """In the call after so many, of a static method."""
    function, left = getattr(owner, name), iter(range(AT - 1, -1, -1))

    @functools.wraps(function)
    def dying(*args: Any, **kwargs: Any) -> Any:
        if next(left, 1) == 0:
            _die()
        return function(*args, **kwargs)

    setattr(owner, name, staticmethod(dying))


def _before_the_commit() -> None:
    """Offset moved, rows copied: the statements that end with COMMIT are being put together."""
    _before(PostgresSink, "_finish")


def _after_the_commit() -> None:
    """PostgreSQL has said yes: nobody was told, and the group's offset stands where it was."""
    write, left = PostgresSink.write, iter(range(AT - 1, -1, -1))

    def dying(self: PostgresSink, plan: Any) -> Any:
        statuses = write(self, plan)
        if next(left, 1) == 0:
            _die()
        return statuses

    PostgresSink.write = dying  # type: ignore[method-assign]


def _while_partitions_are_taken_away() -> None:
    revoke = Lanes.revoke

    async def dying(self: Lanes) -> None:
        if self.all():
            _die()
        await revoke(self)

    Lanes.revoke = dying  # type: ignore[method-assign]


def _while_partitions_are_given_to_it() -> None:
    assign = Lanes.assign

    def dying(self: Lanes, partitions: list[int], *rest: Any) -> None:
        assign(self, partitions, *rest)
        if partitions:
            _die()

    Lanes.assign = dying  # type: ignore[method-assign]


POINTS: Final[dict[str, Callable[[], None]]] = {
    "before the commit": _before_the_commit,
    "after the commit": _after_the_commit,
    "while partitions are taken away": _while_partitions_are_taken_away,
    "while partitions are given to it": _while_partitions_are_given_to_it,
}


if __name__ == "__main__":
    POINTS[os.environ[VARIABLE]]()
    worker.main()
