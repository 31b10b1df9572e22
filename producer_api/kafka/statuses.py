"""The statuses of all scans, in memory, as the bytes of scan.status.v1. Fed by the follower, asked by everything else.

The last message of a scan is the truth, also when its version is lower (a database that crashed may step back). Belongs
to the event loop; the follower's thread hands its batches over."""

import asyncio
import heapq
import logging
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from producer_api import metrics
from producer_api.kafka.status_messages import Head, Key, StatusMessage
from schemas.codes import FINAL_STATES, ScanState
from schemas.exception_summary import described
from schemas.log_lines import about

log = logging.getLogger("scanline.follower")
SortKey = tuple[float, str]  # (submitted at, seconds since 1970; scan_id): the order of lists
_ENTRY_BYTES: Final = 700  # what Python takes to hold a scan, its status itself aside
_decode: Final = msgspec.json.Decoder().decode
_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode
_TROUBLED: Final = 50  # scans that ended badly and are remembered for operators
_PROMISES: Final = 10_000
_BAD_ENDS: Final = frozenset({"completed_with_errors", "failed"})
_PROMISE_SECONDS: Final = 300.0  # a database that crashed steps back: what was promised before may never come


class NotCaughtUp(Exception):
    """The status topic could not be read up to its end in time."""


class StatusEntry(NamedTuple):
    """The last status of one scan, and what is known of its claim."""

    value: bytes
    state: ScanState
    version: int
    submitted_at: float
    partition: int
    offset: int
    published_at: float
    digest: str | None  # sticky: the worker may not know it yet
    failed_upload: bool  # sticky: cancelled because it never arrived whole
    claim: bytes | None  # whose upload it is (docs/decisions/0003-idempotency.md)
    claimed_at: float  # when that was said last, seconds since 1970

    @property
    def final(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def event_id(self) -> str:
        """The version, and a checksum of all that is said: a version may come twice with other counts, after a crash of
        the database. What a worker publishes again is no news, and from PostgreSQL its members come in another order."""
        sorted_members = _encode_sorted(_decode(self.value))
        return f"{self.version}-{zlib.crc32(sorted_members):08x}"


class Counts(NamedTuple):
    """Records of a scan that have found their end, and those of them that were rejected."""

    accounted: int = 0
    rejected: int = 0


class StatusStore:
    """Every scan's last status. Which ones are unfinished, which ended badly, and how many records found their end is
    kept as statuses come: whoever asks for it does not have to look at all of them."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease = lease_seconds
        self._tenants: dict[str, dict[str, StatusEntry]] = {}
        self._count = 0
        self._bytes = 0  # of the statuses themselves
        self._unfinished: dict[Key, Counts] = {}  # the one that changed last at the end
        self._troubled: dict[Key, None] = {}  # the same
        self.total = Counts()  # since this process began to read
        self._positions: dict[int, int] = {}  # next offset to be read, by partition
        self._promised: dict[Key, tuple[int, float]] = {}  # version, and until when it counts
        self._watchers: dict[Key, set[asyncio.Event]] = defaultdict(set)
        self._waiting: list[tuple[dict[int, int], asyncio.Future[None]]] = []
        self._broker_ahead = float("-inf")  # of time.monotonic, by the last stamps

    def get(self, key: Key) -> StatusEntry | None:
        return self._tenants.get(key[0], {}).get(key[1])

    def apply(self, batch: Iterable[StatusMessage], positions: Mapping[int, int]) -> None:
        """Takes what the follower has read, and how far it is now."""
        touched = [status.key for status in batch if self._take(status)]
        for status in batch:
            self._broker_ahead = max(self._broker_ahead, status.published_at - time.monotonic())
        self._positions.update(positions)
        self._notify(touched)
        if self._waiting:
            self._waiting = [each for each in self._waiting if not self._settle(*each)]
        metrics.FOLLOWED.set(self._count)
        metrics.KEPT.set(self._bytes + self._count * _ENTRY_BYTES)

    def note(self, status: StatusMessage) -> None:
        """A status this process has published itself: found at once, not only when the follower gets there."""
        if self._positions.get(status.partition, 0) <= status.offset and self._put(status):
            self._notify([status.key])

    def retire(self, key: Key) -> None:
        """This process gives an upload up; its cancellation is on the way."""
        entry = self.get(key)
        if entry is not None:
            self._tenants[key[0]][key[1]] = entry._replace(failed_upload=True)

    def _take(self, status: StatusMessage) -> bool:
        """Calls _put. A status that cannot be taken keeps no other scan's from being followed."""
        try:
            return self._put(status)
        except Exception as error:
            log.error(
                "the status at partition %d, offset %d: %s",
                status.partition,
                status.offset,
                described(error),
                extra=about(partition=status.partition, offset=status.offset),
            )
            return False

    def _put(self, status: StatusMessage) -> bool:
        scans = self._tenants.setdefault(status.key[0], {})
        before = scans.get(status.key[1])
        if before is not None and before.partition == status.partition and status.offset < before.offset:
            return False
        if status.head is None or status.value is None:
            if before is not None:
                del scans[status.key[1]]
                self._count -= 1
                self._bytes -= len(before.value)
                self._unfinished.pop(status.key, None)
                self._troubled.pop(status.key, None)
            return before is not None
        renewed = before is not None and status.claim is not None and status.claim == before.claim
        if before is not None and (renewed or self._is_later_claim(status, before)):
            if (
                renewed
            ):  # it lives, no more than that: what a renewal repeats may be older than what the worker published
                scans[status.key[1]] = before._replace(claimed_at=status.published_at)
            return False
        taken = before is None or status.claim is not None  # by a new upload
        head = status.head
        submitted = head.submitted_at.timestamp() if head.submitted_at else status.published_at
        scans[status.key[1]] = StatusEntry(
            status.value,
            head.status,  # type: ignore[arg-type]  # what a newer worker says is handed on, whatever it is
            head.version,
            submitted,
            status.partition,
            status.offset,
            status.published_at,
            head.request_digest or (before.digest if before else None),
            status.failed_upload or (not taken and before is not None and before.failed_upload),
            status.claim or (before.claim if before else None),
            status.published_at if taken or before is None else before.claimed_at,
        )
        self._count += before is None
        self._bytes += len(status.value) - (len(before.value) if before else 0)
        self._count_records(status.key, head, before)
        return True

    def _count_records(self, key: Key, head: Head, before: StatusEntry | None) -> None:
        """A crashed database takes progress back: what is counted again then is not counted as negative before."""
        now = Counts(head.records_stored + head.records_rejected + head.records_duplicate, head.records_rejected)
        was = self._unfinished.pop(key, now if before is not None and before.final else Counts())
        self.total = Counts(
            self.total.accounted + max(0, now.accounted - was.accounted),
            self.total.rejected + max(0, now.rejected - was.rejected),
        )
        self._troubled.pop(key, None)
        if head.status not in FINAL_STATES:
            self._unfinished[key] = now
        elif head.status in _BAD_ENDS:
            self._troubled[key] = None
            if len(self._troubled) > _TROUBLED:
                del self._troubled[next(iter(self._troubled))]

    @property
    def unfinished_count(self) -> int:
        return len(self._unfinished)

    def unfinished(self, limit: int) -> list[tuple[Key, StatusEntry]]:
        """Scans of all tenants that have not ended, the one that changed last first."""
        return self._entries(self._unfinished, limit)

    def troubled(self, limit: int) -> list[tuple[Key, StatusEntry]]:
        """Scans of all tenants that ended with rejected or missing records, the latest first."""
        return self._entries(self._troubled, limit)

    def _entries(self, keys: dict[Key, Any], limit: int) -> list[tuple[Key, StatusEntry]]:
        found = ((key, self.get(key)) for key in islice(reversed(keys), limit))
        return [(key, entry) for key, entry in found if entry is not None]

    def _is_later_claim(self, status: StatusMessage, before: StatusEntry) -> bool:
        """Another upload under a key that is taken, or of a scan that has ended: the topic's order decides, the same
        way in every process."""
        if status.claim is None or status.claim == before.claim:
            return False
        return before.final or self.is_arriving(before, status.published_at)

    def now(self) -> float:
        """Seconds since 1970 to hold against `published_at`. A clock set back would keep a lease from ending; one set
        forward ends it for this process alone, and the topic's order says no."""
        return max(time.time(), time.monotonic() + self._broker_ahead)

    def is_arriving(self, entry: StatusEntry, now: float) -> bool:
        """True where an upload under a key may still be on its way: unfinished, and claimed within the lease. What a
        worker publishes about it does not count: that goes on when the upload is dead. To a process that started after
        compaction took the claim away, it must do until the upload renews its claim."""
        heard = entry.published_at if entry.claim is None else entry.claimed_at
        return not entry.final and not entry.failed_upload and now - heard < self._lease

    def _notify(self, keys: Iterable[Key]) -> None:
        for key in keys:
            for event in self._watchers.get(key, ()):
                event.set()

    @contextmanager
    def watch(self, key: Key) -> Iterator[asyncio.Event]:
        """An event that is set whenever the scan's status changes; the watcher clears it."""
        event = asyncio.Event()
        self._watchers[key].add(event)
        try:
            yield event
        finally:
            self._watchers[key].discard(event)
            if not self._watchers[key]:
                del self._watchers[key]

    async def wait_final(self, key: Key, seconds: float) -> StatusEntry | None:
        """The final status, or None when there is none within `seconds`."""
        return await self._wait(key, lambda entry: entry.final, seconds)

    def promise(self, key: Key, changes: int) -> int:
        """The version that a scan has after so many more changes, those promised shortly before and not yet published
        included.

        Call it when they have been published. What other processes publish at the same time is not known here.
        """
        entry = self.get(key)
        now = time.monotonic()
        version, until = self._promised.pop(key, (0, 0.0))
        base = max(entry.version if entry is not None else 0, version if now < until else 0)
        self._promised[key] = base + changes, now + _PROMISE_SECONDS
        if len(self._promised) > _PROMISES:
            del self._promised[next(iter(self._promised))]
        return base + changes

    async def wait_version(self, key: Key, version: int, seconds: float) -> StatusEntry | None:
        """The status once its version is at least this, or None when that is not within `seconds`."""
        return await self._wait(key, lambda entry: entry.version >= version, seconds)

    async def _wait(self, key: Key, look: Callable[[StatusEntry], bool], seconds: float) -> StatusEntry | None:
        with self.watch(key) as changed:
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        changed.clear()
                        entry = self.get(key)
                        if entry is not None and look(entry):
                            return entry
                        await changed.wait()
            except TimeoutError:
                return None

    def has_read(self, targets: Mapping[int, int]) -> bool:
        """True where everything below these offsets has been read."""
        return all(self._positions.get(partition, 0) >= offset for partition, offset in targets.items())

    async def reach(self, targets: Mapping[int, int], seconds: float) -> None:
        """Waits until everything below these offsets has been read. Raises NotCaughtUp."""
        if self.has_read(targets):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((dict(targets), future))
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            raise NotCaughtUp from None

    def _settle(self, targets: dict[int, int], future: asyncio.Future[None]) -> bool:
        if future.done():
            return True
        if self.has_read(targets):
            future.set_result(None)
            return True
        return False

    def page(
        self, tenant_id: str, state: str | None, before: SortKey | None, limit: int
    ) -> list[tuple[SortKey, StatusEntry]]:
        """Scans of a tenant, newest first, that come after `before` in that order."""
        found = (
            ((entry.submitted_at, scan_id), entry)
            for scan_id, entry in self._tenants.get(tenant_id, {}).items()
            if state is None or entry.state == state
        )
        if before is not None:
            found = (each for each in found if each[0] < before)
        return heapq.nlargest(limit, found, key=lambda each: each[0])
