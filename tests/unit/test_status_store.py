"""What the API keeps count of while it follows the statuses, against the statuses themselves."""

import json
from collections.abc import Iterable
from itertools import count
from typing import Final, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from producer_api.kafka.status_messages import StatusMessage, read
from producer_api.kafka.statuses import Counts, StatusStore
from schemas.codes import FINAL_STATES

ALL: Final = 1_000  # more than any list holds


class Told(NamedTuple):
    """A status of a scan; without a state it is a tombstone."""

    scan: int
    state: str | None
    stored: int = 0
    rejected: int = 0


STATES: Final = ("queued", "processing", "completed", "completed_with_errors", "failed", "cancelled", None)
AMOUNTS: Final = st.integers(0, 9)
HISTORIES: Final = st.lists(st.builds(Told, st.integers(0, 4), st.sampled_from(STATES), AMOUNTS, AMOUNTS), max_size=40)


def message(told: Told, offset: int) -> StatusMessage:
    key = ("a", str(told.scan))
    if told.state is None:
        return read(key, None, 0, offset, float(offset), None)
    counts = {"records_stored": told.stored, "records_rejected": told.rejected}
    value = json.dumps({"status": told.state, "version": offset, **counts}).encode()
    return read(key, value, 0, offset, float(offset), None)


def follow(history: Iterable[Told], store: StatusStore | None = None) -> StatusStore:
    store = store or StatusStore(15)
    for offset, told in enumerate(history):
        store.apply([message(told, offset)], {0: offset + 1})
    return store


def in_order(history: list[Told]) -> list[tuple[int, str]]:
    """Scans and their last states, the one that changed last first; none that was deleted."""
    last: dict[int, str | None] = {}
    for told in history:
        last.pop(told.scan, None)
        last[told.scan] = told.state
    return [(scan, state) for scan, state in reversed(last.items()) if state is not None]


@given(HISTORIES)
def test_unfinished_and_troubled_scans_are_those_whose_last_status_says_so(history: list[Told]) -> None:
    store = follow(history)
    last = in_order(history)
    unfinished = [str(scan) for scan, state in last if state not in FINAL_STATES]
    assert [scan for (_, scan), _ in store.unfinished(ALL)] == unfinished
    assert store.unfinished_count == len(unfinished)
    troubled = [str(scan) for scan, state in last if state in {"completed_with_errors", "failed"}]
    assert [scan for (_, scan), _ in store.troubled(ALL)] == troubled
    assert [scan for (_, scan), _ in store.troubled(1)] == troubled[:1]


@given(st.lists(st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=6), max_size=5), st.integers(0, 2))
def test_each_record_is_counted_once_as_its_scan_goes_on(growths: list[list[tuple[int, int]]], repeats: int) -> None:
    """Statuses are published again now and then, those of scans that have ended too."""
    history, ends = [], Counts()
    for scan, growth in enumerate(growths):
        stored = rejected = 0
        for more_stored, more_rejected in growth:
            stored, rejected = stored + more_stored, rejected + more_rejected
            history += [Told(scan, "processing", stored, rejected)] * (1 + repeats)
        history += [Told(scan, "completed_with_errors", stored, rejected)] * (1 + repeats)
        ends = Counts(ends.accounted + stored + rejected, ends.rejected + rejected)
    assert follow(history).total == ends


@given(HISTORIES)
def test_a_count_never_falls(history: list[Told]) -> None:
    """Not even where a database that crashed takes progress back."""
    store, before = StatusStore(15), Counts()
    for offset, told in zip(count(), history, strict=False):
        store.apply([message(told, offset)], {0: offset + 1})
        assert store.total.accounted >= before.accounted and store.total.rejected >= before.rejected
        before = store.total


def test_of_scans_that_ended_badly_the_latest_are_remembered() -> None:
    store = follow(Told(scan, "failed") for scan in range(200))
    assert [scan for (_, scan), _ in store.troubled(ALL)] == [str(scan) for scan in range(199, 149, -1)]
