"""Judges whether the memory of a process is flat, as far as a rule can without knowing the process.

A process warms up (caches, a heap that grows to its limit, shared buffers that fill), takes more for a moment (a
backlog after a fault) and does not give all of it back. None of this is a leak. What rises again and again, is."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final, Literal

WARM_UP: Final = 300.0  # seconds of every process's life that are not looked at; its first half where that is longer
SHORTEST: Final = 300.0  # seconds that must be left to look at
_PARTS: Final = 6
_NOISE_MIB: Final = 8.0
_NOISE_SHARE: Final = 0.05
# MiB. What the project promises of its own processes; a heap of 512 and what a JVM takes beside it; shared buffers of 256 and
# the connections' own memory.
MOST: Final[Mapping[str, float]] = {"api": 200.0, "worker": 400.0, "kafka": 1024.0, "postgres": 768.0}
Verdict = Literal["flat", "grows", "too much", "too short"]


@dataclass(frozen=True)
class Memory:
    """One process from its first sample to its last, in seconds of the run and MiB. `climb` is what it gained again and
    again while it was looked at, and what it keeps by contract is taken off; None where its life was too short to
    say."""

    process: str
    began: float
    ended: float
    first: float
    last: float
    peak: float
    climb: float | None
    allowed: float | None
    mib_per_hour: float | None
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """The verdict as a file or a table shows it."""
        return asdict(self)


def judge(process: str, times: Sequence[float], values: Sequence[float], kept: Sequence[float] = ()) -> Memory:
    """`values` in MiB at `times` in seconds, ascending, at least one. `kept`: of these, what the process holds because
    it should, such as the statuses of all scans. `process` begins with one of the names in MOST."""
    most = MOST[process.partition("-")[0]]
    own = [value - held for value, held in zip(values, kept, strict=True)] if kept else list(values)
    warm = max(WARM_UP, (times[-1] - times[0]) / 2)
    window = [(at, value) for at, value in zip(times, own, strict=True) if at - times[0] >= warm]
    climb = allowed = slope = None
    verdict: Verdict = "too short"
    if window and window[-1][0] - window[0][0] >= SHORTEST and len(window) >= 2 * _PARTS:
        climb, slope = steady_climb([value for _, value in window]), slope_per_hour(window)
        allowed = max(_NOISE_MIB, _NOISE_SHARE * statistics.median(value for _, value in window))
        verdict = "grows" if climb > allowed else "flat"
    if max(own) > most:
        verdict = "too much"
    return Memory(
        process,
        times[0],
        times[-1],
        values[0],
        values[-1],
        max(values),
        _tenth(climb),
        _tenth(allowed),
        _tenth(slope),
        verdict,
    )


def steady_climb(values: Sequence[float]) -> float:
    """The rise of the level over six parts of equal length, its largest step left out and made up for by the mean of
    the others: a line keeps what it gained, a single step is nothing, and what levels off loses most of it."""
    size = len(values) / _PARTS
    levels = [statistics.median(values[round(number * size) : round((number + 1) * size)]) for number in range(_PARTS)]
    steps = sorted(later - level for level, later in pairwise(levels))
    return sum(steps[:-1]) * len(steps) / (len(steps) - 1)


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the straight line through (seconds, value), in units an hour."""
    xs, ys = [at for at, _ in points], [value for _, value in points]
    if len(set(xs)) < 2:
        return 0.0
    return 3600 * statistics.linear_regression(xs, ys).slope


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
