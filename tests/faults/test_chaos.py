"""A small part of `make chaos`: one round of each kind of fault under load, each reconciled record by record.

The seed is fixed, so a round that fails can be run again by `scanline chaos` with the same seed, rounds and `--only`.
"""

from pathlib import Path

import pytest

from trials.chaos.disks import can_mount
from trials.chaos.faults import FAULTS
from trials.chaos.plan import plan
from trials.chaos.rounds import run

SEED = 2026
RATE = 1_000  # records a second
ONE_BROKER = (
    "worker-sigkill",
    "worker-zombie",
    "workers-churn",
    "api-sigkill",
    "kafka-sigkill",
    "postgres-immediate",
    "postgres-connections-exhausted",
    "api-kafka-cut",
    "worker-postgres-blackhole",
    "worker-postgres-stall",
    "client-api-1-blackhole",
)
OTHER_PLACES = ("cluster-follower-then-leader", "kafka-disk-full", "postgres-disk-full")


@pytest.mark.long
@pytest.mark.parametrize("names", [ONE_BROKER, *((name,) for name in OTHER_PLACES)], ids=lambda names: names[0])
def test_everything_acknowledged_ends_exactly_once(names: tuple[str, ...], tmp_path: Path) -> None:
    faults = [FAULTS[name] for name in names]
    if any(fault.disk for fault in faults) and not can_mount():
        pytest.skip("a disk of its own takes the right to mount")
    ((place, steps),) = plan(faults, len(faults), SEED).items()
    rounds = run(place, steps, tmp_path / "rig", tmp_path / "rounds.jsonl", RATE, lambda _: None)
    assert [one.as_json() for one in rounds if not one.passed] == []
    assert {fault for one in rounds for fault in one.faults} == set(names)
    assert all(one.acknowledged > 200 for one in rounds), "hardly any load: nothing was shown"
