"""What an inbox makes of slices, however they come: each message of the log once and in order, and no gap that is none."""

from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import CLOSED, HEADER_TYPE
from stream_app.lanes.inbox import FetchAgain, Inbox, Slice, SliceTaken

START: Final = 100


class Sent(NamedTuple):
    """As far as an inbox looks at a message."""

    offset: int
    headers: list[tuple[str, bytes]]
    key: bytes = b"t"
    value: bytes = b"v"
    timestamp: int = 0
    timestamp_type: int = 1


def piece(*offsets: int, epoch: int = 0, start: int = START, kind: str = "") -> Slice:
    headers = [(HEADER_TYPE, kind.encode())] if kind else []
    return Slice([Sent(offset, headers) for offset in offsets], epoch, start)  # type: ignore[misc]


@pytest.fixture
def inbox() -> Inbox:
    made = Inbox()
    made.start_at(START)
    return made


def offsets(inbox: Inbox) -> list[int]:
    return [message.offset for message in inbox.messages]


def test_nothing_is_awaited_before_it_is_known_where_to_start() -> None:
    inbox = Inbox()
    assert not inbox.awaits(piece(START))
    inbox.start_at(START)
    assert inbox.awaits(piece(START)) and not inbox.awaits(piece())
    inbox.clear()
    assert not inbox.awaits(piece(START))


def test_what_follows_is_taken_and_what_was_there_is_dropped(inbox: Inbox) -> None:
    assert inbox.offer(piece(100, 101), 1.0) == SliceTaken(None)
    assert inbox.offer(piece(100, 101), 2.0) is None
    assert inbox.offer(piece(101, 102), 3.0) == SliceTaken(None)
    assert offsets(inbox) == [100, 101, 102] and inbox.oldest == 1.0
    assert inbox.bytes > 0
    size = inbox.bytes
    inbox.messages.clear()
    inbox.written(size, 4.0, 103)
    assert (inbox.bytes, inbox.oldest, inbox.expected) == (0, 4.0, 103)


def stamped(*stamps: int, first: int, kind: int = 1) -> Slice:
    """Messages that the broker took at these seconds."""
    sent = [Sent(first + at, [], timestamp=1000 * stamp, timestamp_type=kind) for at, stamp in enumerate(stamps)]
    return Slice(sent, 0, START)  # type: ignore[arg-type]


def take(inbox: Inbox, count: int) -> int:
    """What a lane does with so many messages. Returns the offset after them."""
    return [inbox.messages.popleft().offset + 1 for _ in range(count)][-1]


def test_a_slice_is_reported_once_when_its_last_message_is_written(inbox: Inbox) -> None:
    assert inbox.waits_since is None
    inbox.offer(stamped(10, 11, 12, first=START), 0.0)
    end = take(inbox, 2)
    inbox.offer(stamped(20, 21, first=START + 3), 0.0)
    assert inbox.waits_since == 10  # what is taken off is not yet written
    assert inbox.written(0, 0.0, end) == []
    assert inbox.waits_since == 12
    assert inbox.written(0, 0.0, take(inbox, 3)) == [10, 20]
    assert inbox.waits_since is None
    inbox.offer(stamped(30, first=START + 5), 0.0)
    assert inbox.written(0, 0.0, START + 5) == [] and inbox.waits_since == 30  # nothing was written
    inbox.clear()
    assert inbox.waits_since is None and inbox.written(0, 0.0, START + 6) == []


def test_a_publishers_own_stamp_says_nothing_of_how_long_it_waits(inbox: Inbox) -> None:
    inbox.offer(stamped(10, first=START, kind=0), 0.0)
    assert inbox.waits_since is None
    assert inbox.written(0, 0.0, take(inbox, 1)) == []


def test_a_gap_is_fetched_again_once_before_it_is_believed(inbox: Inbox) -> None:
    assert inbox.offer(piece(105), 1.0) == FetchAgain(START)
    inbox.epoch = 1
    assert inbox.offer(piece(105), 1.0) is None  # fetched before the seek
    assert inbox.offer(piece(105, epoch=1), 1.0) == SliceTaken((START, 105))
    assert inbox.expected == 106


def test_a_slice_that_never_came_is_no_gap_whatever_was_asked_before(inbox: Inbox) -> None:
    assert inbox.offer(piece(105), 1.0) == FetchAgain(START)
    inbox.epoch = 1
    assert inbox.offer(piece(105, epoch=1, start=103), 1.0) == FetchAgain(START)


def test_a_new_start_believes_no_gap_of_the_one_before(inbox: Inbox) -> None:
    assert inbox.offer(piece(105), 1.0) == FetchAgain(START)
    inbox.clear()
    inbox.start_at(START)
    assert inbox.offer(piece(105), 1.0) == FetchAgain(START)


def test_what_begins_before_it_was_fetched_from_is_doubted_unless_somebody_sought(inbox: Inbox) -> None:
    assert inbox.doubts(piece(99, start=START))
    assert not inbox.doubts(piece(START, start=START))
    inbox.epoch = 1
    assert not inbox.doubts(piece(99, start=START)) and inbox.doubts(piece(99, epoch=1))


def test_the_end_of_a_scan_is_seen(inbox: Inbox) -> None:
    inbox.offer(piece(100), 1.0)
    assert not inbox.ends_scan
    inbox.offer(piece(101, kind=CLOSED), 1.0)
    assert inbox.ends_scan
    inbox.offer(piece(102), 1.0)
    assert not inbox.ends_scan


@settings(max_examples=300)
@given(data=st.data())
def test_however_slices_are_cut_dropped_and_repeated_each_message_is_taken_once(data: st.DataObject) -> None:
    held = sorted(data.draw(st.sets(st.integers(START, START + 30), min_size=1)))
    inbox = Inbox()
    inbox.start_at(START)
    position, missing = START, []
    under_way: list[Slice] = []  # fetched, and not yet delivered
    for _ in range(500):
        if inbox.expected is not None and inbox.expected > held[-1]:
            break
        ahead = [offset for offset in held if offset >= position]
        if ahead and (not under_way or data.draw(st.booleans())):
            found = ahead[: data.draw(st.integers(1, 5))]
            under_way.append(piece(*found, epoch=inbox.epoch, start=position))
            position = found[-1] + 1
        elif not under_way:
            position = inbox.expected or START  # as the look at skipped messages has it
        else:
            each = under_way.pop(0)
            if data.draw(st.integers(0, 3)) == 0:
                continue  # Faust dropped it
            if data.draw(st.integers(0, 9)) == 0:
                under_way.insert(0, each)  # it comes twice
            assert not inbox.doubts(each)
            answer = inbox.offer(each, 0.0)
            if isinstance(answer, FetchAgain):
                position, inbox.epoch = answer.offset, inbox.epoch + 1
            elif answer is not None and answer.gap is not None:
                missing.append(answer.gap)
    taken = offsets(inbox)
    assert taken == held[: len(taken)]
    assert not {offset for first, after in missing for offset in range(first, after)} & set(held)
