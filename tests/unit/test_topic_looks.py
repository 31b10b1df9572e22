"""How many looks it takes to stop a lane, and what lets it go on: the broker's answers, one after the other."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kafka_client.offsets import Log, TopicLogs
from schemas.stored_offset import StoredOffset
from schemas.topics import RECORDS_TOPIC
from stream_app.lanes.lane import Common, Lane, Settings
from stream_app.lanes.log_checks import Logs
from stream_app.lanes.writers import Writers
from tests.memory_sink import MemorySink
from tests.unit.test_lane_start import Message, Silent, Slice, until

AT = 40
OLD, NEW = "old", "new"


class Kept(MemorySink):
    """A sink that keeps the id too."""

    def __init__(self, stored: StoredOffset) -> None:
        super().__init__(stored.next_offset)
        self.answering.set()
        self.topic_id = stored.topic_id

    def load_offsets(
        self, topic: str, partitions: Iterable[int], topic_id: str | None = None
    ) -> dict[int, StoredOffset]:
        if topic_id is not None and (self.topic_id is None or self.offset == 0):
            self.topic_id = topic_id
        return dict.fromkeys(partitions, StoredOffset(self.offset, self.topic_id))


class OneLane:
    """Lanes with one lane."""

    def __init__(self) -> None:
        self.topic_id: str | None = None
        self.lane: Lane | None = None

    def stored_offsets(self) -> dict[int, StoredOffset]:
        assert self.lane is not None
        at = self.lane.next_offset
        return {} if at is None else {0: StoredOffset(at, self.lane.log_guard.topic_id)}

    def all(self) -> dict[int, Lane]:
        assert self.lane is not None
        return {0: self.lane}


class Worker:
    """A lane, where it seeks, and looks at what a broker answers."""

    def __init__(self, stored: StoredOffset, writers: Writers) -> None:
        self.sink = Kept(stored)
        self.sought: list[int] = []
        self.lanes = OneLane()
        settings = Settings(probe_seconds=0.01)
        silent: Any = Silent()
        self.lane = self.lanes.lane = Lane(
            Common(RECORDS_TOPIC, self.sink, silent, writers, settings),
            0,
            self._rewind,
            stored,
            topic_id=lambda: self.lanes.topic_id,
        )
        self.answer = TopicLogs(None, {})
        lanes: Any = self.lanes
        self.logs = Logs(lanes, lambda _: self.answer)

    async def _rewind(self, _: int, offset: int) -> int:
        self.sought.append(offset)
        return len(self.sought)

    async def look(self, topic_id: str | None, end: int | None = 2 * AT) -> None:
        self.answer = TopicLogs(topic_id, {} if end is None else {0: Log(0, end)})
        await self.logs.look()

    @property
    def paused(self) -> bool:
        return self.lane.caller.paused == "log_replaced"


@asynccontextmanager
async def worker_at(stored: StoredOffset) -> AsyncIterator[Worker]:
    writers = Writers(1, 1)
    worker = Worker(stored, writers)
    try:
        yield worker
    finally:
        await worker.lane.stop()
        writers.close()


async def test_three_looks_stop_a_lane_and_the_first_holds_it() -> None:
    async with worker_at(StoredOffset(AT, OLD)) as worker:
        await worker.look(OLD)
        assert worker.lane.has_room
        await worker.look(NEW)
        assert not worker.lane.has_room and not worker.paused
        await worker.lane.accept(Slice([Message(AT)], 0, AT))
        await worker.look(NEW)
        assert not worker.paused
        await worker.look(NEW)
        await until(lambda: worker.paused)
        assert worker.sink.written == []
        worker.sink.offset, worker.sink.topic_id = 0, NEW  # what scanline offsets reset does
        await until(lambda: worker.lane.has_room)
        assert worker.sought == [0] and worker.lane.log_guard.topic_id == NEW
        await worker.look(NEW)
        assert worker.lane.has_room and not worker.paused


async def test_one_broker_that_knows_the_newest_topic_first_stops_nothing() -> None:
    async with worker_at(StoredOffset(AT, NEW)) as worker:
        for told in (OLD, NEW, OLD, OLD, NEW):
            await worker.look(told)
        await until(lambda: worker.lane.has_room)
        assert not worker.paused


@pytest.mark.parametrize("silence", [None, 2 * AT])
async def test_a_broker_that_gives_no_id_stops_nothing(silence: int | None) -> None:
    async with worker_at(StoredOffset(AT, OLD)) as worker:
        for _ in range(5):
            await worker.look(None, silence)
        assert worker.lane.has_room


async def test_an_id_that_was_not_told_at_the_start_is_taken_on_later() -> None:
    async with worker_at(StoredOffset(AT)) as worker:
        await worker.look(None)
        assert worker.lane.has_room and worker.sought == []
        await worker.look(OLD)
        await until(lambda: worker.lane.log_guard.topic_id == OLD and worker.lane.has_room)
        assert worker.sought == [AT] and worker.sink.topic_id == OLD


async def test_a_look_without_an_id_settles_no_doubt() -> None:
    async with worker_at(StoredOffset(AT, OLD)) as worker:
        await worker.look(NEW)
        await worker.look(None)
        assert not worker.lane.has_room
        await worker.look(None, None)  # nothing was answered at all: no word for either side
        assert not worker.lane.has_room and not worker.paused


async def test_looks_that_agree_count_in_a_row_alone() -> None:
    async with worker_at(StoredOffset(AT, OLD)) as worker:
        for end in (2 * AT, 2 * AT, None, 2 * AT, 2 * AT):  # None: the partition's leader does not answer
            await worker.look(NEW, end)
        await asyncio.sleep(0.1)
        assert not worker.paused and not worker.lane.has_room
        await worker.look(NEW)
        await until(lambda: worker.paused)


async def test_the_known_topic_is_back() -> None:
    """Another cluster was named by mistake."""
    async with worker_at(StoredOffset(AT, OLD)) as worker:
        for _ in range(3):
            await worker.look(NEW)
        await until(lambda: worker.paused)
        await worker.look(OLD)
        await until(lambda: worker.lane.has_room and not worker.paused)
        await until(lambda: worker.sought == [AT])


async def test_a_log_that_lost_its_end_stays_stopped_when_it_has_grown_again() -> None:
    async with worker_at(StoredOffset(AT, OLD)) as worker:
        for _ in range(3):
            await worker.look(OLD, AT - 1)
        await until(lambda: worker.paused)
        await worker.look(OLD, AT + 1)
        await asyncio.sleep(0.1)
        assert worker.paused and not worker.lane.has_room


async def test_a_lane_that_read_nothing_takes_the_new_topic_on() -> None:
    async with worker_at(StoredOffset(0, OLD)) as worker:
        await worker.look(NEW)
        await until(lambda: worker.lane.log_guard.topic_id == NEW and worker.lane.has_room)
        assert not worker.paused


async def test_a_lane_that_starts_on_another_topic_reads_nothing() -> None:
    async with worker_at(StoredOffset(AT, OLD)) as worker:
        worker.lanes.topic_id = NEW
        worker.lane.start_again()
        await until(lambda: worker.sought)
        for told in (None, NEW, None, NEW):
            assert not worker.lane.has_room and not worker.paused
            await worker.look(told)
        await worker.look(NEW)
        await until(lambda: worker.paused)


async def test_a_position_that_jumped_back_is_doubted_at_once() -> None:
    """Nobody sought: the log ended before it, if only for a moment. What comes behind the expected offset is not believed."""
    async with worker_at(StoredOffset(AT, OLD)) as worker:
        await worker.lane.accept(Slice([Message(offset) for offset in range(AT + 5)], 0, AT))
        assert not worker.lane.has_room
        await worker.look(OLD)
        await until(lambda: worker.lane.has_room and worker.sought == [AT])
        assert worker.sink.written == []
