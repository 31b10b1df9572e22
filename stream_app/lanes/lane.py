"""A lane: one partition's slices, in order, as micro-batches into the sink
(docs/decisions/0001-slices-and-database-offsets.md).

Nothing is raised out of a lane. What cannot be written now waits; the lane says so and probes until it can go on.
"""

import asyncio
import datetime as dt
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.exception_summary import described
from schemas.log_lines import about
from schemas.status import ScanStatus, WaitReason
from schemas.stored_offset import StoredOffset
from sinks.protocol import Fenced, LaneStore
from stream_app import metrics
from stream_app.lanes.assembler import Assembler, Work
from stream_app.lanes.backoff import Backoff
from stream_app.lanes.batch import Limits
from stream_app.lanes.dead_letter_gate import Limiter
from stream_app.lanes.dead_letter_limit import Limit
from stream_app.lanes.inbox import FetchAgain, Inbox, Slice
from stream_app.lanes.log_guard import LogGuard, Replaced
from stream_app.lanes.poison_check import PoisonCheck, log_put_aside
from stream_app.lanes.poison_search import PoisonSearch, Unexpected, suspecting
from stream_app.lanes.store_calls import StoreCalls
from stream_app.lanes.unfinished_scans import UnfinishedScans
from stream_app.lanes.writers import Writers
from stream_app.publisher import Publisher

if TYPE_CHECKING:
    from schemas.traces import Traces  # who does not trace does not load it

log = logging.getLogger("scanline.lane")
RETELL: Final = 600.0  # seconds: how far back "recently changed" reaches


class Settings(NamedTuple):
    """The settings of every lane."""

    limits: Limits = Limits()
    window_seconds: float = 0.1
    lane_bytes: int = 2 * 1024 * 1024
    backoff: Backoff = Backoff()
    probe_seconds: float = 1.0
    dead_letters: Limit = Limit()


class Common(NamedTuple):
    """The parts that all lanes of a worker share."""

    topic: str
    sink: LaneStore[Any]
    publisher: Publisher
    writers: Writers
    settings: Settings
    traces: "Traces | None" = None


class Outdated(Exception):
    """The micro-batch in hand was built for circumstances that have changed. Nothing of it is written; it is read
    again."""


class Lane:
    """One assigned partition. `accept` and the properties belong to the event loop; the work is done in the writers'
    threads."""

    def __init__(
        self,
        common: Common,
        partition: int,
        rewind: Callable[[int, int], Awaitable[int]],
        stored: StoredOffset | None,
        on_late: Callable[[int], None] = lambda _: None,
        topic_id: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`rewind(partition, offset)` seeks and returns the new epoch. `stored` is PostgreSQL's, None if unknown.

        `on_late(partition)` is called when a thread that was written off has written after all. `topic_id` says what
        the broker said of the topic last."""
        topic, sink, publisher, writers, settings, self._traces = common
        self.topic = topic
        self.partition = partition
        self.next_offset: int | None = None
        self._sink = sink
        self._publisher = publisher
        self._rewind = rewind
        self._settings = settings
        self._topic_id = topic_id
        self._inbox = Inbox()
        self._work: Work | None = None  # built, and not yet written
        self._taken = 0  # bytes of the inbox that went into it; kept until the event loop has heard that it is written
        self._committed_at = 0.0  # when it was; time.time
        self._retell: float | None = time.monotonic() - RETELL
        self._wake = asyncio.Event()
        self._written_off = False
        self._lost_place = False
        self.log_guard = LogGuard(topic, partition, self._wake.set)
        if stored is not None:
            self._stand_at(stored)
        self._on_late = on_late
        self._loop = asyncio.get_running_loop()
        self._scans = UnfinishedScans()
        self._paused_since: float | None = None
        self._stands = False  # with work on one offset, for too long
        # A call that takes long may end while its scans are published as waiting: its word must be the last.
        self._telling = threading.Lock()
        self._limiter = Limiter(sink, topic, partition, settings.dead_letters)
        self._poison_search = PoisonSearch()
        self._poison_check = PoisonCheck(topic, partition, sink, self._poison_search, self._report)
        self._assembler = Assembler(topic, partition, sink, self._limiter, settings.limits, self._poison_search)
        self.caller = StoreCalls(
            partition,
            writers,
            settings.backoff,
            settings.probe_seconds,
            sink.probe,
            self._limiter.look,
            self._publish_waiting,
        )
        self._task = asyncio.create_task(self._run(), name=f"lane-{partition}")

    @property
    def has_room(self) -> bool:
        """True when another slice may be fetched: memory stays bounded however far behind the lane is."""
        waits = self.next_offset is None or self.log_guard.held or self.caller.stopping
        return not waits and self._inbox.bytes < self._settings.lane_bytes

    @property
    def buffered(self) -> int:
        """Bytes fetched and not yet written."""
        return self._inbox.bytes

    @property
    def waits_since(self) -> float | None:
        """When the broker took the oldest message that is fetched and not yet written; time.time. None: there is none, or
        the broker stamps no messages."""
        return self._inbox.waits_since

    @property
    def busy(self) -> bool:
        """It has something to do."""
        return bool(self._inbox.messages) or self._work is not None or self.caller.doing != "waiting"

    @property
    def doing(self) -> str:
        """What the lane does now, in a word or two, for people."""
        return "fetching" if not self.busy else self.caller.doing

    @property
    def signs(self) -> tuple[int, int]:
        """Signs of life: the lane's calls that came back, and the store's answers in the one under way."""
        return self.caller.signs, self._sink.answers(self.caller.thread)

    @property
    def waits_at(self) -> int | None:
        """The offset of the message it waits for; None while it has something to do."""
        return None if self.busy or self.caller.stopping else self._inbox.expected

    async def fetch_again(self) -> None:
        """Has the message it waits for fetched again."""
        if self._inbox.expected is not None and not self.caller.stopping:
            await self._seek(self._inbox.expected)

    def tell_again(self, since: float) -> None:
        """Asks for the statuses changed since then, of time.monotonic, to be read and published, between two
        micro-batches."""
        self._retell = since if self._retell is None else min(self._retell, since)
        self._wake.set()

    def start_again(self) -> None:
        """Asks for the stored offset to be read again: it is not where this lane left it."""
        self._lost_place = True
        self._wake.set()

    def log_replaced(self, found: Replaced) -> None:
        """Tells it that its log is certainly another one, or lost its end, if it still waits there."""
        if (self.next_offset, self.log_guard.topic_id) == found.stored:
            self.log_guard.replaced(found)

    async def accept(self, piece: Slice) -> None:
        """Takes a slice. Offsets before the expected one are dropped; a gap is fetched again once before it is
        believed."""
        inbox = self._inbox
        if self.caller.stopping or not inbox.awaits(piece):
            return
        if inbox.doubts(piece):
            self.log_guard.doubt()
        if self.log_guard.held:
            self._lost_place = True
            return
        answer = inbox.offer(piece, time.monotonic())
        if isinstance(answer, FetchAgain):
            metrics.REWINDS.inc()
            await self._seek(answer.offset)
        elif answer is not None:
            if answer.gap is not None:
                metrics.GAPS.inc(answer.gap[1] - answer.gap[0])
                self.log_guard.gaps.append(answer.gap)
            metrics.SLICES.inc()
            self._wake.set()

    async def stop(self, seconds: float = 5.0) -> None:
        """Finishes the running micro-batch, for at most that long, and forgets the rest."""
        self.caller.stopping = True
        self._wake.set()
        _, pending = await asyncio.wait({self._task}, timeout=seconds)
        if pending:
            self.write_off()

    def write_off(self) -> None:
        """Gives up a lane that hangs. A thread that is still in a call can do no harm when it comes back: what it
        writes, it writes by the offset's compare-and-swap; what it would publish is left to the lane that follows."""
        self._written_off = self.caller.stopping = True
        self._task.cancel()

    async def _seek(self, offset: int) -> None:
        doing, self.caller.doing = self.caller.doing, "seeking"
        try:
            self._inbox.epoch = await self._rewind(self.partition, offset)
        except Exception as error:  # the partition is being taken away: its next owner starts at the right offset
            log.info(
                "partition %d: no seek to %d (%s)",
                *(self.partition, offset, type(error).__name__),
                extra=self._about(offset),
            )
        finally:
            self.caller.signs += 1
            self.caller.doing = doing

    def _about(self, offset: int | None) -> dict[str, str | int]:
        return about(topic=self.topic, partition=self.partition, offset=offset)

    def _report(self, text: str) -> None:
        log.warning("partition %d: %s", self.partition, text, extra=self._about(self.next_offset))

    async def _run(self) -> None:
        while not self.caller.stopping:
            try:
                await self._settle_start()
                if self.log_guard.held:
                    await self.log_guard.wait(self.caller, self._load)
                    if not self.caller.stopping:
                        self._lost_place = False
                        self._forget()
                    continue
                self._after_pause()
                await self._wait_for_work()
                if self._retell is not None:
                    await self._publish_statuses()
                if self._lost_place and not self.log_guard.held:
                    self._lost_place = False
                    self._start_over()
                elif (
                    not self.log_guard.held
                    and not self.caller.stopping
                    and self.next_offset is not None
                    and self._inbox.messages
                ):
                    await self._write_next()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self.caller.set_paused("unexpected")
                log.error(
                    "%s phân vùng %d: lỗi ngoài dự kiến ở offset %s: %s; không bỏ qua gì, đọc lại từ offset đã lưu"
                    " / %s partition %d: an unexpected error at offset %s: %s; nothing is skipped, reading again from the"
                    " stored offset",
                    *(self.topic, self.partition, self.next_offset, described(error)) * 2,
                    extra=self._about(self.next_offset),
                )
                await self.caller.nap(self._settings.probe_seconds)
                self._forget()
                self.caller.set_paused(None)

    async def _settle_start(self) -> None:
        """Asks PostgreSQL where to go on, for as long as it takes; everything fetched before is fetched again."""
        if self.next_offset is not None:
            return
        stored = await self.caller.insist("reading its offset", lambda: self._load(self._topic_id()))
        if stored is None:
            return
        self._stand_at(stored)
        await self._seek(stored.next_offset)

    def _load(self, topic_id: str | None = None) -> StoredOffset:
        return self._sink.load_offsets(self.topic, [self.partition], topic_id)[self.partition]

    def _stand_at(self, stored: StoredOffset) -> None:
        self.next_offset = stored.next_offset
        self._inbox.start_at(stored.next_offset)
        self.log_guard.stand(stored, self._topic_id())

    def _forget(self) -> None:
        self.next_offset = None
        self._inbox.clear()
        self._taken = 0
        self._work = None
        self._assembler.forget()
        self._limiter.forget()
        self._poison_search.forget()

    def _start_over(self) -> None:
        """Starts again from the stored offset, and publishes what an attempt wrote whose answer was lost."""
        self._forget()
        self.tell_again(time.monotonic() - RETELL)

    async def _wait_for_work(self) -> None:
        """Waits until there is a window's worth, or what there is has waited long enough, or a status must be published
        again."""
        limits = self._settings.limits
        while not (self.caller.stopping or self._retell or self._lost_place or self.log_guard.held):
            timeout = None
            if self._inbox.messages:
                timeout = self._inbox.oldest + self._settings.window_seconds - time.monotonic()
                full = len(self._inbox.messages) >= limits.rows or self._inbox.bytes >= min(
                    limits.bytes, self._settings.lane_bytes
                )
                if timeout <= 0 or full or self._inbox.ends_scan or self._poison_search.before is not None:
                    return
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), timeout)
            except TimeoutError:
                return

    async def _publish_statuses(self) -> None:
        since, self._retell = self._retell, None
        assert since is not None

        def read() -> list[ScanStatus]:  # the time that an outage takes counts as well
            return self._sink.statuses(self.partition, dt.timedelta(seconds=time.monotonic() - since))

        statuses = await self.caller.insist("reading statuses", read)
        if statuses is not None:
            with self._telling:
                self._scans.note_all(statuses)
                self._publisher.publish_statuses(self.partition, statuses)

    def _told(self, statuses: Sequence[ScanStatus]) -> None:
        with self._telling:
            self._scans.note(statuses)
            self._publisher.publish_statuses(self.partition, statuses, just_committed=True)

    def stand(self, *, too_long: bool) -> None:
        """Notes whether it has had work and stood on one offset for too long: its unfinished scans are published as
        waiting, or as going on."""
        self._stands = too_long
        if too_long:
            self._publish_waiting()
        elif self.caller.paused is None:
            self._after_pause()

    @property
    def wait_reason(self) -> WaitReason | None:
        """Why it waits; None where it does not."""
        return self.caller.paused or ("standing" if self._stands else None)

    def _publish_waiting(self) -> None:
        """Publishes unfinished scans as waiting, each once in a pause. Afterwards all are published again."""
        reason = self.wait_reason
        if reason is None or self.caller.stopping:
            return
        if self._paused_since is None:
            self._paused_since = time.monotonic()
        work = self._work
        in_hand = work.controls if work is not None else ()
        try:
            with self._telling:
                self._publisher.publish_statuses(
                    self.partition, self._scans.waiting(in_hand, list(self._inbox.messages), reason)
                )
        except Exception as error:  # a lane that waits has to go on waiting
            log.error(
                "partition %d: scans were not published as waiting: %s",
                *(self.partition, described(error)),
                extra=self._about(self.next_offset),
            )

    def _after_pause(self) -> None:
        if self._paused_since is None or self._stands:
            return
        since, self._paused_since = self._paused_since, None
        if self._scans.go_on():
            self.tell_again(since - RETELL)

    async def _write_next(self) -> None:
        try:
            if await self.caller.insist("writing", self._step) is None:
                return
        except Outdated as outdated:
            log.info(
                "partition %d: %s; reading it again",
                *(self.partition, outdated),
                extra=self._about(self.next_offset),
            )
            self._start_over()
            return
        except Fenced as fenced:
            log.warning(
                "partition %d: %s; reading the offset again",
                *(self.partition, fenced),
                extra=self._about(self.next_offset),
            )
            self._start_over()
            return
        for appended in self._inbox.written(self._taken, time.monotonic(), self.next_offset or 0):
            metrics.END_TO_END.observe(max(0.0, self._committed_at - appended))
        if self._poison_search.in_doubt:
            await self.caller.nap(self._settings.backoff.delay(1))

    def _step(self) -> bool:
        """Writes the next micro-batch, or comes closer to the message that keeps it from being written. Runs in a
        thread."""
        assert self.next_offset is not None
        stored = StoredOffset(self.next_offset, self.log_guard.topic_id)
        self._taken = 0
        try:
            self._write(stored)
        except Unexpected as unexpected:
            self._work = None
            aside = self._poison_check.hold(unexpected, stored)
            if aside is not None:
                log_put_aside(self.topic, self.partition, {aside: described(unexpected)})
        return True

    def _traced(self, work: Work) -> AbstractContextManager[None]:
        if self._traces is None:
            return nullcontext()
        return self._traces.micro_batch(self.topic, self.partition, work.taken, work.end)

    def _write(self, stored: StoredOffset) -> None:
        """Builds the next micro-batch unless one is left from a failed attempt, and writes it."""
        work = self._work
        if work is None:
            work = self._work = self._assembler.assemble(self._inbox.messages, stored)
        elif self._assembler.is_too_large(work):
            raise Outdated("the store is slow, and less goes into the next micro-batch")
        if self.log_guard.held:
            raise Outdated("what was read may be another topic's")
        if work.letters:
            self._publisher.dead_letter(self.partition, work.letters)
            self._poison_search.sent([message.offset for message, _ in work.letters])
            self._work = work = work._replace(letters=[])
        if self._written_off:
            return
        with suspecting(self._inbox.messages, work.taken), self._traced(work):
            statuses = self._sink.write(work.prepared)
        self._committed_at = time.time()
        if self._written_off:
            self._loop.call_soon_threadsafe(self._on_late, self.partition)
            return
        self._work = None
        self._taken = work.bytes
        self.next_offset = work.end
        self._poison_search.written(work.end)
        self._limiter.written(len(work.taken), work.history)
        self._told(statuses)
