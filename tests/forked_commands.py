"""Runs many `scanline` commands, each in a process of its own that has all its imports already: python -m tests.forked_commands.

Reads a JSON array of cases from standard input, and writes what became of each to standard output.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

_AT_ONCE: Final = 24  # they wait for servers that are not there more than they work
_SECONDS: Final = 100
NOT_READ: Final = 141
_BYTES: Final = 4 << 30  # what reads without an end is ended


class Case(NamedTuple):
    """`output`: where standard output goes: a file that is looked at, `closed`, `unread` (a pipe whose reader has gone), or a
    path. `settings` come on top of the rest."""

    arguments: list[str]
    encoding: str = "utf-8"
    output: str = "file"
    settings: dict[str, str] = {}


class Ended(NamedTuple):
    """`code` is negative where a signal ended it."""

    code: int
    out: str
    errors: str


def run_all(cases: Sequence[Case], env: dict[str, str]) -> list[Ended]:
    """In the order of the cases."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.forked_commands"],
        input=json.dumps(cases),
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Ended(*each) for each in json.loads(done.stdout)]


def assert_sentences(cases: Sequence[Case], ended: Sequence[Ended]) -> None:
    """None ended in a traceback, by a signal, or with a password told."""
    for case, end in zip(cases, ended, strict=True):
        assert "Traceback" not in end.out + end.errors, (case, end.errors[-1_500:])
        assert end.code in (0, 1, 2, 3, *([NOT_READ] if case.output == "unread" else [])), (case, end)
        assert "secret" not in end.out + end.errors, case


def _child(case: Case, out: Path, errors: Path) -> None:
    from cli import main

    signal.alarm(_SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
    sys.stderr = open(2, "w", encoding=case.encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
    if case.output == "closed":
        os.close(1)
        sys.stdout = None  # type: ignore[assignment] - as Python itself does
    elif case.output == "unread":
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
        sys.stdout = open(1, "w", encoding=case.encoding, closefd=False)  # noqa: SIM115
    else:
        os.dup2(os.open(out if case.output == "file" else case.output, os.O_WRONLY | os.O_CREAT), 1)
        sys.stdout = open(1, "w", encoding=case.encoding, closefd=False)  # noqa: SIM115
    os.environ.update(case.settings)
    sys.argv = ["scanline", *case.arguments]
    code = 1
    try:
        main()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            traceback.print_exc()
    os._exit(code)


def _serve(cases: Sequence[Case]) -> list[Ended]:
    import tests.command_lines  # noqa: F401 - loads every command, so that the children need not

    ended: dict[int, Ended] = {}
    running: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as folder:

        def files(number: int) -> tuple[Path, Path]:
            return Path(folder, f"{number}.out"), Path(folder, f"{number}.err")

        def reap() -> None:
            pid, status = os.wait()
            number = running.pop(pid)
            texts = [file.read_bytes().decode("utf-8", "replace") if file.exists() else "" for file in files(number)]
            ended[number] = Ended(os.waitstatus_to_exitcode(status), *texts)

        for number, case in enumerate(cases):
            if len(running) >= _AT_ONCE:
                reap()
            pid = os.fork()
            if pid == 0:
                _child(case, *files(number))
            running[pid] = number
        while running:
            reap()
    return [ended[number] for number in range(len(cases))]


def _main() -> None:
    cases: list[Any] = json.load(sys.stdin)
    json.dump(_serve([Case(*each) for each in cases]), sys.stdout)


if __name__ == "__main__":
    _main()
