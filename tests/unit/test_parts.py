"""The size of a statement fits any link that moves bytes, and is no matter where the link is fast."""

import itertools
from collections.abc import Sequence
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.postgres.parts import LEAST, Parts

DEADLINE: Final = 15.0
ROW: Final = 550


class Link:
    """Moves so many bytes a second after so long a silence; a statement that takes longer than the deadline fails."""

    def __init__(self, parts: Parts, rate: float, silence: float = 0.0) -> None:
        self._parts = parts
        self.rate = rate
        self.silence = silence
        self.seconds = 0.0
        self.sizes: list[int] = []

    def send(self, rows: Sequence[int]) -> bool:
        """A transaction of these rows. False: a part missed its deadline, and everything must be sent again."""
        for part in self._parts.cut(rows, lambda row: row):
            size = sum(part)
            took = min(size / self.rate + self.silence, DEADLINE)
            self.seconds += took
            self.sizes.append(size)
            if took >= DEADLINE:
                self._parts.failed(size, took)
                return False
            self._parts.passed(size, took)
        return True


@given(
    st.floats(1_000, 1e9),
    st.floats(0, 1),
    st.lists(st.integers(1, 9_000), min_size=1, max_size=1_000),
)
def test_whatever_the_link_moves_is_stored_after_a_few_attempts(rate: float, silence: float, rows: list[int]) -> None:
    """A row takes at most 10 s: what fails is the sum of them."""
    link = Link(Parts(DEADLINE), rate, silence)
    attempts = next(number for number in itertools.count(1) if link.send(rows))
    assert attempts <= 8
    assert link.send(rows), "what has been learnt is kept"


@pytest.mark.parametrize("rate", [1e6, 1e9])
def test_over_a_fast_link_a_statement_carries_everything(rate: float) -> None:
    parts = Parts(DEADLINE)
    link = Link(parts, rate)
    rows = [ROW] * 5_000
    assert link.send(rows)
    assert link.sizes == [sum(rows)]
    assert (parts.limit, parts.batch_bytes) == (None, None)
    assert list(parts.cut(rows, int)) == [rows]


def test_after_a_slow_time_the_parts_grow_until_nothing_is_cut() -> None:
    parts = Parts(DEADLINE)
    link = Link(parts, 20_000)
    rows = [ROW] * 1_000
    while not link.send(rows):
        assert parts.limit is not None
    slow, link.rate = parts.limit, 1e9
    assert slow is not None and slow < 100_000
    for _ in range(20):
        assert link.send([ROW] * 50_000)
    assert parts.limit is None


def test_a_part_takes_a_small_share_of_the_deadline_once_the_link_is_known() -> None:
    parts = Parts(DEADLINE)
    link = Link(parts, 20_000)
    while not link.send([ROW] * 1_000):
        pass
    link.sizes.clear()
    assert link.send([ROW] * 1_000)
    assert max(link.sizes) / link.rate < DEADLINE / 3


def test_many_that_miss_the_deadline_together_count_once() -> None:
    parts = Parts(DEADLINE)
    for _ in range(12):
        parts.failed(550_000, DEADLINE)
    assert parts.limit is not None and parts.limit > 50_000


def test_waiting_for_a_lock_is_not_a_slow_link() -> None:
    parts = Parts(DEADLINE)
    parts.failed(1_500, DEADLINE)  # a small statement
    parts.failed(550_000, 0.1)  # refused at once
    parts.passed(8_000, 10.0)
    assert parts.limit is None


def test_nothing_is_cut_to_crumbs() -> None:
    parts = Parts(DEADLINE)
    for size in (10**6, 10**5, 10**4, 5_000, 4_500):
        parts.failed(size, DEADLINE)
    assert parts.limit == LEAST
    assert [len(part) for part in parts.cut([ROW] * 10, int)] == [3, 3, 3, 1]
    assert list(parts.cut([10 * LEAST] * 2, int)) == [[10 * LEAST], [10 * LEAST]]
    assert parts.count_of(10 * LEAST, 200) == 1


@given(st.lists(st.integers(0, 10**6), max_size=50), st.none() | st.integers(LEAST, 50_000))
def test_what_is_cut_is_all_there_in_order(rows: list[int], limit: int | None) -> None:
    parts = Parts(DEADLINE)
    parts.limit = limit
    assert [row for part in parts.cut(rows, int) for row in part] == rows
    decoded = [row for part in parts.cut_json(rows) for row in msgspec.json.decode(part)]
    assert decoded == rows
