"""What the soak calls flat: planted leaks are seen, and what only warms up, swings or jumps once is not called one."""

from collections.abc import Callable
from math import exp
from random import Random

import pytest

from trials.soak.flatness import Memory, judge
from trials.soak.promises import promises

EVERY = 5.0  # seconds between samples
HOUR = 3600.0
Curve = Callable[[float], float]  # seconds since the process began -> MiB


def life(curve: Curve, seconds: float = 1800, *, noise: float = 2.0, process: str = "worker-1") -> Memory:
    rng = Random(1)
    times = [100 + number * EVERY for number in range(int(seconds / EVERY))]
    return judge(process, times, [curve(at - 100) + rng.gauss(0, noise) for at in times])


def warming(at: float) -> float:
    return 120 - 60 * exp(-at / 90)


@pytest.mark.parametrize("mib_per_hour", [60, 120, 400])
def test_a_leak_is_seen_after_warming_up(mib_per_hour: float) -> None:
    found = life(lambda at: warming(at) + at * mib_per_hour / HOUR)
    assert found.verdict == "grows"
    assert found.mib_per_hour == pytest.approx(mib_per_hour, rel=0.15)


def test_a_leak_that_comes_in_small_steps_is_seen() -> None:
    assert life(lambda at: warming(at) + at // 60).verdict == "grows"


def test_a_leak_under_the_teeth_of_a_saw_is_seen() -> None:
    assert life(lambda at: 100 + at % 45 + at / 40).verdict == "grows"


def test_a_process_started_late_is_judged_from_its_own_start() -> None:
    assert life(warming, 700).verdict == "flat"
    assert life(lambda at: warming(at) + at / 20, 700).verdict == "grows"


@pytest.mark.parametrize(
    "curve",
    [
        pytest.param(warming, id="warms up"),
        pytest.param(lambda at: 60 + min(at, 250) * 0.8, id="fills to a limit"),
        pytest.param(lambda at: 100 + at % 45, id="saw"),
        pytest.param(lambda at: 120 + 25 * (at > 1300), id="keeps what one fault made it take"),
        pytest.param(lambda at: 120 + 150 * (1200 < at < 1260), id="a backlog for a minute"),
        pytest.param(lambda at: 180 - at / 30, id="shrinks"),
    ],
)
def test_what_only_warms_up_swings_or_jumps_once_is_flat(curve: Curve) -> None:
    assert life(curve).verdict == "flat"


def test_a_short_life_is_not_judged() -> None:
    found = life(lambda at: 60 + at / 10, 590)
    assert (found.verdict, found.climb) == ("too short", None)


def test_more_than_is_promised_is_too_much_however_short_it_lived() -> None:
    assert life(lambda at: 401 * (at == 30), 60, noise=0).verdict == "too much"
    assert life(lambda _: 210, process="api-2").verdict == "too much"


def test_what_a_process_must_keep_is_no_leak() -> None:
    times = [number * EVERY for number in range(360)]
    kept = [at / 40 for at in times]
    values = [90 + held for held in kept]
    assert judge("api-1", times, values, kept).verdict == "flat"
    assert judge("api-1", times, values).verdict == "grows"


def a_soak(**changed: list[float]) -> tuple[dict[str, object], list[dict[str, float]]]:
    """Thirty quiet minutes with one fault from 600 s to 610 s; `changed` replaces columns."""
    seconds = [number * EVERY for number in range(1, 361)]
    fixed = {"lag": 3.0, "connections write": 8.0, "connections read": 2.0}
    fixed |= {f"memory {name}-1": 100.0 for name in ("api", "worker", "kafka", "postgres")}
    named = {name.replace("_", " ").replace(" 1", "-1"): values for name, values in changed.items()}
    samples = [
        {"seconds": at, **fixed, **{name: values[place] for name, values in named.items()}}
        for place, at in enumerate(seconds)
    ]
    if "lag" not in changed:
        samples[-1]["lag"] = 0.0
    measured = {"findings": [], "acknowledged": 5, "drained_after": 1.0, "faults": [["worker-sigkill", 600.0, 610.0]]}
    return measured, samples


def broken(measured: dict[str, object], samples: list[dict[str, float]]) -> list[str]:
    return [promise.what_en for promise in promises(measured, samples) if promise.held is not True]


def test_a_good_soak_keeps_every_promise() -> None:
    assert broken(*a_soak()) == []


def test_each_broken_promise_is_named() -> None:
    measured, samples = a_soak()
    assert broken(measured | {"findings": ["lost: one"]}, samples) == ["each record exactly once"]
    assert broken(measured | {"drained_after": None}, samples) == ["lag is zero in the end"]
    assert broken(*a_soak(lag=[0.0] * 359 + [1.0])) == [
        "lag is zero in the end",
    ]
    behind = [3.0] * 121 + [900.0] * 239
    assert broken(*a_soak(lag=behind)) == ["lag is zero in the end", "after each fault lag is back where it was"]
    assert broken(*a_soak(connections_write=[8.0] * 359 + [14.0])) == []  # no more than there are lanes and workers
    assert broken(*a_soak(connections_write=[8.0] * 359 + [15.0])) == ["write connections are steady"]
    assert broken(*a_soak(connections_read=[2.0] * 200 + [21.0] + [2.0] * 159)) == ["read connections are steady"]
    assert broken(*a_soak(memory_worker_1=[100 + number / 5 for number in range(360)])) == ["worker memory is flat"]


def test_a_soak_too_short_to_judge_memory_says_so() -> None:
    measured, samples = a_soak()
    held = {promise.what_en: promise.held for promise in promises(measured, samples[:60])}
    assert held["worker memory is flat"] is None
