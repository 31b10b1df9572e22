"""One real PostgreSQL server as a child process, made when it is not there yet."""

import os
import secrets
import signal
import subprocess
import time
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal, NamedTuple

import psycopg2
from infra.children import Child, free_port
from infra.errors import InfraError
from infra.postgres.binaries import as_server_user, find_binaries, server_user

DATABASE: Final = "scanline"
ROLES: Final = ("scanline_migrator", "scanline_writer", "scanline_reader")
StopMode = Literal["smart", "fast", "immediate"]
_SIGNALS: Final = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Urls(NamedTuple):
    """SQLAlchemy URLs, one per role."""

    migrate: str
    write: str
    read: str


class PostgresCluster:
    """A server on 127.0.0.1 with everything below `data_dir`; starting again on the same folder keeps everything."""

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        self._dir = data_dir
        self._cluster = data_dir / "cluster"
        self._secrets_file = data_dir / "passwords"
        self._port_file = data_dir / "port"
        if port is None and self._port_file.exists():
            port = int(self._port_file.read_text())
        self.port = port or free_port()
        self.log_file = data_dir / "postgres.log"
        self._user = server_user()
        self._child: Child | None = None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._child is not None and self._child.returncode is None

    @property
    def pid(self) -> int:
        """Of the postmaster. Raises InfraError when it is not running."""
        if self._child is None:
            raise InfraError("PostgreSQL chưa chạy.", "PostgreSQL is not running.")
        return self._child.pid

    @property
    def urls(self) -> Urls:
        """For the three roles."""
        return Urls(*(self._url(role) for role in ROLES))

    def _url(self, role: str, database: str = DATABASE) -> str:
        return f"postgresql+psycopg2://{role}:{self._password(role)}@127.0.0.1:{self.port}/{database}"

    def superuser_dsn(self, database: str = DATABASE) -> str:
        """libpq connection string of the superuser, for setting up and for tests that break things."""
        return (
            f"host=127.0.0.1 port={self.port} user=postgres password={self._password('postgres')} dbname={database}"
            " connect_timeout=3"
        )

    def _password(self, role: str) -> str:
        known = dict(line.split(":") for line in self._secrets_file.read_text().splitlines())
        return known[role]

    def start(self) -> None:
        """Makes the cluster if it is new, and starts the server. Raises InfraError."""
        if not (self._cluster / "PG_VERSION").exists():
            self._make()
        self._port_file.write_text(str(self.port))
        command = [
            str(find_binaries() / "postgres"),
            "-D",
            str(self._cluster),
            "-p",
            str(self.port),
            "-k",
            "",  # no Unix socket: its path has a length limit that a deep checkout exceeds
        ]
        self._child = Child("postgres", as_server_user(command, self._user), log_file=self.log_file, cwd=Path("/"))

    def _make(self) -> None:
        self._dir.mkdir(parents=True, exist_ok=True)
        self._cluster.mkdir(exist_ok=True)
        passwords = {role: secrets.token_urlsafe(18) for role in ("postgres", *ROLES)}
        self._secrets_file.touch(mode=0o600)
        self._secrets_file.write_text("".join(f"{role}:{password}\n" for role, password in passwords.items()))
        first = self._dir / "first-password"
        first.touch(mode=0o600)
        first.write_text(passwords["postgres"])
        if self._user is not None:
            os.chown(self._cluster, self._user.pw_uid, self._user.pw_gid)
            os.chown(first, self._user.pw_uid, self._user.pw_gid)
        command = [
            str(find_binaries() / "initdb"),
            "-D",
            str(self._cluster),
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "-A",
            "scram-sha-256",
            "--pwfile",
            str(first),
            "--no-sync",
        ]
        done = subprocess.run(as_server_user(command, self._user), capture_output=True, text=True, check=False, cwd="/")
        first.unlink()
        if done.returncode != 0:
            raise InfraError(
                f"Không tạo được cụm PostgreSQL: {done.stderr[-500:]}",
                f"The PostgreSQL cluster could not be made: {done.stderr[-500:]}",
            )
        with (self._cluster / "postgresql.conf").open("a") as settings:
            settings.write("\n" + files("infra.postgres").joinpath("postgresql.conf").read_text())

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Waits for an answered query. Raises InfraError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._child is None or self._child.returncode is not None:
                raise InfraError(
                    f"PostgreSQL đã dừng khi khởi động; xem {self.log_file}.",
                    f"PostgreSQL ended while starting; see {self.log_file}.",
                )
            try:
                psycopg2.connect(self.superuser_dsn("postgres")).close()
                return
            except psycopg2.OperationalError:
                time.sleep(0.05)
        raise InfraError(
            f"PostgreSQL không trả lời sau {seconds:.0f} giây; xem {self.log_file}.",
            f"PostgreSQL gave no answer within {seconds:.0f} s; see {self.log_file}.",
        )

    def stop(self, mode: StopMode = "fast", seconds: float = 30) -> None:
        """Stops the server in one of PostgreSQL's own modes, and kills it when that takes too long."""
        if self._child is None:
            return
        self._child.signal(_SIGNALS[mode])
        deadline = time.monotonic() + seconds
        while self._child.returncode is None and time.monotonic() < deadline:
            time.sleep(0.02)
        self._child.kill()
        self._child = None

    def kill(self) -> None:
        """SIGKILL to the postmaster; its children notice."""
        if self._child is not None:
            self._child.kill()
            self._child = None
