"""Decides how much one statement carries: everything, until the link to the server proves to be slow (decision 0007).

A micro-batch stays one transaction. Over a slow link its large statements are sent in parts, each a statement of its
own with a deadline of its own: the deadline counts from the last part that the server has confirmed, which is progress
from end to end. Bytes that a local socket has taken are none."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

Item = TypeVar("Item")
LEAST: Final = 2048  # bytes: nothing is cut smaller, and a smaller statement says nothing about the link
_TELLING: Final = 16 * 1024  # bytes: a smaller statement that took long was rather waiting for a lock
_MOST: Final = 8 * 1024 * 1024  # bytes: above this nothing is cut
_SHARE: Final = 5  # a part is to take a fifth of the deadline
_AFTER_A_MISS: Final = 8  # how many times smaller the next part is
_json: Final = msgspec.json.Encoder().encode


class Parts:
    """The size that fits the link, learnt from what passes over it. All connections of a sink share one.
    Thread-safe."""

    def __init__(self, deadline_seconds: float) -> None:
        self._deadline = deadline_seconds
        self._target = deadline_seconds / _SHARE
        self._lock = threading.Lock()
        self.limit: int | None = None  # most bytes of a statement; None: as many as there are

    @property
    def batch_bytes(self) -> int | None:
        """The number of bytes that a micro-batch should have: about what passes within a deadline. None: any number."""
        limit = self.limit
        return None if limit is None else limit * _SHARE

    def cut(self, items: Sequence[Item], size_of: Callable[[Item], int]) -> Iterator[Sequence[Item]]:
        """The items, in order, in parts of at most `limit` bytes or of one item. The limit is read again for each part:
        it grows, or shrinks, while they are sent."""
        first = 0
        while first < len(items):
            limit = self.limit
            if limit is None:
                yield items[first:] if first else items
                return
            end, size = first + 1, size_of(items[first])
            while end < len(items) and (size := size + size_of(items[end])) <= limit:
                end += 1
            yield items[first:end]
            first = end

    def cut_json(self, rows: Sequence[Any]) -> Iterator[str]:
        """JSON arrays that hold the rows between them."""
        if self.limit is None:
            yield _json(rows).decode()
            return
        for part in self.cut([_json(row).decode() for row in rows], len):
            yield f"[{','.join(part)}]"

    def count_of(self, item_bytes: int, most: int) -> int:
        """The number of items of that size that a part may hold, at least one and at most `most`."""
        limit = self.limit
        return most if limit is None else max(1, min(most, limit // item_bytes))

    def passed(self, size: int, seconds: float) -> None:
        """A statement of that many bytes was answered."""
        if size < (_TELLING if self.limit is None else LEAST):
            return
        fits = int(size * self._target / max(seconds, 1e-6))
        with self._lock:
            if fits < size:
                self.limit = max(LEAST, fits if self.limit is None else min(self.limit, fits))
            elif self.limit is not None and size * 2 >= self.limit:
                grown = min(self.limit * 2, fits)
                self.limit = None if grown > _MOST else max(self.limit, grown)

    def failed(self, size: int, seconds: float) -> None:
        """A statement of that many bytes failed. It was too large where it had taken a good part of its deadline."""
        if size < 2 * LEAST or seconds < self._deadline / 2:
            return
        with self._lock:
            smaller = max(LEAST, size // _AFTER_A_MISS)
            self.limit = smaller if self.limit is None else min(self.limit, smaller)
