"""What the partitions' logs hold, held against where their lanes wait.

aiokafka answers an offset that the log does not hold with the earliest one, and says nothing. Below the log's begin that means
that retention took messages before they were read; beyond its end, that the topic was made anew or that a broker lost what it
had not flushed. Kafka Streams and Flink fail there rather than guess.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.topics import RECORDS_TOPIC
from stream_app import metrics
from stream_app.lane import Lane
from stream_app.lanes import Lanes

log = logging.getLogger("scanline.logs")
LOOK_SECONDS: Final = 2.0
_LOOKS: Final = 3  # that must agree: a broker that has just become the leader may not know its end yet
_SECONDS: Final = 5.0


class Log(NamedTuple):
    """Of one partition: the first offset it holds, and the one after its last, transactions under way included."""

    begin: int
    end: int


class Bounds:
    """Asks the broker. Blocks, for a thread."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._client: AdminClient | None = None

    def __call__(self, partitions: list[int]) -> Mapping[int, Log]:
        """Of those partitions whose leader answers."""
        if self._client is None:
            self._client = AdminClient(
                {"bootstrap.servers": self._bootstrap, "client.id": "scanline-logs", "log_level": 0}
            )
        begins = self._offsets(partitions, OffsetSpec.earliest())
        ends = self._offsets(partitions, OffsetSpec.latest())
        return {number: Log(begin, ends[number]) for number, begin in begins.items() if number in ends}

    def _offsets(self, partitions: list[int], spec: OffsetSpec) -> dict[int, int]:
        assert self._client is not None
        found = {}
        try:
            asked = {TopicPartition(RECORDS_TOPIC, number): spec for number in partitions}
            answers = self._client.list_offsets(asked, request_timeout=_SECONDS)
            for place, answer in answers.items():
                try:
                    found[place.partition] = int(answer.result(_SECONDS + 1).offset)
                except (KafkaException, TimeoutError):
                    continue
        except KafkaException as error:
            log.info("no bounds of logs this time: %s", type(error).__name__)
        return found


class Logs:
    """look() is called on the event loop every few seconds."""

    def __init__(self, lanes: Lanes, bounds: Callable[[list[int]], Mapping[int, Log]]) -> None:
        self._lanes = lanes
        self._bounds = bounds
        self._beyond: dict[int, tuple[int, int]] = {}  # partition -> offset beyond its log's end, looks in a row

    async def look(self) -> None:
        """Stops the lanes that wait beyond the end of their log, and tells of what retention took."""
        # read before the broker is asked: an end that is older than the offset proves nothing
        places = self._lanes.positions()
        if not places:
            return
        found = await asyncio.get_running_loop().run_in_executor(None, self._bounds, sorted(places))
        lanes = self._lanes.all()
        beyond: dict[int, tuple[int, int]] = {}
        for partition, bounds in found.items():
            lane = lanes.get(partition)
            if lane is None:
                continue
            _tell_lost(lane, bounds.begin)
            at = places[partition]
            if at > bounds.end:
                before, looks = self._beyond.get(partition, (at, 0))
                beyond[partition] = (at, looks + 1 if before == at else 1)
                if beyond[partition][1] >= _LOOKS:
                    lane.log_replaced(at, bounds.end)
        self._beyond = beyond


def _tell_lost(lane: Lane, begin: int) -> None:
    """Of the stretches that were missing, what lies before the log's begin was deleted unread."""
    for first, after in lane.take_gaps():
        lost = min(after, begin) - first
        if lost <= 0:
            continue  # compacted, aborted, or a transaction's mark
        metrics.LOST.inc(lost)
        log.error(
            "%s phân vùng %d: %d offset từ %d đã bị Kafka xóa trước khi được đọc; tiếp tục từ %d. Hãy gửi lại các lượt quét đó"
            " và giữ topic lâu hơn / %s partition %d: %d offsets from %d on were deleted by Kafka before they were read; going"
            " on at %d. Send those scans again and keep the topic longer",
            lane.topic, lane.partition, lost, first, after, lane.topic, lane.partition, lost, first, after,
        )  # fmt: skip
