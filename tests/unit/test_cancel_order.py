"""A scan that is complete when it is cancelled stays complete, however its messages are cut into transactions."""

import datetime as dt
import itertools

import pytest

from schemas.messages import Cancelled, Closed, Opened
from schemas.status import Scan

NOW = dt.datetime(2026, 11, 24, 3, 0, tzinfo=dt.UTC)
Step = int | Opened | Closed | Cancelled  # records stored, or a message
LIVES: dict[str, tuple[list[Step], str]] = {
    "cancelled when all was there": ([10, Closed(10), Cancelled()], "completed"),
    "closed before its last record": ([Closed(10), 10, Cancelled()], "completed"),
    "cancelled before it was closed": ([10, Cancelled(), Closed(10)], "cancelled"),
    "cancelled before its last record": ([Closed(10), 9, Cancelled(), 1], "cancelled"),
    "nothing in it": ([Opened(), Closed(0), Cancelled()], "completed"),
    "closed again with more": ([10, Closed(10), Closed(20), Cancelled()], "completed"),
    "closed again with more before it was complete": ([9, Closed(10), Closed(20), 1, Cancelled()], "cancelled"),
    "closed again with less": ([10, Closed(20), Closed(10), Cancelled()], "completed"),
}


def lived(steps: list[Step], cuts: tuple[bool, ...]) -> Scan:
    """The scan after these steps, where a transaction ends after each step whose cut is set."""
    scan, pending = Scan("tenant-a", "0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11"), 0
    for step, cut in zip(steps, (*cuts, True), strict=True):
        if not isinstance(step, int):
            scan.take(step, pending)
        elif scan.cancel_reason is None:
            pending += step
        if cut:
            scan.records_stored += pending
            pending = 0
            scan.settle(NOW)
    return scan


@pytest.mark.parametrize("life", LIVES)
def test_the_end_is_the_same_however_it_is_cut(life: str) -> None:
    steps, status = LIVES[life]
    ends = {lived(steps, cuts).status for cuts in itertools.product((False, True), repeat=len(steps) - 1)}
    assert ends == {status}
