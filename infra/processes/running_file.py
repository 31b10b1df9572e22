"""The file in which other commands find where a running system is."""

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values

from infra.settings import RUNNING_FILE


def _file(folder: Path, process: str = "") -> Path:
    """The file with what the commands need, or with the settings of one of the processes."""
    return folder / (f"running.{process}.env" if process else RUNNING_FILE)


def forget(folder: Path) -> None:
    """Takes away what an earlier run left, killed before it could do so itself. The folder's lock must be held."""
    for path in folder.glob("running*.env"):
        path.unlink(missing_ok=True)


def settings_of(folder: Path, process: str) -> dict[str, str]:
    """SCANLINE_* of a process that runs below the folder, `api`, `worker` or `exporter`; empty where none does. Raises OSError."""
    path = _file(folder, process)
    return {name: value or "" for name, value in dotenv_values(path).items()} if path.exists() else {}


@contextmanager
def announced(
    folder: Path, env: Mapping[str, str], processes: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[None]:
    """While the block runs, `folder` holds these settings, and those of its processes, for its owner alone: there are
    passwords among them."""
    try:
        for process, own in (processes or {}).items():
            _write(_file(folder, process), own)
        _write(_file(folder), env)
        yield
    finally:
        forget(folder)


def _write(path: Path, env: Mapping[str, str]) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"{name}={shlex.quote(value)}\n" for name, value in env.items())
    unfinished.rename(path)  # whole or not at all
