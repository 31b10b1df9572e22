"""How long a lane has stood on one offset with work in hand is counted whatever it does there."""

import datetime as dt
from typing import Any

from stream_app.lanes.standstill import Standstill, Standstills


class Lane:
    """What is asked of one."""

    def __init__(self) -> None:
        self.next_offset: int | None = 7
        self.doing = "writing"
        self.too_long: bool | None = None

    def stand(self, *, too_long: bool) -> None:
        self.too_long = too_long


class Watch:
    """Looks at one lane once a second."""

    def __init__(self) -> None:
        self.lane = Lane()
        self.works = True
        self._now = 100.0
        self._standing = Standstills(5)

    def look(self, times: int, step: float = 1.0) -> Standstill | None:
        """Returns where the lane stands too long."""
        lanes: Any = {3: self.lane}
        for _ in range(times):
            self._now += step
            self._standing.look(lanes, lambda number, lane: self.works, self._now)
        found = self._standing.too_long.get(3)
        assert self.lane.too_long == (found is not None)
        return found


def test_a_lane_with_work_on_one_offset_stands_too_long() -> None:
    watch = Watch()
    assert watch.look(5) is None
    stand = watch.look(1)
    assert stand == Standstill(7, 5.0, "writing")
    described = stand.described(3, dt.datetime(2026, 1, 1, 0, 1, tzinfo=dt.UTC))
    assert described["since"] == "2026-01-01T00:00:55+00:00"
    assert "offset 7" in described["message"]["vi"] and "offset 7" in described["message"]["en"]


def test_what_it_does_there_changes_nothing() -> None:
    """A pause, a restart in the same place, and reading its offset again are no progress."""
    watch = Watch()
    for doing, offset in (("writing", 7), ("reading its offset", None), ("fetching", 7), ("waiting", 7)):
        watch.lane = Lane()
        watch.lane.doing, watch.lane.next_offset = doing, offset
        found = watch.look(2)
    assert found == Standstill(7, 7.0, "waiting")


def test_a_lane_that_never_learns_its_offset_stands() -> None:
    watch = Watch()
    watch.lane.next_offset = None
    assert watch.look(7) == Standstill(None, 6.0, "writing")
    watch.lane.next_offset = 5
    assert watch.look(1) == Standstill(5, 7.0, "writing")


def test_progress_and_rest_begin_the_count_again() -> None:
    watch = Watch()
    assert watch.look(6) is not None
    watch.lane.next_offset = 8
    assert watch.look(1) is None
    assert watch.look(5) is not None
    watch.works = False
    assert watch.look(1) is None
    watch.works = True
    assert watch.look(5) is None


def test_a_worker_that_was_frozen_did_not_stand() -> None:
    watch = Watch()
    assert watch.look(2, step=1_000) is None
