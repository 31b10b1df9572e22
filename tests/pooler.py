"""A real PgBouncer in transaction mode before a PostgreSQL of the tests, with the lines that docs/operations.md has for it."""

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg2
from sqlalchemy.engine import make_url

from infra.postgres.binaries import as_server_user, server_user
from infra.postgres.cluster import Urls
from infra.processes.child import Child, free_port
from infra.settings import PROJECT
from tests.helpers import wait_for
from tests.packages import libraries, program

_DOCUMENTED: Final = re.search(r"```ini\n(.+?)```", (PROJECT / "docs" / "operations.md").read_text("utf-8"), re.DOTALL)
assert _DOCUMENTED is not None
_OWN: Final = """
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
"""


class Pooler:
    """One that listens, and can be killed and started again at its port."""

    def __init__(self, folder: Path, server: Urls) -> None:
        binary = program("pgbouncer")
        found = [] if binary.is_relative_to("/usr") else libraries("libevent-2.1-7", "libc-ares2")
        urls = [make_url(url) for url in server if url]
        self.port = free_port()
        users, settings = folder / "users", folder / "pgbouncer.ini"
        users.write_text("".join(f'"{url.username}" "{url.password}"\n' for url in urls))
        port = f"port={urls[0].port} "
        documented, count = re.subn(r"port=\d+ ", port, _DOCUMENTED[1])
        assert count == 1, documented
        settings.write_text(documented + _OWN.format(port=self.port, users=users))
        user = server_user()  # as root it does not run
        for file in (users, settings):
            file.chmod(0o600)
            if user is not None:
                os.chown(file, user.pw_uid, user.pw_gid)
        self._command = as_server_user([str(binary), str(settings)], user, users, binary, *found)
        self._env = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, found))}
        self.log_file = folder / "pgbouncer.log"
        self._child: Child | None = None
        self.urls = Urls(*(url.set(port=self.port).render_as_string(hide_password=False) for url in urls))

    def start(self) -> None:
        """Until it answers."""
        self._child = child = Child("pgbouncer", self._command, log_file=self.log_file, env=self._env)
        wait_for(lambda: child.returncode is not None or self._answers(), "PgBouncer answers")
        assert child.returncode is None, self.log_file.read_text()

    def _answers(self) -> bool:
        dsn = make_url(self.urls.read).set(drivername="postgresql").render_as_string(hide_password=False)
        with suppress(psycopg2.OperationalError), closing(psycopg2.connect(dsn, connect_timeout=5)):
            return True
        return False

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


@contextmanager
def pooler(folder: Path, server: Urls) -> Iterator[Pooler]:
    """Running before the server with these URLs."""
    running = Pooler(folder, server)
    try:
        running.start()
        yield running
    finally:
        running.kill()
