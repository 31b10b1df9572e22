"""Faust's transport, changed in three points: a fetched batch of a partition is one event (a slice), reading starts
where PostgreSQL says, and only lanes with room are fetched for. Why:
docs/decisions/0001-slices-and-database-offsets.md."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiokafka
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP, ConsumerMessage

from kafka_client.bounded_fetch.fetcher import bound_the_fetcher, let_the_fetcher_wait
from schemas.lane_note import LaneNote
from schemas.status import WaitReason
from schemas.topics import RECORDS_TOPIC
from stream_app.lanes.group import Lanes
from stream_app.lanes.inbox import Slice
from stream_app.lanes.log_checks import Logs

log = logging.getLogger("scanline.transport")
_FULL_LANES_POLL = 0.02  # seconds between looks while some lanes are full


# No other consumer runs in this process.
bound_the_fetcher()
let_the_fetcher_wait()


class _ConsumerThread(AIOKafkaConsumerThread):
    def __post_init__(self) -> None:
        super().__post_init__()
        self._epochs: Counter[int] = Counter()
        self._handed: Counter[int] = Counter()  # by partition: after the last message given to its lane
        self._noted: dict[int, tuple[WaitReason | None, int]] = {}  # by partition: what was noted last, and since when

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        """Marks each batch with the number of seeks before it. aiokafka returns nothing that was fetched for another
        position, and seeks happen on this thread too, so the mark is exact."""
        records = await super()._fetch_records(*args, **kwargs)
        pieces = {
            tp: Slice(batch, self._epochs[tp.partition], self._handed[tp.partition])
            for tp, batch in records.items()
            if batch
        }
        for tp, piece in pieces.items():
            self._handed[tp.partition] = piece.messages[-1].offset + 1
        return pieces

    async def rewind(self, partition: int, offset: int) -> int:
        """Seeks, and returns the mark of everything fetched from now on."""
        return int(await self.call_thread(self._rewind, partition, offset))

    async def _rewind(self, partition: int, offset: int) -> int:
        place = KafkaPartition(RECORDS_TOPIC, partition)
        consumer = self._ensure_consumer()
        if place in consumer.paused():
            consumer.resume(place)
        consumer.seek(place, offset)
        self._epochs[partition] += 1
        self._handed[partition] = offset
        return self._epochs[partition]

    def past_holes(self, partition: int, written: int) -> int:
        """`written`, or where reading would go on from there if nothing in between can be read: the marks of
        transactions, what was aborted, what was compacted. Nobody lags behind those."""
        assignment = self._ensure_consumer()._subscription.subscription.assignment
        state = assignment.state_value(KafkaPartition(RECORDS_TOPIC, partition))
        if self._handed[partition] > written or not state.has_valid_position:
            return written
        return max(written, int(state.position))

    def position_of(self, partition: int) -> int | None:
        try:
            assignment = self._ensure_consumer()._subscription.subscription.assignment
            state = assignment.state_value(KafkaPartition(RECORDS_TOPIC, partition))
            return int(state.position) if state.has_valid_position else None
        except Exception:  # not assigned any more
            return None

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # A publisher's aborted transaction was never sent, as far as we are concerned (KIP-98).
        consumer._isolation_level = "read_committed"
        return consumer

    async def commit_for_monitors(
        self, offsets: Mapping[int, int], reasons: Mapping[int, WaitReason | None], worker: str
    ) -> None:
        """Commits group offsets, each with a note of what its lane does. A failure is of no consequence: nothing reads
        them but lag monitors."""
        await self.call_thread(self._commit_quietly, offsets, reasons, worker)

    async def _commit_quietly(
        self, offsets: Mapping[int, int], reasons: Mapping[int, WaitReason | None], worker: str
    ) -> None:
        consumer = self._ensure_consumer()
        member = consumer._coordinator.member_id
        mine = [place for place in consumer.assignment() if place.partition in reasons]
        before, now = self._noted, int(time.time())
        self._noted = {}
        told = {}
        try:
            for place in mine:
                reason, since = before.get(place.partition, (None, now))
                if reason != reasons[place.partition]:
                    reason, since = reasons[place.partition], now
                self._noted[place.partition] = reason, since
                note = LaneNote(member, worker, reason, since).text()
                if place.partition in offsets:
                    at: int | None = self.past_holes(place.partition, offsets[place.partition])
                else:  # the database has not told it yet; that the lane waits is to be known all the same
                    at = await consumer.committed(place)
                if at is not None:
                    told[place] = OffsetAndMetadata(at, note)
            if told:
                await consumer.commit(told)
        except Exception as error:
            log.info("group offsets not committed this time: %s", type(error).__name__)


class SliceConsumer(Consumer):
    """Yields one message per fetched (partition, batch): its value is a Slice, its offset that of the slice's last."""

    lanes: Lanes  # all set by build_app
    logs: Logs
    client_name: str
    _thread: _ConsumerThread

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        ready = {tp for tp in active_partitions or () if self.lanes.has_room(tp.partition)}
        if not ready:
            await asyncio.sleep(_FULL_LANES_POLL)
            return {}
        some_full = len(ready) < len(active_partitions or ())
        return await super()._getmany(ready, _FULL_LANES_POLL if some_full else timeout)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """A message made by hand must carry the generation, or Faust skips it without a word."""
        piece: Any  # a Slice, where Faust has a list
        records, _ = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        for tp, piece in (records or {}).items():
            if self.should_stop or not self.flow_active or generation != self.app.consumer_generation_id:
                return
            tp = TP(tp.topic, tp.partition)
            last = piece.messages[-1]
            self._read_offset[tp] = None  # Faust's own check would drop a shorter slice after a seek back
            yield (
                tp,
                ConsumerMessage(
                    tp.topic, tp.partition, last.offset, last.timestamp / 1000, 0, [], None, piece, None, 0, 0, tp,
                    generation_id=generation,
                ),
            )  # fmt: skip

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Called once after every assignment: start where PostgreSQL stopped, whatever the group's own offsets say."""
        mine = sorted(tp.partition for tp in self.assignment() if tp.topic == RECORDS_TOPIC)
        await self.lanes.revoke()
        stored = await self.logs.stored_offsets(mine)
        for partition, (offset, _) in stored.items():
            try:
                await self._thread.rewind(partition, offset)
            except Exception as error:  # taken away again already: another assignment follows
                log.info("partition %d: no seek to %d (%s)", partition, offset, type(error).__name__)
        self.lanes.assign(mine, stored, self._thread.rewind)
        return {TP(RECORDS_TOPIC, partition): each.next_offset for partition, each in stored.items()}

    def revive(self, partition: int) -> None:
        """Undoes whatever may keep the partition from being fetched: Faust's own pauses and full buffers."""
        tp = TP(RECORDS_TOPIC, partition)
        self._buffered_partitions.discard(tp)
        self.resume_partitions({tp})

    def unread(self, partition: int, written: int, end: int) -> bool:
        """True where there is anything to be read between what is written and the partition's end. A consumer that
        stands beyond the end is lost."""
        try:
            reached = self._thread.past_holes(partition, written)
            return reached < end or reached > max(end, written)
        except Exception:  # not assigned any more
            return False

    def position_of(self, partition: int) -> int | None:
        """The offset that the consumer fetches next; None where that is not known, or the flow is stopped."""
        return self._thread.position_of(partition) if self.flow_active else None

    async def commit_positions(self) -> None:
        """Group offsets for lag monitors."""
        reasons = self.lanes.wait_reasons
        if reasons and self.flow_active:
            await self._thread.commit_for_monitors(self.lanes.positions(), reasons, self.client_name)

    def lag_of(self, partition: int, written: int) -> int | None:
        """Offsets between what is written and the partition's end as of the last fetch."""
        try:
            end = self.highwater(TP(RECORDS_TOPIC, partition))
            return None if end is None else max(0, end - self._thread.past_holes(partition, written))
        except Exception:  # not assigned any more
            return None


class SliceTransport(Transport):
    """Faust's aiokafka transport with SliceConsumer."""

    Consumer = SliceConsumer
