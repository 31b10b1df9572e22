"""Threads that run for as long as a block does."""

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self


class ThreadBlock:
    """Begins its threads at the beginning of a with block, and ends and joins them at its end."""

    def __init__(self, targets: Sequence[Callable[[], object]]) -> None:
        """Each target runs in a thread of its own, and returns soon after `_stopping` is set."""
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=target) for target in targets]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
