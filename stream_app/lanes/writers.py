"""Runs the lanes' blocking calls in threads. At most so many count as running at once; a call that takes long gives its
slot up."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

Result = TypeVar("Result")
LEND_SECONDS: Final = 0.5  # far above a micro-batch's time; a call that takes longer waits for something


class _Slot:
    """One of the slots, held by a call until it is given back, once."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self._held = True

    def give_back(self) -> None:
        if self._held:
            self._held = False
            self._slots.release()


class Writers:
    """Slots for calls under way, in the order in which they are asked for, and threads for them. A call that takes
    longer than LEND_SECONDS keeps its thread and loses its slot to the next. Belongs to the event loop."""

    def __init__(self, slots: int, threads: int) -> None:
        """`threads` at most: as many as there are connections, for more could only wait for one."""
        self._slots = asyncio.Semaphore(slots)
        self._count = threads
        self._threads = self._new()
        self.returned_at = time.monotonic()  # when a call last came back, of any lane

    def _new(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._count, thread_name_prefix="writer")

    async def call(self, call: Callable[[], Result]) -> Result:
        """Makes the call in a thread, once there is a slot. Raises what it raises."""
        await self._slots.acquire()
        slot = _Slot(self._slots)
        loop = asyncio.get_running_loop()
        lending = loop.call_later(LEND_SECONDS, slot.give_back)
        try:
            return await loop.run_in_executor(self._threads, call)
        finally:
            lending.cancel()
            slot.give_back()
            self.returned_at = time.monotonic()

    def replace(self) -> None:
        """New threads for calls to come; those under way and in the queue of the old ones go on there."""
        old, self._threads = self._threads, self._new()
        old.shutdown(wait=False)

    def close(self) -> None:
        """Drops what has not begun; what is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
