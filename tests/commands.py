"""The `scanline` command as people and scripts run it: a process of its own, its output and its exit code."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from cli.commands import app

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

    def here(self, *arguments: str) -> dict[str, Any]:
        """What it prints with --json, without a process of its own: for what is asked again and again."""
        out = io.StringIO()
        with patch.dict(os.environ, self.env, clear=True), redirect_stdout(out):
            code = app([*arguments, "--json"], standalone_mode=False)
        assert not code, out.getvalue()
        return dict(json.loads(out.getvalue()))

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Running; the caller stops it."""
        command = [SCANLINE, *map(str, arguments)]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def in_a_terminal(self, *arguments: str | Path, width: int = 80, typed: bytes = b"") -> str:
        """To its end, with everything that a terminal of this width gets, escape codes included. `typed` comes on
        standard input, which is a pipe."""
        ours, theirs = pty.openpty()
        command, env = [SCANLINE, *map(str, arguments)], self.env | {"COLUMNS": str(width), "TERM": "xterm"}
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            assert process.stdin is not None
            process.stdin.write(typed)
            process.stdin.close()
            shown = b""
            with suppress(OSError):  # which is how a terminal's end is told
                while piece := os.read(ours, 65536):
                    shown += piece
            os.close(ours)
        return shown.decode()


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
