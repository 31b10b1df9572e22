"""The `scanline` command as people and scripts run it: a process of its own, its output and its exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

SCANLINE: Final = Path(sys.executable).parent / "scanline"
PATIENCE: Final = 120.0
Done = subprocess.CompletedProcess[str]


# Nobody listens there: a command that went through the proxy to reach our own servers would fail. In both spellings, since
# the lower one is preferred, and nothing may be excepted by NO_PROXY.
_NO_WAY: Final = "http://127.0.0.1:9"
DEAD_PROXY: Final = {
    **{name: _NO_WAY for proxy in ("http_proxy", "https_proxy", "all_proxy") for name in (proxy, proxy.upper())},
    "no_proxy": "",
    "NO_PROXY": "",
}


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's, with no settings of ours but these, behind a company's proxy that does not let anything through."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCANLINE_")}
    return {**kept, "COLUMNS": "200", **DEAD_PROXY, **settings}


class Commands:
    """Runs `scanline` with the same settings each time."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.env = environment(settings)

    def __call__(self, *arguments: str | Path, **settings: str) -> Done:
        """To its end. `settings` override those of all runs."""
        command = [SCANLINE, *map(str, arguments)]
        env = self.env | settings
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Running; the caller stops it."""
        command = [SCANLINE, *map(str, arguments)]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows(done: Done) -> list[dict[str, Any]]:
    """What the command printed as JSON."""
    assert done.returncode == 0, (done.returncode, done.stderr)
    return list(json.loads(done.stdout))


def one(done: Done) -> dict[str, Any]:
    """The one row of it."""
    (row,) = json.loads(done.stdout)
    return dict(row)


def refused(done: Done) -> bool:
    """Whether a command with --json ended with an error, and printed nothing but that."""
    return done.returncode == 1 and list(json.loads(done.stdout)) == ["error"]


def written(folder: Path, lines: list[bytes], name: str = "scan.ndjson") -> Path:
    """The lines as a file; the last one has no end."""
    path = folder / name
    path.write_bytes(b"\n".join(lines))
    return path
