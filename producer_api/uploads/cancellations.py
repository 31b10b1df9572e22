"""Cancellations that are on their way to Kafka when the request that caused them has long been answered."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

log = logging.getLogger("scanline.cancellations")
_CLOSE_SECONDS: Final = 3.0  # what Kafka takes at once is gone by then; the rest would take an hour


class Cancellations:
    """The cancellations of one app. Belongs to its event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()  # held, or they could be collected before they are done

    def see_through(self, work: Coroutine[Any, Any, None]) -> None:
        """Goes on with the work beside everything else."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Waits for what can be done soon, and gives up the rest: an upload without a sign of life ends by its
        lease."""
        if not self._tasks:
            return
        _, left = await asyncio.wait(self._tasks, timeout=seconds)
        for task in left:
            task.cancel()
        if left:
            log.error("%d cancellations were not published at shutdown", len(left))
            await asyncio.wait(left)
