"""A lane: one partition's slices, in order, as micro-batches into the sink (design, sections 1 and 5).

Nothing is raised out of a lane. What cannot be written now waits; the lane says so and probes until it can go on.
"""

import asyncio
import datetime as dt
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, Final, NamedTuple, TypeVar

from schemas.topics import CANCELLED, CLOSED, HEADER_TYPE
from sinks.base import Fenced, Incoming, MicroBatch, Sink, Unavailable
from stream_app import metrics
from stream_app.builder import Builder, Limits
from stream_app.decoding import Message
from stream_app.publishing import DeadLetterFailed, Publisher
from stream_app.retry import Backoff

log = logging.getLogger("scanline.lane")
Result = TypeVar("Result")
RETELL: Final = dt.timedelta(minutes=10)  # how far back "recently changed" reaches
# One lane computes at a time. Threads that decode side by side share one interpreter lock: they get no more done, and spend
# a third of the processor on handing the lock around. What waits for PostgreSQL holds neither.
_computing: Final = threading.Lock()
_MESSAGE_OVERHEAD: Final = 600  # bytes of Python objects around a consumed message, for the bound on memory


def _size_of(messages: list[Message]) -> int:
    """Bytes they hold in memory, about."""
    return sum([len(message.value or b"") for message in messages]) + _MESSAGE_OVERHEAD * len(messages)


class Slice(NamedTuple):
    """What one fetch brought of one partition; `epoch` counts the seeks before it."""

    messages: list[Message]
    epoch: int


class Settings(NamedTuple):
    """Of every lane."""

    limits: Limits = Limits()
    window_seconds: float = 0.1
    lane_bytes: int = 2 * 1024 * 1024
    backoff: Backoff = Backoff()
    probe_seconds: float = 1.0


class _Work(NamedTuple):
    """A micro-batch that is to be written, and the messages to send to the dead-letter topic before it."""

    prepared: Any
    end: int
    letters: list[tuple[Message, str]]


class Lane:
    """One assigned partition. `accept` and the properties belong to the event loop; the work is done by the executor."""

    def __init__(
        self,
        topic: str,
        partition: int,
        sink: Sink[Any],
        publisher: Publisher,
        executor: Executor,
        rewind: Callable[[int, int], Awaitable[int]],
        settings: Settings,
        next_offset: int | None,
    ) -> None:
        """`rewind(partition, offset)` seeks and returns the new epoch. `next_offset` is PostgreSQL's, None if unknown."""
        self.topic = topic
        self.partition = partition
        self.next_offset = next_offset
        self.paused = False
        self.progress_at = time.monotonic()
        self._sink = sink
        self._publisher = publisher
        self._executor = executor
        self._rewind = rewind
        self._settings = settings
        self._expected = next_offset  # where the next slice must begin
        self._epoch = 0
        self._asked_again: int | None = None  # the offset that was fetched again, so that a gap may be believed
        self._buffer: deque[Message] = deque()
        self._carry: Incoming | None = None  # the buffer's first message, decoded: it did not fit the last micro-batch
        self._work: _Work | None = None  # built, and not yet written
        self._taken = 0  # bytes of the buffer that went into it
        self._buffered = 0
        self._oldest = 0.0
        self._hurry = False
        self._retell: dt.datetime | None = dt.datetime.now(dt.UTC) - RETELL
        self._wake = asyncio.Event()
        self._stopping = False
        self._lost_place = False
        self._task = asyncio.create_task(self._run(), name=f"lane-{partition}")

    @property
    def has_room(self) -> bool:
        """True when another slice may be fetched: memory stays bounded however far behind the lane is."""
        return self.next_offset is not None and self._buffered < self._settings.lane_bytes and not self._stopping

    @property
    def buffered(self) -> int:
        """Bytes fetched and not yet written."""
        return self._buffered

    def tell_again(self, since: dt.datetime) -> None:
        """Asks for the statuses changed since then to be read from the sink and published, between two micro-batches."""
        self._retell = since if self._retell is None else min(self._retell, since)
        self._wake.set()

    def start_again(self) -> None:
        """Asks for the stored offset to be read again: it is not where this lane left it."""
        self._lost_place = True
        self._wake.set()

    async def accept(self, piece: Slice) -> None:
        """Takes a slice. Offsets before the expected one are dropped; a gap is fetched again once before it is believed."""
        if self._stopping or not piece.messages or self._expected is None:
            return  # where to go on is still being asked for: fetched from the wrong place, and fetched again after the seek
        messages = piece.messages
        if messages[0].offset < self._expected:
            messages = [message for message in messages if message.offset >= self._expected]
            if not messages:
                return
        first = messages[0].offset
        if first > self._expected:
            if piece.epoch < self._epoch:
                return  # fetched before the last seek, whose own slice is to come
            if self._asked_again != self._expected:
                self._asked_again = self._expected
                metrics.REWINDS.inc()
                await self._seek(self._expected)
                return
            metrics.GAPS.inc(first - self._expected)
        self._expected = messages[-1].offset + 1
        if not self._buffer:
            self._oldest = time.monotonic()
        self._buffer.extend(messages)
        self._buffered += _size_of(messages)
        last_type = dict(messages[-1].headers).get(HEADER_TYPE, b"") or b""
        self._hurry = last_type in (CLOSED.encode(), CANCELLED.encode())  # somebody waits for the scan's end
        metrics.SLICES.inc()
        self._wake.set()

    async def stop(self, seconds: float = 5.0) -> None:
        """Finishes the running micro-batch, for at most that long, and forgets the rest."""
        self._stopping = True
        self._wake.set()
        _, pending = await asyncio.wait({self._task}, timeout=seconds)
        if pending:
            self._task.cancel()

    async def _seek(self, offset: int) -> None:
        try:
            self._epoch = await self._rewind(self.partition, offset)
        except Exception as error:  # the partition is being taken away: its next owner starts at the right place
            log.info("partition %d: no seek to %d (%s)", self.partition, offset, type(error).__name__)

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._settle_start()
                await self._wait_for_work()
                if self._retell is not None:
                    await self._tell()
                if self._lost_place:
                    self._lost_place = False
                    self._forget()
                    self.tell_again(dt.datetime.now(dt.UTC) - RETELL)
                elif not self._stopping and self.next_offset is not None and self._buffer:
                    await self._write_next()
            except asyncio.CancelledError:
                raise
            except Exception:
                self._set_paused(True)
                log.exception(
                    "partition %d: unexpected; nothing was skipped, starting again from the stored offset",
                    self.partition,
                )
                await self._pause_for(self._settings.probe_seconds)
                self._forget()
                self._set_paused(False)

    async def _settle_start(self) -> None:
        """Asks PostgreSQL where to go on, for as long as it takes; everything fetched before is fetched again."""
        if self.next_offset is not None:
            return
        offsets = await self._insist(lambda: self._sink.load_offsets(self.topic, [self.partition]))
        if offsets is None:
            return
        self.next_offset = self._expected = offsets[self.partition]
        self._asked_again = None
        await self._seek(self.next_offset)

    def _forget(self) -> None:
        self.next_offset = self._expected = None
        self._buffer.clear()
        self._buffered = self._taken = 0
        self._carry = self._work = None

    async def _wait_for_work(self) -> None:
        """Until there is a window's worth, or what there is has waited long enough, or a status must be told again."""
        limits = self._settings.limits
        while not (self._stopping or self._retell or self._lost_place):
            timeout = None
            if self._buffer:
                timeout = self._oldest + self._settings.window_seconds - time.monotonic()
                full = len(self._buffer) >= limits.rows or self._buffered >= min(
                    limits.bytes, self._settings.lane_bytes
                )
                if timeout <= 0 or full or self._hurry:
                    return
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), timeout)
            except TimeoutError:
                return

    async def _tell(self) -> None:
        since, self._retell = self._retell, None
        assert since is not None
        statuses = await self._insist(lambda: self._sink.statuses(self.partition, since))
        if statuses is not None:
            self._publisher.tell(self.partition, statuses)

    async def _write_next(self) -> None:
        try:
            if await self._insist(self._step) is None:
                return
        except Fenced as fenced:
            log.warning("partition %d: %s; reading the offset again", self.partition, fenced)
            self._forget()
            self.tell_again(dt.datetime.now(dt.UTC) - RETELL)
            return
        self._buffered -= self._taken
        self._oldest = time.monotonic()
        self.progress_at = self._oldest

    def _step(self) -> bool:
        """In a thread: builds the next micro-batch unless one is left from a failed attempt, and writes it."""
        if self._work is None:
            with _computing:
                self._work = self._build()
        work = self._work
        if work.letters:
            self._publisher.dead_letter(self.partition, work.letters)
            self._work = work = work._replace(letters=[])
        statuses = self._sink.write(work.prepared, dt.datetime.now(dt.UTC))
        self._work = None
        self.next_offset = work.end
        self._publisher.tell(self.partition, statuses)
        return True

    def _build(self) -> _Work:
        assert self.next_offset is not None
        started = time.perf_counter()
        builder = Builder(self._settings.limits, dt.datetime.now(dt.UTC), self._carry)
        self._carry = None
        buffer = self._buffer
        taken: list[Message] = []
        while buffer and builder.offer(buffer[0]):
            taken.append(buffer.popleft())
        end = taken[-1].offset + 1 if taken else self.next_offset
        self._carry = builder.left_over
        self._taken = _size_of(taken)
        messages, letters = builder.finish()
        metrics.DECODE_SECONDS.observe(time.perf_counter() - started)
        metrics.BATCH_ROWS.observe(builder.rows)
        batch = MicroBatch(self.topic, self.partition, self.next_offset, end, messages)
        return _Work(self._sink.prepare(batch), end, letters)

    async def _insist(self, call: Callable[[], Result]) -> Result | None:
        """Calls in a thread until it succeeds: a few attempts with backoff, then a pause with probes, then again.

        Returns None only when the lane is being stopped. Raises Fenced.
        """
        backoff = self._settings.backoff
        attempt = 0
        try:
            while True:
                attempt += 1
                try:
                    return await asyncio.get_running_loop().run_in_executor(self._executor, call)
                except (Unavailable, DeadLetterFailed) as error:
                    log.warning("partition %d: attempt %d failed: %s", self.partition, attempt, error)
                if self._stopping:
                    return None
                if attempt < backoff.attempts:
                    metrics.RETRIES.inc()
                    await self._pause_for(backoff.delay(attempt))
                else:
                    await self._wait_until_well()
                    attempt = 0
                if self._stopping:
                    return None
        finally:
            self._set_paused(False)

    async def _wait_until_well(self) -> None:
        """Paused: nothing is dropped or skipped; the sink is probed until it can take writes again."""
        self._set_paused(True)
        while not self._stopping:
            await self._pause_for(self._settings.probe_seconds)
            try:
                await asyncio.get_running_loop().run_in_executor(self._executor, self._sink.probe)
                log.info("partition %d: the database is back, going on", self.partition)
                return
            except Unavailable:
                continue

    def _set_paused(self, paused: bool) -> None:
        if paused and not self.paused:
            log.error(
                "partition %d is paused: the database takes nothing; trying every %.1f s, nothing is lost"
                " / phân vùng %d tạm dừng: cơ sở dữ liệu không nhận dữ liệu; sẽ thử lại, không mất dữ liệu",
                self.partition,
                self._settings.probe_seconds,
                self.partition,
            )
        metrics.PAUSED.inc(paused - self.paused)
        self.paused = paused

    async def _pause_for(self, seconds: float) -> None:
        """Sleeps, but no longer than until the lane is stopped."""
        deadline = time.monotonic() + seconds
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1))
