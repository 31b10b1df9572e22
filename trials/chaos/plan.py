"""Plans which faults strike in which round: a seed gives the same plan again."""

from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from infra.errors import InfraError
from trials.chaos.faults import FAULTS, Fault

_MIXED_EVERY: Final = 4  # of so many rounds, one has two faults at the same time


class Step(NamedTuple):
    """A round to be: its own seed draws everything in it. `is_long`: its faults last longer than anybody asks and
    waits."""

    number: int
    seed: int
    faults: tuple[Fault, ...]
    is_long: bool = False


class Setup(NamedTuple):
    """The servers that a round needs; rounds of one setup share them."""

    brokers: int
    disk: str


def setup_of(fault: Fault) -> Setup:
    """The setup that the fault needs."""
    return Setup(fault.brokers, fault.disk)


def chosen(only: str, *, disks: bool, clocks: bool = True) -> list[Fault]:
    """The faults named in `only` (commas between; a name's beginning is enough), all for an empty text. Without `disks`
    those that need one of their own are left out, without `clocks` those that move one. Raises InfraError for a name
    that fits none."""
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in wanted if not any(known.startswith(name) for known in FAULTS)]
    if unknown:
        raise InfraError.of("chaos_fault_unknown", unknown=", ".join(unknown), known=", ".join(FAULTS))
    return [
        fault
        for name, fault in FAULTS.items()
        if (not wanted or any(name.startswith(each) for each in wanted))
        and (disks or not fault.disk)
        and (clocks or not fault.clock)
    ]


def plan(faults: Sequence[Fault], rounds: int, seed: int, long_every: int = 0) -> dict[Setup, list[Step]]:
    """`rounds` rounds over these faults, each as often as any other, mixed with a second one now and then, by setup.
    Each `long_every`-th is long; 0: none is.

    Numbers and seeds do not depend on the setups, so that one round can be run again by itself.
    """
    rng = Random(seed)
    setups: dict[Setup, list[Step]] = {}
    waiting: list[Fault] = []
    for number in range(1, rounds + 1):
        if not waiting:
            waiting = rng.sample(list(faults), len(faults))
        first = waiting.pop()
        struck: tuple[Fault, ...] = (first,)
        others = [each for each in faults if each is not first and _may_meet(first, each)]
        if number % _MIXED_EVERY == 0 and others:
            struck = (first, rng.choice(others))
        is_long = long_every > 0 and number % long_every == 0
        setups.setdefault(setup_of(first), []).append(Step(number, rng.getrandbits(32), struck, is_long))
    return setups


def _may_meet(first: Fault, second: Fault) -> bool:
    """Two faults at once: of different parts (a server cannot be killed twice), the second in the first one's setup."""
    at_home = setup_of(second) in (setup_of(first), Setup(1, ""))
    return at_home and _part(first) != _part(second)


def _part(fault: Fault) -> str:
    """The part that it strikes: `worker`, `kafka`, ..., or a link."""
    first, second, *_ = fault.name.split("-")
    kind = {"workers": "worker", "cluster": "kafka"}.get(first, first)
    return f"{kind}-{second}" if second in ("kafka", "postgres", "api") else kind
