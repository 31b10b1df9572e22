"""What the summary of chaos rounds says, and that a seed plans the same rounds again."""

from pathlib import Path

import pytest

from infra.errors import InfraError
from trials.chaos.faults import FAULTS
from trials.chaos.plan import Setup, chosen, plan
from trials.chaos.results import Round, append, read, summary


def a_round(number: int, *faults: str, recovered: float | None = 1.0, **findings: int) -> Round:
    return Round(number, 7, faults, 2.0, recovered, 120, 100, 90, 6, 4, 3, findings, ("lost: one",) if findings else ())


def test_the_summary_counts_each_fault_and_all_rounds_once() -> None:
    rounds = [
        a_round(1, "a"),
        a_round(2, "a", "b", recovered=3.0),
        a_round(3, "b", recovered=9.0, lost=2, altered=1),
        a_round(4, "b", recovered=None),
    ]
    a, b, everything = summary(rounds)
    assert (a.fault, a.rounds, a.failed, a.acknowledged, a.recover_p50, a.bound) == ("a", 2, 0, 200, 2.0, 1.0)
    assert (b.rounds, b.failed, b.lost, b.doubled, b.misreported, b.bound) == (3, 2, 2, 0, 1, None)
    assert (everything.rounds, everything.acknowledged, everything.redelivered) == (4, 400, 12)
    assert everything.recover_p95 == 9.0


def test_no_failure_in_n_rounds_allows_three_in_n() -> None:
    (_, everything) = summary([a_round(number, "a") for number in range(1, 61)])
    assert everything.bound == pytest.approx(0.05)


def test_no_rounds_have_no_summary() -> None:
    assert summary([]) == []


def test_a_round_that_did_not_settle_has_failed() -> None:
    assert not a_round(1, "a", recovered=None).passed
    assert not a_round(1, "a", lost=1).passed
    assert a_round(1, "a").passed


def test_rounds_are_read_as_they_were_written(tmp_path: Path) -> None:
    rounds = [a_round(1, "a", "b"), a_round(2, "b", lost=1)]
    for one in rounds:
        append(tmp_path / "rounds.jsonl", one)
    assert read([tmp_path / "rounds.jsonl"]) == rounds


def test_a_seed_plans_the_same_rounds_again() -> None:
    faults = chosen("", disks=True)
    assert plan(faults, 100, 5) == plan(faults, 100, 5)
    assert plan(faults, 100, 5) != plan(faults, 100, 6)


def test_every_fault_strikes_equally_often_and_where_it_can() -> None:
    faults = chosen("", disks=True)
    setups = plan(faults, 3 * len(faults), 1)
    steps = [step for steps in setups.values() for step in steps]
    assert sorted(step.number for step in steps) == list(range(1, 3 * len(faults) + 1))
    for fault in faults:
        assert sum(step.faults[0] is fault for step in steps) == 3, fault.name
    for setup, planned in setups.items():
        for step in planned:
            assert all(each.brokers in (1, setup.brokers) and each.disk in ("", setup.disk) for each in step.faults)
    mixed = [step.faults for step in steps if len(step.faults) > 1]
    assert len(mixed) > len(steps) / 5
    assert not any(all(each.name.startswith(("kafka", "cluster")) for each in pair) for pair in mixed)
    disks = ("", "kafka", "postgres", "postgres-wal")
    assert {Setup(3, ""), *(Setup(1, disk) for disk in disks)} == set(setups)


def test_each_nth_round_is_long_and_the_plan_is_the_same() -> None:
    faults = chosen("", disks=True)
    long = [step for steps in plan(faults, 100, 5, 5).values() for step in steps]
    assert sorted(step.number for step in long if step.is_long) == list(range(5, 101, 5))
    short = [step for steps in plan(faults, 100, 5).values() for step in steps]
    assert [step._replace(is_long=False) for step in long] == short


def test_faults_are_chosen_by_the_beginning_of_their_names() -> None:
    assert {fault.name for fault in chosen("worker-sig,kafka-sigkill", disks=True)} == {
        "worker-sigkill",
        "kafka-sigkill",
    }
    assert not any(fault.disk for fault in chosen("", disks=False))
    assert not any(fault.clock for fault in chosen("", disks=True, clocks=False))
    assert len(chosen("", disks=True)) == len(FAULTS)
    with pytest.raises(InfraError, match="nothing-like-it"):
        chosen("worker,nothing-like-it", disks=True)
