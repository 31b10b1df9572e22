"""The file that tells other commands where a running system is."""

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.settings import RUNNING_FILE


def forget(folder: Path) -> None:
    """Takes away what an earlier run left, killed before it could do so itself. The folder's lock must be held."""
    (folder / RUNNING_FILE).unlink(missing_ok=True)


@contextmanager
def announced(folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    """While the block runs, `folder` holds these settings, for its owner alone: there are passwords among them."""
    path = folder / RUNNING_FILE
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"{name}={shlex.quote(value)}\n" for name, value in env.items())
    unfinished.rename(path)  # whole or not at all
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
