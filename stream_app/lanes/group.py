"""All lanes of this worker: made at an assignment, stopped at a revocation, looked after by timers."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from schemas.exception_summary import described
from schemas.log_lines import about
from schemas.status import PauseReason, WaitReason
from schemas.stored_offset import StoredOffset
from schemas.topics import RECORDS_TOPIC
from sinks.protocol import LaneStore, Unavailable
from stream_app import metrics
from stream_app.lanes.inbox import Slice
from stream_app.lanes.lane import RETELL, Common, Lane, Settings
from stream_app.lanes.writers import Writers
from stream_app.publisher import Publisher

if TYPE_CHECKING:
    from schemas.traces import Traces  # who does not trace does not load it

log = logging.getLogger("scanline.lanes")


class Lanes:
    """Partition -> lane. Every call is made on the event loop."""

    def __init__(
        self,
        sink: LaneStore[Any],
        publisher: Publisher,
        writers: Writers,
        settings: Settings,
        traces: "Traces | None" = None,
    ) -> None:
        self._sink = sink
        self._publisher = publisher
        self._writers = writers
        self._common = Common(RECORDS_TOPIC, sink, publisher, writers, settings, traces)
        self._traces = traces
        self._lanes: dict[int, Lane] = {}
        self._rewind: Callable[[int, int], Awaitable[int]] | None = None
        self.assigned_at: float | None = None
        self.topic_id: str | None = None  # as the broker said last; None where it did not, or knows no ids

    async def load_offsets(self, partitions: list[int], topic_id: str | None = None) -> dict[int, StoredOffset]:
        """PostgreSQL's offsets, or none at all while it is away: new lanes then ask for themselves. `topic_id`: see
        Sink."""
        try:
            return await asyncio.get_running_loop().run_in_executor(
                None, self._sink.load_offsets, RECORDS_TOPIC, partitions, topic_id
            )
        except Unavailable as error:
            log.warning("no offsets from the database: %s", error)
            return {}

    def assign(
        self, partitions: list[int], stored: Mapping[int, StoredOffset], rewind: Callable[[int, int], Awaitable[int]]
    ) -> None:
        """Makes a lane for each partition. The lanes before must have been stopped."""
        metrics.REBALANCES.inc()
        self._rewind = rewind
        self._lanes = {partition: self._make(partition, stored.get(partition)) for partition in partitions}
        metrics.LANES.set(len(self._lanes))
        self.assigned_at = time.monotonic()
        log.info("%d partitions assigned", len(partitions))

    def _make(self, partition: int, stored: StoredOffset | None) -> Lane:
        assert self._rewind is not None
        return Lane(
            self._common,
            partition,
            self._rewind,
            stored,
            self._publish_after,
            lambda: self.topic_id,
        )

    def restart(self, partition: int) -> None:
        """A new lane for one that hangs. A thread that is caught in a call is made to fail; where there is none left
        for the call, there will be."""
        old = self._lanes[partition]
        thread = old.caller.thread
        if old.caller.queued:
            self._writers.replace()
        old.write_off()
        if thread is not None:
            self._sink.interrupt(thread)
        self._lanes[partition] = self._make(partition, None)

    def _publish_after(self, partition: int) -> None:
        """Has the lane that came after a written-off thread publish what that thread wrote after all."""
        lane = self._lanes.get(partition)
        if lane is not None:
            lane.tell_again(time.monotonic() - RETELL)

    def all(self) -> Mapping[int, Lane]:
        """Partition -> lane."""
        return self._lanes

    @property
    def returned_at(self) -> float:
        """The time (time.monotonic) at which a call of any lane last came back."""
        return self._writers.returned_at

    async def revoke(self) -> None:
        """Stops every lane; running micro-batches are finished first."""
        lanes, self._lanes = self._lanes, {}
        metrics.LANES.set(0)
        metrics.LAG.clear()  # another worker's to report from now on
        metrics.LAG_SECONDS.clear()
        metrics.OLDEST_IN_HAND.set(0)
        await asyncio.gather(*(lane.stop() for lane in lanes.values()))

    async def deliver(self, partition: int, piece: Slice) -> None:
        """Hands a slice to its lane. Never raises: an exception would end Faust's actor."""
        lane = self._lanes.get(partition)
        if lane is not None:
            try:
                await lane.accept(piece)
            except Exception as error:
                log.error(
                    "partition %d: a slice was not accepted (%s); it will be fetched again",
                    partition,
                    described(error),
                    extra=about(topic=RECORDS_TOPIC, partition=partition),
                )
                lane.start_again()  # or nothing would fetch it before the next message came, if ever one did

    def has_room(self, partition: int) -> bool:
        """True when another slice of the partition may be fetched."""
        lane = self._lanes.get(partition)
        return lane is not None and lane.has_room

    def positions(self) -> dict[int, int]:
        """The next offset to write of each partition."""
        return {number: lane.next_offset for number, lane in self._lanes.items() if lane.next_offset is not None}

    def stored_offsets(self) -> dict[int, StoredOffset]:
        """The same, each with the id of its topic."""
        return {
            number: StoredOffset(at, self._lanes[number].log_guard.topic_id) for number, at in self.positions().items()
        }

    async def verify(self) -> None:
        """A crash of PostgreSQL may take its last unsynchronised transactions, with their offsets. A lane that is
        writing notices at its next micro-batch; one with nothing to do is notified here, and reads those messages
        again."""
        before = self.positions()
        stored = await self.load_offsets(list(before)) if before else {}
        for partition, offset in stored.items():
            lane = self._lanes.get(partition)
            at = offset.next_offset
            if lane is not None and at < before[partition]:
                log.warning(
                    "partition %d: the database is at %d again, not %d",
                    *(partition, at, before[partition]),
                    extra=about(topic=RECORDS_TOPIC, partition=partition, offset=at),
                )
                lane.start_again()

    @property
    def paused(self) -> dict[int, PauseReason]:
        """Partitions that wait, and for what."""
        return {number: why for number, lane in self._lanes.items() if (why := lane.caller.paused) is not None}

    @property
    def wait_reasons(self) -> dict[int, WaitReason | None]:
        """Why each lane waits, by partition; None of one that does not."""
        return {number: lane.wait_reason for number, lane in self._lanes.items()}

    def measure(self, lag_of: Callable[[int, int], int | None]) -> None:
        """Sets the gauges; `lag_of(partition, what is written)`."""
        metrics.BUFFERED.set(sum(lane.buffered for lane in self._lanes.values()))
        for partition, position in self.positions().items():
            lag = lag_of(partition, position)
            if lag is not None:
                metrics.LAG.labels(partition).set(lag)
        now, oldest = time.time(), 0.0
        for partition, lane in self._lanes.items():
            since = lane.waits_since
            age = 0.0 if since is None else max(0.0, now - since)
            metrics.LAG_SECONDS.labels(partition).set(age)
            oldest = max(oldest, age)
        metrics.OLDEST_IN_HAND.set(oldest)

    def tell_again(self, every: bool) -> None:
        """Publishes statuses again that could not be delivered; `every`: all that changed recently."""
        since = time.monotonic() - RETELL
        failed = self._publisher.failed_partitions()
        for partition, lane in self._lanes.items():
            if every or partition in failed:
                lane.tell_again(since)

    async def close(self) -> None:
        """Stops everything and delivers what is left to publish."""
        await self.revoke()
        self._writers.close()
        await asyncio.get_running_loop().run_in_executor(None, self._publisher.close)
        if self._traces is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._traces.close)
        self._sink.close()
