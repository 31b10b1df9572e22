"""A replay: pieces of partitions through the worker's own decoding into a sink, in the worker's own micro-batches."""

import datetime as dt
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kafka_client.bounded_fetch.record_batches import Oversized
from operations.replay.batch_preparation import prepared_for
from operations.replay.pace import Pace
from operations.replay.selection import ZONE, Range, Selection
from operations.replay.topic_reader import Piece, ReadMessage, read
from schemas.decoder import Incoming, whose
from schemas.exception_summary import described
from schemas.stored_offset import StoredOffset
from schemas.topics import RECORDS_TOPIC
from sinks.files.skipped_records import SkippedRecords
from sinks.protocol import MicroBatch, Sink, Unavailable
from stream_app.lanes.batch import Builder, Limits
from stream_app.lanes.poison_check import PoisonCheck
from stream_app.lanes.poison_search import PoisonSearch, Unexpected, suspecting

_HELD_MESSAGES: Final = 5_000  # of a partition before they are written
_HELD_BYTES: Final = 2 * 1024 * 1024
_HELD_BYTES_OF_ALL: Final = 24 * 1024 * 1024
_ATTEMPTS: Final = 60
_PAUSE: Final = 2.0  # seconds between attempts while the sink takes nothing


class ReplayProgress(NamedTuple):
    """The progress of a run: `offsets` of `total`; records and messages of this run. While comparing, offsets are live
    rows."""

    offsets: int
    total: int
    messages: int
    records: int
    doing: str = "Phát lại / replaying"


class ReplayResult(NamedTuple):
    """The outcome of a run. `unreadable` {reason: messages}; `lost` {partition: offsets that retention took from an
    interrupted replay before it could go on}."""

    ranges: Mapping[int, Range]
    messages: int
    records: int
    unreadable: Mapping[str, int]
    lost: Mapping[int, int]

    def as_json(self) -> dict[str, Any]:
        """The outcome as JSON. `messages` and `unreadable` are of this run alone."""
        return {
            "messages": self.messages,
            "unreadable": dict(self.unreadable),
            "lost": {str(partition): count for partition, count in self.lost.items()},
            "offsets": {str(number): [place.start, place.end] for number, place in self.ranges.items()},
        }


class Replay:
    """One run, in the worker's own micro-batches; a rate makes them smaller, and `by_day` also ends them at
    midnight."""

    def __init__(
        self,
        sink: Sink[Any],
        selection: Selection,
        *,
        rate: float = 0.0,
        by_day: bool = False,
        on_progress: Callable[[ReplayProgress], None] = lambda _: None,
        passed_over: SkippedRecords,
    ) -> None:
        """`rate` records a second, 0: as fast as it goes."""
        self._passed_over = passed_over
        self._sink = sink
        self._selection = selection
        self._pace = Pace(rate)
        self._by_day = by_day
        self._on_progress = on_progress
        limits = Limits()
        self._limits = limits._replace(rows=self._pace.at_most(limits.rows))
        self._partitions: dict[int, _Partition] = {}
        self._unreadable: Counter[str] = Counter()
        self._messages = self._records = 0
        self._offsets = self._total = 0

    def run(self, bootstrap: str, places: Mapping[int, Range]) -> ReplayResult:
        """Reads [start, end) of each partition, less what the sink has already. Raises InfraError, Fenced."""
        found = self._insist(lambda: self._sink.load_offsets(RECORDS_TOPIC, places))
        stored = {number: each.next_offset for number, each in found.items()}
        left = {number: place._replace(start=max(place.start, stored[number])) for number, place in places.items()}
        lost = {
            number: min(place.first, place.end) - at
            for number, place in places.items()
            if 0 < (at := stored[number]) < min(place.first, place.end)
        }
        self._partitions = {number: _Partition(number, found[number], place.start) for number, place in left.items()}
        self._total = sum(place.offsets for place in places.values())
        self._offsets = self._total - sum(place.offsets for place in left.values())
        for piece in read(bootstrap, left):
            self._take(piece, done=piece.reached >= left[piece.partition].end)
        return ReplayResult(places, self._messages, self._records, self._unreadable, lost)

    def _take(self, piece: Piece, *, done: bool) -> None:
        partition = self._partitions[piece.partition]
        wanted = [message for message in piece.messages if self._asked_for(message)]
        partition.hold(wanted, piece.reached)
        self._messages += len(wanted)
        full = (
            partition.skipped >= 10 * _HELD_MESSAGES
            or len(partition.held) >= _HELD_MESSAGES
            or partition.bytes >= _HELD_BYTES
        )
        if done or full:
            self._write_all(partition)
        while sum(each.bytes for each in self._partitions.values()) > _HELD_BYTES_OF_ALL:
            self._write_all(max(self._partitions.values(), key=lambda each: each.bytes))

    def _asked_for(self, message: ReadMessage | Oversized) -> bool:
        """True where the message is selected. What stands for the rest of a batch that could not be unpacked may hide
        anybody's messages: it is always counted."""
        nobodys = isinstance(message, Oversized) and message.reason == "batch_unreadable"
        return nobodys or self._selection.takes(message.key, message.headers)

    def _write_all(self, partition: "_Partition") -> None:
        while partition.held:
            self._write_one(partition)
        if partition.next_offset < partition.reached:  # nothing of it was asked for, or nothing is there
            self._write(partition, partition.reached, ())
        partition.skipped = 0

    def _write_one(self, partition: "_Partition") -> None:
        """The next micro-batch; or it comes closer to the message that keeps it from being written, and is passed
        over."""
        taken: list[ReadMessage | Oversized] = []
        try:
            # what SQLite raises is the disk's or the checkpoint's fault
            with suspecting(partition.held, taken, (sqlite3.Error,)), self._passed_over.attempt():
                self._write_next(partition, taken)
        except Unexpected as unexpected:
            self._hold(partition, unexpected)

    def _write_next(self, partition: "_Partition", taken: list[ReadMessage | Oversized]) -> None:
        builder = Builder(self._limits, dt.datetime.now(dt.UTC), partition.carry, partition.poison_search.aside)
        partition.carry = None
        before, day = partition.poison_search.before, _day(partition.held[0])
        while partition.held and (before is None or partition.held[0].offset < before):
            if (self._by_day and _day(partition.held[0]) != day) or not builder.offer(partition.held[0]):
                break
            taken.append(partition.held.popleft())
        messages, letters = builder.finish()
        end = taken[-1].offset + 1 if partition.held else partition.reached
        self._pace.wait_for(builder.rows)
        self._write(partition, end, messages, builder.rows)
        partition.carry = builder.left_over
        partition.bytes -= _size_of(taken)
        self._unreadable.update(reason for _, reason in letters)
        failures = {**builder.failures, **partition.failures}
        for message, _ in letters:
            if message.offset in failures:
                what = failures[message.offset]
                self._passed_over.add_message(partition.number, message.offset, whose(message), what)
        partition.failures.clear()

    def _write(self, partition: "_Partition", end: int, messages: Sequence[Incoming], rows: int = 0) -> None:
        batch = MicroBatch(RECORDS_TOPIC, partition.number, partition.next_offset, end, messages, partition.topic_id)
        prepared = prepared_for(self._sink, batch, self._passed_over)
        self._insist(lambda: self._sink.write(prepared))
        self._offsets += batch.end - max(batch.start, partition.start)
        self._records += rows
        partition.next_offset = batch.end
        partition.poison_search.written(batch.end)
        self._on_progress(ReplayProgress(self._offsets, self._total, self._messages, self._records))

    def _hold(self, partition: "_Partition", unexpected: Unexpected) -> None:
        """Puts aside the message at fault, as the worker does. Raises what was raised where no message is."""
        cause = unexpected.__cause__
        assert isinstance(cause, Exception)
        check = PoisonCheck(RECORDS_TOPIC, partition.number, self._sink, partition.poison_search, lambda _: None)
        stored = StoredOffset(partition.next_offset, partition.topic_id)
        try:
            aside = self._insist(lambda: check.hold(unexpected, stored))
        except Unexpected:
            raise cause from None
        if aside is not None:
            partition.failures[aside] = described(cause)

    def _insist(self, call: Callable[[], Any]) -> Any:
        """Waits for a sink that is away. A commit whose answer was lost shows as Fenced: run again, it goes on from
        there."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return call()
            except Unavailable:
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE)
        raise AssertionError


class _Partition:
    """The part of a run that reads one partition: what it holds, and the offset after it."""

    def __init__(self, number: int, stored: StoredOffset, start: int) -> None:
        self.number = number
        self.next_offset, self.topic_id = stored  # the sink's
        self.start = start
        self.reached = max(self.next_offset, start)
        self.held: deque[ReadMessage | Oversized] = deque()
        self.poison_search = PoisonSearch()
        self.failures: dict[int, str] = {}  # offset of a message that is put aside: what was raised, and where
        self.carry: Incoming | None = None
        self.bytes = 0
        self.skipped = 0

    def hold(self, messages: list[ReadMessage | Oversized], reached: int) -> None:
        """Messages to be written, and how far was read."""
        self.skipped += reached - self.reached
        self.reached = reached
        self.held.extend(messages)
        self.bytes += _size_of(messages)


def _size_of(messages: Sequence[ReadMessage | Oversized]) -> int:
    return sum([len(message.value or b"") for message in messages])


def _day(message: ReadMessage | Oversized) -> dt.date | None:
    return dt.datetime.fromtimestamp(message.timestamp / 1000, ZONE).date() if message.timestamp_type else None
