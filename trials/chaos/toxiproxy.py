"""Toxiproxy (github.com/Shopify/toxiproxy), built with Go: from its module's sources, which `go` checks by their sums."""

import fcntl
import shutil
from pathlib import Path
from typing import Final

from infra.errors import InfraError
from infra.settings import PROJECT
from trials.chaos.go_toolchain import go_programs, run, works

VERSION: Final = "2.12.0"
_MODULE: Final = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"
_RUNTIME: Final = PROJECT / ".runtime"


def binary() -> Path:
    """The program, built at the first call and kept. Raises InfraError where it cannot be had."""
    folder = _RUNTIME / "toxiproxy"
    program = folder / f"toxiproxy-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once: the second finds it done
        if not works(str(program), "-version"):
            _build(folder / "arriving").replace(program)
    return program


def _build(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    reasons = []
    for go in go_programs():
        done = run([go, "install", _MODULE], {"GOBIN": str(folder), "CGO_ENABLED": "0"})
        if done.returncode == 0:
            return folder / "server"
        reasons.append(done.stderr[-500:])
    raise InfraError.of("chaos_toxiproxy_not_built", version=VERSION, reason=" ".join(reasons))
