"""A lane that asks the sink where to go on: what was fetched meanwhile, from wherever the group stood, is not
written."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from schemas.status import ScanStatus
from schemas.stored_offset import StoredOffset
from schemas.topics import HEADER_SUBJECT, HEADER_TYPE, RECORDS, RECORDS_TOPIC
from sinks.protocol import MicroBatch, Unavailable
from stream_app.lanes.inbox import Slice
from stream_app.lanes.lane import Common, Lane, Settings
from stream_app.lanes.writers import Writers
from tests.helpers import new_scan
from tests.memory_sink import MemorySink
from trials import generator

SCAN = new_scan()
LINE = generator.records(1)[0]
END = 40


class Message(NamedTuple):
    """As the worker's consumer hands it out."""

    offset: int
    key: bytes | None = b"tenant"
    value: bytes | None = LINE
    headers: Any = ((HEADER_TYPE, RECORDS.encode()), (HEADER_SUBJECT, SCAN.encode()))
    timestamp: int = 0


class Silent:
    """Nobody follows."""

    def publish_statuses(self, partition: int, statuses: Any, *, just_committed: bool = False) -> None: ...


@asynccontextmanager
async def lane_on(sink: MemorySink, known: int | None) -> AsyncIterator[tuple[Lane, list[int]]]:
    """A lane, and the offsets it seeks."""
    sought: list[int] = []

    async def rewind(_: int, offset: int) -> int:
        sought.append(offset)
        return len(sought)

    writers = Writers(1, 1)
    stored = None if known is None else StoredOffset(known)
    lane = Lane(Common(RECORDS_TOPIC, sink, Silent(), writers, Settings()), 0, rewind, stored)  # type: ignore[arg-type]
    try:
        yield lane, sought
    finally:
        sink.answering.set()
        await lane.stop()
        writers.close()


async def until(look: Any) -> None:
    async with asyncio.timeout(30):
        while not look():
            await asyncio.sleep(0.01)


async def written_to_the_end(lane: Lane, sink: MemorySink, sought: list[int]) -> None:
    """Delivers what comes after the seek; every offset from there on is then written, once and in order."""
    await until(lambda: sought)
    start = sought[-1]
    await lane.accept(Slice([Message(offset) for offset in range(start, END)], len(sought)))
    await until(lambda: sink.offset == END)
    assert (sink.written[0].start, sink.written[-1].end) == (start, END)
    assert sum(message.record_count for batch in sink.written for message in batch.messages) == END - start


@pytest.mark.parametrize("fetched_from", [0, 5, 10, 25])
async def test_before_the_first_offset_is_known(fetched_from: int) -> None:
    sink = MemorySink(10)
    async with lane_on(sink, None) as (lane, sought):
        assert not lane.has_room
        await lane.accept(Slice([Message(offset) for offset in range(fetched_from, 30)], 0))
        sink.answering.set()
        await written_to_the_end(lane, sink, sought)


async def test_after_another_worker_was_there() -> None:
    sink = MemorySink(20)  # the lane believes 10
    async with lane_on(sink, 10) as (lane, sought):
        await lane.accept(Slice([Message(offset) for offset in range(10, 15)], 0))
        await until(lambda: lane.next_offset is None)
        await lane.accept(Slice([Message(offset) for offset in range(15, 30)], 0))
        sink.answering.set()
        await written_to_the_end(lane, sink, sought)


class SlowSink(MemorySink):
    """The first micro-batch is too much for it, and it says how much is not."""

    def write(self, prepared: MicroBatch) -> list[ScanStatus]:
        if self.batch_bytes is None:
            self.batch_bytes = 5 * len(LINE)
            raise Unavailable("57014", "QueryCanceled")
        return super().write(prepared)


async def test_what_is_too_large_for_a_slow_store_is_read_again_and_nobody_is_said_to_have_been_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "scanline.lane")
    sink = SlowSink(10)
    sink.answering.set()
    async with lane_on(sink, 10) as (lane, sought):
        await lane.accept(Slice([Message(offset) for offset in range(10, 30)], 0))
        await written_to_the_end(lane, sink, sought)
    assert sought == [10]
    assert max(len(batch.messages) for batch in sink.written) <= 5
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in told] == ["partition 0: attempt 1 failed: 57014: QueryCanceled"]
    assert "the store is slow" in caplog.text
