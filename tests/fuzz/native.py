"""records.c under AddressSanitizer and UndefinedBehaviorSanitizer: on given inputs with any compiler that has them, and led by
coverage where clang is there. `python -m tests.fuzz.native --seconds 3600` searches for an hour."""

import argparse
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sinks.postgres.native.library import SOURCE, compiler
from sinks.postgres.native.rules import header
from tests.fuzz.run import WORK
from tests.fuzz.seeds import changed, seeds
from trials import generator

HARNESS: Final = Path(__file__).with_name("records_harness.c")
SANITIZERS: Final = "address,undefined"
_WARNINGS: Final = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror")
_LONGEST: Final = 16_384  # bytes of an input of the search
_SEPARATOR: Final = b"\x1e"


def build(folder: Path, command: Sequence[str], *more: str) -> Path:
    """The harness as a program. Raises CalledProcessError."""
    (folder / "rules.h").write_text(header())
    program = folder / "records"
    places = [f"-I{folder}", f"-I{SOURCE.parent}", "-o", str(program), str(HARNESS)]
    flags = ["-std=c11", "-g", "-O1", *_WARNINGS, "-fno-sanitize-recover=all", *more]
    subprocess.run([*command, *flags, *places], check=True)
    return program


def has_sanitizers(folder: Path) -> bool:
    """Whether the machine's compiler makes programs with them, and they run here."""
    command = compiler()
    if command is None:
        return False
    source, program = folder / "empty.c", folder / "empty"
    source.write_text("int main(void) { return 0; }\n")
    made = subprocess.run([*command, f"-fsanitize={SANITIZERS}", "-o", str(program), str(source)], capture_output=True)
    return made.returncode == 0 and subprocess.run([str(program)], capture_output=True).returncode == 0


def inputs(count: int, seed: int = 0) -> Iterator[bytes]:
    """What the search begins with, then as many changes of it."""
    known = [
        bytes([how]) + (raw.replace(b"\n", _SEPARATOR) if how & 1 else raw) for raw in _values() for how in range(16)
    ]
    yield from known
    chance = random.Random(seed)
    for _ in range(count):
        data = chance.choice(known)
        if chance.random() < 0.3:  # in the middle of whatever it is
            data = data[: chance.randrange(1, len(data) + 1)]
        yield data[:1] + changed(data[1:], chance)


def _values() -> list[bytes]:
    records = seeds("record")
    return [
        *(raw[1:] for raw in seeds("native")),
        *records,
        generator.array(generator.records(3, 5, "acme")),
        generator.ndjson(generator.records(3, 5, "acme")),
    ]


def search(folder: Path, seconds: int, corpus: Path, runs: int = -1) -> int:
    """Searches, led by coverage, and returns the exit code. Raises CalledProcessError where clang cannot."""
    program = build(folder, ["clang"], f"-fsanitize=fuzzer,{SANITIZERS}")
    begun = folder / "seeds"
    begun.mkdir()
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs(0)):
        (begun / str(number)).write_bytes(data)
    options = [
        f"-max_total_time={seconds}",
        f"-runs={runs}",
        f"-max_len={_LONGEST}",
        f"-artifact_prefix={corpus.parent}/",
    ]
    command = [str(program), *options, "-timeout=10", "-print_final_stats=1", str(corpus), str(begun)]
    return subprocess.run(command, env={**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}).returncode


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.native", description=__doc__)
    parser.add_argument("--seconds", type=int, default=1_800)
    given = parser.parse_args()
    if shutil.which("clang") is None:
        print("clang is missing: apt-get install clang libclang-rt-14-dev")
        return 1
    folder = WORK / "records-build"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return search(folder, given.seconds, WORK / "records")


if __name__ == "__main__":
    sys.exit(main())
