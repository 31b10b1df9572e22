"""A replay's rate holds whatever happens between two writes: on a clock of the test's own."""

import random

import pytest

from operations.replay.pace import Pace


class Clock:
    """Stands still until somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("rate", [0.5, 100, 1_500, 40_000])
@pytest.mark.parametrize("seed", range(5))
def test_never_more_than_a_second_ahead(rate: float, seed: int) -> None:
    clock, chance = Clock(), random.Random(seed)
    pace = Pace(rate, clock, clock.pass_by)
    clock.pass_by(30)  # connecting, and a partition without anything that was asked for
    began, written = clock.now, 0
    for _ in range(500):
        records = chance.randint(1, 1_000)
        pace.wait_for(records)
        written += records
        assert written <= rate * (clock.now - began + 1) * (1 + 1e-9)
        clock.pass_by(chance.choice([0, 0, 0.2 * records / rate, 5]))  # a database that was away now and then


@pytest.mark.parametrize("rate", [100, 1_500])
def test_slow_writes_are_made_up_for(rate: float) -> None:
    clock = Clock()
    pace = Pace(rate, clock, clock.pass_by)
    for _ in range(100):
        pace.wait_for(rate // 2)
        clock.pass_by(0.4)
    assert rate * 50 / (clock.now - 1_000.0) == pytest.approx(rate, rel=0.01)


def test_the_first_write_is_waited_for() -> None:
    clock = Clock()
    Pace(100, clock, clock.pass_by).wait_for(250)
    assert clock.now == pytest.approx(1_002.5)


def test_without_a_rate_nothing_is_waited_for() -> None:
    clock = Clock()
    pace = Pace(0, clock, clock.pass_by)
    pace.wait_for(1_000_000)
    assert clock.now == 1_000.0
    assert pace.at_most(5_000) == 5_000


def test_writes_are_small_where_the_rate_is() -> None:
    assert [Pace(rate).at_most(5_000) for rate in (0.1, 100, 1_500, 1_000_000)] == [1, 50, 750, 5_000]
