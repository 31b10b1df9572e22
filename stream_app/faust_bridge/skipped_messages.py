"""Finds messages that Faust fetched and dropped: the consumer's position is past what an idle lane waits for.

Faust drops what it has fetched in several places while the group is rebalanced (its flow stopped, another generation,
cleared queues), and the consumer may then stand behind messages that no lane was given. The next message of the
partition would show the gap; where none comes, a scan would wait for its last records until the next rebalance."""

import logging
from collections.abc import Callable
from typing import Final

from stream_app import metrics
from stream_app.lanes.group import Lanes

log = logging.getLogger("scanline.positions")
LOOK_SECONDS: Final = 2.0
_Gap = tuple[int, int]  # where the lane waits, where the consumer is


class SkippedMessages:
    """Compares each idle lane with the consumer's position. look() is called on the event loop every few seconds."""

    def __init__(self, lanes: Lanes, position: Callable[[int], int | None]) -> None:
        """`position(partition)`: of the message the consumer fetches next; None where that is not known."""
        self._lanes = lanes
        self._position = position
        self._seen: dict[int, _Gap] = {}
        self._believed: dict[int, _Gap] = {}

    async def look(self) -> None:
        """Seeks where an idle lane waits and the consumer has stood elsewhere for two looks. Once for each such gap:
        where the consumer comes to stand there again there is nothing to read in between (aborted transactions,
        compaction)."""
        seen: dict[int, _Gap] = {}
        for partition, lane in self._lanes.all().items():
            waits_at, reads_at = lane.waits_at, self._position(partition)
            if waits_at is None or reads_at is None or waits_at == reads_at:
                continue
            gap = seen[partition] = (waits_at, reads_at)
            if self._seen.get(partition) != gap or self._believed.get(partition) == gap:
                continue
            self._believed[partition] = gap
            metrics.REWINDS.inc()
            log.info("partition %d: waits for %d, the consumer is at %d: fetched again", partition, *gap)
            await lane.fetch_again()
        self._seen = seen
