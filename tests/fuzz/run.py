"""Coverage-guided fuzzing of every target, one after the other: `make fuzz`, or `python -m tests.fuzz.run --help`.

Each target runs in a process of its own for its share of the time. What it learns is kept in .runtime/fuzz, where the next run
begins. An input that breaks a promise ends its target's run and is named in its log.
"""

import argparse
import importlib
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
WORK: Final = PROJECT / ".runtime" / "fuzz"
# the first is the way of every record, and the largest
SHARES: Final = {
    "record": 8, "message": 4, "native": 4, "envelope": 2, "control": 2, "raw_records": 3, "lines": 4, "document": 4,
    "corrections": 2, "status": 1, "cursor": 1,
}  # fmt: skip
_INSTRUMENTED: Final = [
    "schemas",
    "sinks.protocol",
    "sinks.columns",
    "sinks.files.rows",
    "sinks.postgres.rows",
    "sinks.postgres.native",
    "producer_api",
]
_LONGEST: Final = 16_384  # bytes of an input
_SECONDS_EACH: Final = 25  # for one input: it would be a fault of its own
_DONE: Final = re.compile(r"Done (\d+) runs in (\d+)")
_COVERED: Final = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


def fuzz(target: str, seconds: int) -> None:
    """Ends the process: atheris never returns."""
    import atheris  # no part of the environment: only `make fuzz` installs it

    with atheris.instrument_imports(include=_INSTRUMENTED):
        targets = importlib.import_module("tests.fuzz.targets")
    seeds = importlib.import_module("tests.fuzz.seeds")
    corpus, begun = WORK / target, WORK / "seeds" / target
    for folder in (corpus, begun):
        folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds.seeds(target)):
        (begun / str(number)).write_bytes(data)

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.5:
            return bytes(atheris.Mutate(data, len(data)))[:longest]
        return bytes(seeds.changed(data, chance))[:longest]

    atheris.Setup(
        [
            "fuzz",
            f"-max_total_time={seconds}",
            f"-max_len={_LONGEST}",
            f"-timeout={_SECONDS_EACH}",
            "-rss_limit_mb=2048",
            f"-artifact_prefix={WORK}/{target}-",
            "-print_final_stats=1",
            str(corpus),
            str(begun),
        ],
        targets.TARGETS[target],
        custom_mutator=mutate,
    )
    atheris.Fuzz()


def run(target: str, seconds: int) -> bool:
    """Runs a target in a process of its own and prints its figures. True when no promise was broken."""
    command = [sys.executable, "-m", "tests.fuzz.run", target, "--seconds", str(seconds), "--inside"]
    log = WORK / f"{target}.log"
    with log.open("w") as output:
        code = subprocess.run(command, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT).returncode
    text = log.read_text(errors="replace")
    covered = _COVERED.findall(text)
    runs = _DONE.search(text) or re.search(r"stat::number_of_executed_units: *(\d+)", text)
    edges, features, corpus = covered[-1] if covered else ("?", "?", "?")
    print(
        f"{target:10} {runs[1] if runs else '?':>10} runs, {edges:>5} edges, {features:>6} features, {corpus:>5} inputs kept",
        end="",
    )
    print("" if code == 0 else f"; BROKEN, see {log}", flush=True)
    return code == 0


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__.split("\n")[0])
    parser.add_argument("targets", nargs="*", help=f"some of {', '.join(SHARES)}; all where none is named")
    parser.add_argument("--seconds", type=int, default=1_800, help="for all of them together")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    chosen = given.targets or list(SHARES)
    if not set(chosen) <= set(SHARES):
        parser.error(f"no such target: {', '.join(sorted(set(chosen) - set(SHARES)))}")
    WORK.mkdir(parents=True, exist_ok=True)
    if given.inside:
        fuzz(chosen[0], given.seconds)
    whole = sum(SHARES[target] for target in chosen)
    right = [run(target, max(1, given.seconds * SHARES[target] // whole)) for target in chosen]
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
