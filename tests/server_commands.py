"""The documents' blocks of commands for PostgreSQL, as they stand there, run by the user that its server runs as."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from infra.postgres.binaries import as_server_user, find_binaries, server_user
from tests.docs_commands import script_with


def owned(folder: Path) -> Path:
    """A new folder of the server's user."""
    folder.mkdir(parents=True)
    user = server_user()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    return folder


def run_block(page: str, text: str, values: Mapping[str, Path | str]) -> str:
    """The page's one block that holds the text, with these values of its variables. Returns what it printed."""
    binaries = find_binaries()
    folders = [value for value in values.values() if isinstance(value, Path)]
    env = {**os.environ, **{name: str(value) for name, value in values.items()}}
    env["PATH"] = f"{binaries}:{env['PATH']}"
    command = as_server_user(["bash", "-euc", script_with(page, text)], server_user(), *folders, binaries)
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, (text, done.stdout, done.stderr)
    return done.stdout
