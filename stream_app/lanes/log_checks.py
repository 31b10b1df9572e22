"""Checks that the partitions' logs are still the ones that their lanes' offsets count.

aiokafka answers an offset that the log does not hold with the earliest one, and says nothing. Below the log's begin
that means that retention took messages before they were read; beyond its end, that the topic was made anew or that a
broker lost what it had not flushed. Kafka Streams fails there: it seeks back to a committed offset without asking whose
it is, and its reset policy `none` lets the client throw. Flink fails by default too
(`OffsetsInitializer.committedOffsets` resets with NONE), and restores an offset from its checkpoint without looking at
the topic's id: both read a topic that has grown past the old offset from there on, as any client of the fetch protocol
below version 13 does.

Here the topic's id (KIP-516) is stored beside the offset, and held against the broker's before anything is read and at
every look: docs/decisions/0006-topic-ids.md."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from kafka_client.offsets import Log, TopicLogs
from schemas.log_lines import about
from schemas.stored_offset import StoredOffset
from stream_app import metrics
from stream_app.lanes.group import Lanes
from stream_app.lanes.lane import Lane
from stream_app.lanes.log_guard import Replaced

log = logging.getLogger("scanline.logs")
LOOK_SECONDS: Final = 2.0
_LOOKS: Final = 3  # that must agree: a broker that has just become leader may not know its end, nor the newest topic


class Logs:
    """stored_offsets() is called before lanes are made, look() every few seconds; both on the event loop."""

    def __init__(self, lanes: Lanes, bounds: Callable[[list[int]], TopicLogs]) -> None:
        self._lanes = lanes
        self._bounds = bounds

    async def stored_offsets(self, partitions: list[int]) -> dict[int, StoredOffset]:
        """PostgreSQL's, as Lanes.load_offsets, once the broker was asked which topic is there now. Where it does not
        answer within some seconds nothing can be read either, and the looks make up for it."""
        self._lanes.topic_id = (await self._ask([])).topic_id
        return await self._lanes.load_offsets(partitions, self._lanes.topic_id)

    async def look(self) -> None:
        """Holds the lanes whose log may be another, stops them when that is certain, and reports what retention
        took."""
        # read before the broker is asked: an end that is older than the offset proves nothing
        offsets = self._lanes.stored_offsets()
        if not offsets:
            return
        found = await self._ask(sorted(offsets))
        self._lanes.topic_id = found.topic_id
        for partition, lane in self._lanes.all().items():
            if partition not in offsets:
                continue
            there = found.logs.get(partition)
            if there is None:
                lane.log_guard.count_anew()  # nobody answers for it
            else:
                _judge(lane, offsets[partition], there, found.topic_id)

    async def _ask(self, partitions: list[int]) -> TopicLogs:
        return await asyncio.get_running_loop().run_in_executor(None, self._bounds, partitions)


def _judge(lane: Lane, stored: StoredOffset, there: Log, topic_id: str | None) -> None:
    """What one look comes to: `there` and `topic_id` are what the broker says, None where it gives no id."""
    _report_lost(lane, there.begin)
    log_guard = lane.log_guard
    other = topic_id if stored.counts_another(topic_id) else None
    reaches = stored.next_offset <= there.end
    if log_guard.topic_id != stored.topic_id:
        log_guard.count_anew()  # it started anew while the broker was asked
    elif topic_id is None and stored.topic_id is not None and reaches:
        pass  # no word of the id: what was doubted stays so, what was not is not doubted now
    elif other is None and reaches:
        log_guard.trust()
        if stored.topic_id is None and topic_id is not None:
            lane.start_again()  # which stores the id: the broker did not give it when the lane started
    elif other is not None and stored.next_offset == 0:
        log_guard.trust()  # nothing was read of the topic before: its offset is the new one's too
        lane.start_again()
    elif (looks := log_guard.doubt_for(stored.next_offset, other)) < _LOOKS:
        log.warning(
            "partition %d: not the log that offset %d counts? other topic %s, look %d",
            *(lane.partition, stored.next_offset, other, looks),
            extra=about(topic=lane.topic, partition=lane.partition, offset=stored.next_offset),
        )
    else:
        lane.log_replaced(Replaced(stored, there.end, other))


def _report_lost(lane: Lane, begin: int) -> None:
    """Reports what was deleted unread: of the stretches that were missing, what lies before the log's begin."""
    for first, after in lane.log_guard.take_gaps():
        lost = min(after, begin) - first
        if lost <= 0:
            continue  # compacted, aborted, or a transaction's mark
        metrics.LOST.inc(lost)
        log.error(
            "%s phân vùng %d: %d offset từ %d đã bị Kafka xóa trước khi được đọc; tiếp tục từ %d. Hãy gửi lại các lượt quét đó"
            " và giữ topic lâu hơn / %s partition %d: %d offsets from %d on were deleted by Kafka before they were read; going"
            " on at %d. Send those scans again and keep the topic longer",
            *(lane.topic, lane.partition, lost, first, after) * 2,
            extra=about(topic=lane.topic, partition=lane.partition, offset=first),
        )
