"""The results of chaos rounds: one line of JSON each, and their summary per kind of fault."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

_ALL: Final = "all"


@dataclass(frozen=True)
class Round:
    """One round: faults under load, healed, recovered, checked. Times are seconds, counts are records."""

    number: int
    seed: int
    faults: tuple[str, ...]
    held: float  # how long the faults lasted, from the first strike to the last heal
    recovered: float | None  # from the last heal until everything acknowledged was settled; None: not in time
    offered: int = 0
    acknowledged: int = 0
    stored: int = 0
    rejected: int = 0
    duplicates: int = 0
    redelivered: int = 0
    findings: dict[str, int] = field(default_factory=dict)  # kind -> how many
    examples: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True where everything acknowledged ended once, and was published as it is, in time."""
        return not self.findings and self.recovered is not None

    def as_json(self) -> dict[str, Any]:
        """The result as a line of the results file."""
        return asdict(self) | {"passed": self.passed}


@dataclass(frozen=True)
class Line:
    """A row of the summary. A round of two faults is in the row of each; in the row `all`, once."""

    fault: str
    rounds: int
    failed: int
    acknowledged: int
    lost: int
    doubled: int
    misreported: int  # every other kind of finding
    redelivered: int
    recover_p50: float | None
    recover_p95: float | None

    @property
    def bound(self) -> float | None:
        """Upper bound of the failure rate at 95 % after no failure in n rounds, 3/n (Hanley and Lippman-Hand 1983,
        "If nothing goes wrong, is everything all right?"). None after a failure."""
        return None if self.failed else min(1.0, 3 / self.rounds)

    def as_row(self) -> dict[str, Any]:
        """The result as a row of a table."""
        bound = self.bound
        return {
            "fault": self.fault,
            "rounds": self.rounds,
            "failed": self.failed,
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "doubled": self.doubled,
            "misreported": self.misreported,
            "redelivered": self.redelivered,
            "recover p50 s": _tenth(self.recover_p50),
            "recover p95 s": _tenth(self.recover_p95),
            "3/n": "-" if bound is None else f"{bound:.1%}",
        }


def _tenth(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"


def summary(rounds: Sequence[Round]) -> list[Line]:
    """One line per fault, in the order of their names, and one over all rounds. None for no rounds."""
    if not rounds:
        return []
    names = sorted({fault for one in rounds for fault in one.faults})
    return [
        *(_line(name, [one for one in rounds if name in one.faults]) for name in names),
        _line(_ALL, rounds),
    ]


def _line(name: str, rounds: Sequence[Round]) -> Line:
    times = sorted(one.recovered for one in rounds if one.recovered is not None)
    found = {kind: sum(one.findings.get(kind, 0) for one in rounds) for one in rounds for kind in one.findings}
    return Line(
        fault=name,
        rounds=len(rounds),
        failed=sum(not one.passed for one in rounds),
        acknowledged=sum(one.acknowledged for one in rounds),
        lost=found.get("lost", 0),
        doubled=found.get("doubled", 0),
        misreported=sum(count for kind, count in found.items() if kind not in ("lost", "doubled")),
        redelivered=sum(one.redelivered for one in rounds),
        recover_p50=statistics.median(times) if times else None,
        # nearest rank: with few rounds, the slowest of them
        recover_p95=times[-(-len(times) * 95 // 100) - 1] if times else None,
    )


def append(file: Path, one: Round) -> None:
    """Adds a line to the results file, so that an interrupted run leaves what it showed."""
    with file.open("a") as lines:
        lines.write(json.dumps(one.as_json(), ensure_ascii=False) + "\n")


def read(files: Iterable[Path]) -> list[Round]:
    """The rounds of results files."""
    rounds = []
    for file in files:
        for line in filter(None, file.read_text().split("\n")):
            found = json.loads(line)
            found.pop("passed")
            rounds.append(Round(**found | {"faults": tuple(found["faults"]), "examples": tuple(found["examples"])}))
    return rounds
