"""Whatever is raised while a message is read, planned or written: that message alone is put aside, and only where it, and not
the store or the machine, is at fault."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import decoder
from schemas.record import Record
from schemas.status import ScanStatus
from schemas.stored_offset import StoredOffset
from sinks.protocol import MicroBatch, Unstorable
from stream_app.lanes import batch
from stream_app.lanes.backoff import Backoff
from stream_app.lanes.dead_letter_limit import Limit
from stream_app.lanes.inbox import Slice
from stream_app.lanes.lane import Common, Lane, Settings
from stream_app.lanes.poison_search import PoisonSearch
from stream_app.lanes.writers import Writers
from tests.helpers import changed
from tests.memory_sink import MemorySink
from tests.unit.test_lane_start import LINE, Message, Silent, until

FIRST: Final = 10
COUNT: Final = 64
POISON: Final = b"poison"
SECRET: Final = "0987 654 321"
ERRORS: Final[dict[str, Callable[[], Exception]]] = {
    "encoding": lambda: UnicodeEncodeError("utf-8", SECRET, 0, 1, SECRET),
    "recursion": lambda: RecursionError(SECRET),
    "key": lambda: KeyError(SECRET),
    "value": lambda: ValueError(SECRET),
    "assertion": lambda: AssertionError(SECRET),
    "client": lambda: psycopg2.ProgrammingError(SECRET),
    "data": lambda: psycopg2.DataError(SECRET),
    "unstorable": lambda: Unstorable(SECRET),
}
MACHINES: Final[dict[str, Callable[[], Exception]]] = {
    "memory": MemoryError,
    "files": lambda: OSError(24, SECRET),
}


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=60),
    st.data(),
    st.integers(1, 20),
)
def test_halving_finds_just_the_messages_at_fault(gaps: list[int], data: st.DataObject, room: int) -> None:
    """Every message finds its end once, in order, and few micro-batches are tried."""
    offsets = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    bad = data.draw(st.sets(st.sampled_from(offsets)))
    buffer, search = deque(offsets), PoisonSearch()
    stored: list[int] = []
    aside: list[int] = []
    tried = 0
    while buffer:
        taken: list[int] = []
        while buffer and len(taken) < room and (search.before is None or buffer[0] < search.before):
            taken.append(buffer.popleft())
        tried += 1
        fails = [offset for offset in taken if offset in bad and offset not in search.aside]
        if fails:
            buffer.extendleft(reversed(taken))
            if search.failed(taken) == "accused":
                search.condemn(taken[0])
            continue
        aside += [offset for offset in taken if offset in search.aside]
        stored += [offset for offset in taken if offset not in search.aside]
        search.written(taken[-1] + 1)
    assert stored == [offset for offset in offsets if offset not in bad]
    assert aside == sorted(bad)
    assert search.before is None and not search.aside and not search.in_doubt
    assert tried <= len(offsets) // room + 1 + len(bad) * (3 + 2 * room.bit_length())


def test_a_message_whose_bookkeeping_fails_is_put_aside_without_it() -> None:
    search = PoisonSearch()
    assert [search.failed([7]) for _ in range(2)] == ["again", "accused"]
    search.condemn(7)
    assert search.aside == {7: True}
    assert search.failed([7]) == "again" and search.aside == {7: False}
    assert search.failed([7]) == "nobody"
    assert search.failed([]) == "nobody"


class Poisoned(MemorySink):
    """Raises at a stage where a micro-batch holds poison."""

    def __init__(self, stage: str, error: Callable[[], Exception]) -> None:
        super().__init__(FIRST)
        self.answering.set()
        self.stage = stage
        self.error = error
        self.left = 10**9  # times that it raises
        self.everything = False
        self.raised: Counter[str] = Counter()

    def _raise(self, stage: str, batch: MicroBatch) -> None:
        poison = any(POISON in bytes(record.attributes) for message in batch.messages for record in message.records)
        unreadable = any(message.unreadable for message in batch.messages)
        due = (stage == self.stage and poison) or (self.stage == "bookkeeping" and (poison or unreadable))
        if (due or self.everything) and self.left:
            self.left -= 1
            self.raised[stage] += 1
            raise self.error()

    def prepare(self, batch: MicroBatch) -> MicroBatch:
        self._raise("formatting", batch)
        return batch

    def write(self, prepared: MicroBatch) -> list[ScanStatus]:
        self._raise("writing", prepared)
        if self.stage == "after":
            statuses = super().write(prepared)
            self._raise("after", prepared)
            return statuses
        return super().write(prepared)

    @property
    def stored(self) -> list[bytes]:
        """What each record is, in order."""
        return [
            bytes(record.attributes) for batch in self.written for each in batch.messages for record in each.records
        ]


class Letters(Silent):
    """Keeps the dead letters."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str]] = []

    def dead_letter(self, partition: int, letters: Sequence[Any]) -> None:
        self.sent += [(message.offset, reason) for message, reason in letters]


def message(offset: int, poison: bool = False) -> Message:
    """A single record that holds its offset, and, with `poison`, poison: there and in a header."""
    mark = POISON if poison else b"%d" % offset
    whole = Message(offset)
    headers = (*whole.headers, ("ce_source", mark))
    return whole._replace(value=changed(LINE, attributes={"mark": mark.decode()}), headers=headers)


async def run(sink: Poisoned, letters: Letters, poisoned: set[int], look: Callable[[Lane], bool], limit: Limit) -> None:
    """A lane on these messages, until `look` is content."""
    messages = [message(FIRST + at, FIRST + at in poisoned) for at in range(COUNT)]
    epoch = 0

    async def rewind(_: int, offset: int) -> int:  # the consumer hands out again
        nonlocal epoch
        epoch += 1
        rest = [each for each in messages if each.offset >= offset]
        deliveries.append(asyncio.create_task(lane.accept(Slice(rest, epoch))))
        return epoch

    deliveries: list[asyncio.Task[None]] = []
    writers = Writers(1, 1)
    settings = Settings(backoff=Backoff(2, 0.001), probe_seconds=0.01, dead_letters=limit)
    lane = Lane(Common("scan.records.v1", sink, letters, writers, settings), 0, rewind, StoredOffset(FIRST))  # type: ignore[arg-type]
    try:
        await lane.accept(Slice(messages, 0))
        await until(lambda: look(lane))
    finally:
        await lane.stop()
        writers.close()
        assert all(delivery.done() and delivery.exception() is None for delivery in deliveries)


# Readers of ours that meet one message, and where they are looked up by name.
PLANTS: Final[dict[str, tuple[str, Sequence[ModuleType]]]] = {
    "envelope": ("read_envelope", [decoder]),
    "plainness": ("is_plain", [decoder, batch]),
    "records": ("decode_record", [decoder, batch]),
    "judgement": ("acceptable", [decoder, batch]),
}
END: Final = FIRST + COUNT
WIDE: Final = Limit(run=1_000)
# What a record's own decoder raises at deep nesting is foreseen: the record is examined, and refused or accepted.
CASES: Final = [
    (stage, error)
    for stage in ("formatting", "writing", "bookkeeping", *PLANTS)
    for error in ERRORS
    if (stage, error) != ("records", "recursion")
]


def holds_poison(value: Any) -> bool:
    if isinstance(value, list) and value and isinstance(value[0], Record):
        return any(POISON in bytes(record.attributes) for record in value)
    return POISON in repr(value).encode()


def plant(patch: pytest.MonkeyPatch, stage: str, error: Callable[[], Exception]) -> None:
    """Makes a reader of ours raise where it sees poison."""
    name, modules = PLANTS[stage]
    original = getattr(modules[0], name)

    def raising(*args: Any, **kwargs: Any) -> Any:
        if any(map(holds_poison, args)):
            raise error()
        return original(*args, **kwargs)

    for module in modules:
        patch.setattr(module, name, raising)


@pytest.mark.parametrize(("stage", "error"), CASES)
async def test_the_message_at_fault_goes_alone(
    stage: str, error: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    poisoned = {FIRST, FIRST + 20, FIRST + 21, END - 1}  # the first, neighbours, the last
    sink, letters = Poisoned(stage, ERRORS[error]), Letters()
    if stage in PLANTS:
        plant(monkeypatch, stage, ERRORS[error])
    await run(sink, letters, poisoned, lambda _: sink.offset == END, WIDE)
    assert sorted(letters.sent) == [(offset, "processing_failed") for offset in sorted(poisoned)]
    good = [b'{"mark": "%d"}' % offset for offset in range(FIRST, END) if offset not in poisoned]
    assert sink.stored == good
    assert [batch.start for batch in sink.written] == [FIRST, *(batch.end for batch in sink.written[:-1])]
    counted = sum(each.unreadable for batch in sink.written for each in batch.messages)
    assert counted == (0 if stage == "bookkeeping" else len(poisoned))
    assert SECRET not in caplog.text
    for offset in poisoned:
        assert (
            f"scan.records.v1[0] offset {offset} could not be processed: {type(ERRORS[error]()).__name__}"
            in caplog.text
        )


@pytest.mark.parametrize("error", MACHINES)
@pytest.mark.parametrize("stage", ["formatting", "writing", *PLANTS])
async def test_what_the_machine_is_at_fault_for_is_waited_for(
    stage: str, error: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Out of memory, out of files: nothing is put aside, and when that is over everything is stored."""
    sink, letters = Poisoned(stage, MACHINES[error]), Letters()
    left = sink.left = 5
    if stage in PLANTS:

        def fail() -> Exception:
            nonlocal left
            left -= 1
            return MACHINES[error]()

        with monkeypatch.context() as patch:
            plant(patch, stage, fail)
            await run(sink, letters, {FIRST + 20}, lambda _: left < 0, WIDE)
    await run(sink, letters, {FIRST + 20}, lambda _: sink.offset == END, WIDE)
    assert not letters.sent and len(sink.stored) == COUNT
    assert "unexpected error" in caplog.text and SECRET not in caplog.text


async def test_where_even_nothing_can_be_written_no_message_is_at_fault(caplog: pytest.LogCaptureFixture) -> None:
    sink, letters = Poisoned("writing", ERRORS["key"]), Letters()
    sink.everything, sink.left = True, 40
    await run(sink, letters, set(), lambda lane: sink.offset == END, WIDE)
    assert not letters.sent and len(sink.stored) == COUNT
    assert sink.raised["formatting"] + sink.raised["writing"] == 40
    assert "nothing is skipped" in caplog.text


async def test_what_passes_by_itself_is_no_fault_of_the_messages() -> None:
    """It raises once for each part, and not again."""
    sink, letters = Poisoned("writing", ERRORS["value"]), Letters()
    sink.left = COUNT.bit_length()  # down to the message alone
    await run(sink, letters, {FIRST + 20}, lambda _: sink.offset == END, WIDE)
    assert not letters.sent and len(sink.stored) == COUNT


async def test_what_was_written_before_it_raised_is_not_put_aside() -> None:
    sink, letters = Poisoned("after", ERRORS["value"]), Letters()
    await run(sink, letters, {FIRST + 20}, lambda _: sink.offset == END, WIDE)
    assert not letters.sent and len(sink.stored) == COUNT


@pytest.mark.parametrize("stage", ["formatting", "writing", *PLANTS])
async def test_a_deploy_that_fails_on_everything_stops_the_lane(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Limit(run=10, window=50)
    sink, letters = Poisoned(stage, ERRORS["key"]), Letters()
    if stage in PLANTS:
        plant(monkeypatch, stage, ERRORS["key"])
    everything = {FIRST + at for at in range(COUNT)}
    await run(sink, letters, everything, lambda lane: lane.caller.paused == "dead_letter_limit", limit)
    assert [offset for offset, _ in letters.sent] == list(range(FIRST, FIRST + limit.run - 1))
    assert not sink.stored
