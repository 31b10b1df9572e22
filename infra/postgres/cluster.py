"""One real PostgreSQL server as a child process, made when it is not there yet."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

import psutil
import psycopg2

from infra.errors import InfraError
from infra.postgres.binaries import as_server_user, find_binaries, has_lz4, server_user
from infra.postgres.server_settings import as_conf, settings_for, this_machine
from infra.processes.child import Child, free_port, is_free

DATABASE: Final = "scanline"
ROLES: Final = ("scanline_migrator", "scanline_writer", "scanline_reader", "scanline_monitor")
_SETTINGS_FILE: Final = "scanline.conf"
StopMode = Literal["smart", "fast", "immediate"]
_SIGNALS: Final = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Urls(NamedTuple):
    """SQLAlchemy URLs, one per role. The monitor is for the exporter alone: a system may do without."""

    migrate: str
    write: str
    read: str
    monitor: str | None = None


class PostgresCluster:
    """A server on 127.0.0.1 with everything below `data_dir`; starting again on the same folder keeps everything."""

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        disk: Path | None = None,
        wal_disk: Path | None = None,
        settings: Mapping[str, str] | None = None,
        tuned: bool = True,
        archive: Path | None = None,
        binaries: Path | None = None,
    ) -> None:
        """`disk` holds the cluster's files in place of `data_dir`, `wal_disk` its write-ahead log; `settings` come
        before those of the file. `tuned`: with the settings for this machine, not PostgreSQL's own defaults; then
        `archive` is the folder that the log is archived to. `binaries`: the folder of the server that runs it, in place
        of the one that is found on the machine."""
        self._tuned = tuned
        self._archive = archive
        self._binaries = binaries
        self._dir = data_dir
        self._disk = disk or data_dir
        self._wal_disk = wal_disk
        self._settings = dict(settings or {})
        self._cluster = self._disk / "cluster"
        self._secrets_file = data_dir / "passwords"
        self._port_file = data_dir / "port"
        self.port = self._port(port)
        self.log_file = data_dir / "postgres.log"
        self._user = server_user()
        self._child: Child | None = None

    def _port(self, wanted: int | None) -> int:
        """The last run's, so that clients find the server again, unless somebody took it."""
        if wanted is None and self._port_file.exists():
            last = int(self._port_file.read_text())
            if is_free(last):
                return last
        return wanted or free_port()

    @property
    def running(self) -> bool:
        """True while the process is there."""
        return self._child is not None and self._child.returncode is None

    @property
    def pid(self) -> int:
        """The process id of the postmaster. Raises InfraError when it is not running."""
        if self._child is None:
            raise InfraError.of("postgres_not_running")
        return self._child.pid

    @property
    def urls(self) -> Urls:
        """The URLs of all roles."""
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
        if not self._cluster.exists():
            self._make()
        self._complete_passwords()
        self._wait_for_predecessor()
        self._port_file.write_text(str(self.port))
        binaries = self._binaries or find_binaries((self._cluster / "PG_VERSION").read_text().strip())
        if self._tuned:
            self._write_settings(binaries)
        # no Unix socket: its path has a length limit that a deep checkout exceeds
        command = [str(binaries / "postgres"), "-D", str(self._cluster), "-p", str(self.port), "-k", ""]
        command += [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        self._child = Child(
            "postgres",
            as_server_user(command, self._user, self._cluster, *self._wal, binaries),
            log_file=self.log_file,
            cwd=Path("/"),
            death_signal=signal.SIGQUIT,  # PostgreSQL's immediate stop, which takes its own children along
        )

    def _complete_passwords(self) -> None:
        """A cluster that an earlier version made has none for the roles that came later."""
        known = self._secrets_file.read_text()
        names = {line.partition(":")[0] for line in known.splitlines()}
        lacking = [role for role in ROLES if role not in names]
        if lacking:
            added = "".join(f"{role}:{secrets.token_urlsafe(18)}\n" for role in lacking)
            _write_secret(self._secrets_file, known + added)

    @property
    def _wal(self) -> list[Path]:
        """The folder of the write-ahead log, where it has one of its own."""
        return [] if self._wal_disk is None else [self._wal_disk / "wal"]

    def _wait_for_predecessor(self, seconds: float = 10) -> None:
        """A server whose starter was killed needs a moment to go."""
        lock = self._cluster / "postmaster.pid"
        deadline = time.monotonic() + seconds
        while lock.exists() and time.monotonic() < deadline:
            lines = lock.read_text().splitlines()
            if not lines or not _is_postgres(int(lines[0])):
                return
            time.sleep(0.05)

    def _make(self) -> None:
        """Makes the cluster in a folder beside its own first, so that an interrupted attempt leaves nothing that looks
        like a cluster."""
        self._dir.mkdir(parents=True, exist_ok=True)
        arriving = self._disk / "arriving"
        for folder in (arriving, *self._wal):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        passwords = {role: secrets.token_urlsafe(18) for role in ("postgres", *ROLES)}
        first = self._dir / "first-password"
        _write_secret(self._secrets_file, "".join(f"{role}:{password}\n" for role, password in passwords.items()))
        _write_secret(first, passwords["postgres"])
        if self._user is not None:
            for path in (arriving, *self._wal, first):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        binaries = self._binaries or find_binaries()
        command = [str(binaries / "initdb"), "-D", str(arriving), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"]
        command += ["-A", "scram-sha-256", "--pwfile", str(first), "--no-sync"]
        command += [f"--waldir={folder}" for folder in self._wal]
        as_user = as_server_user(command, self._user, arriving, *self._wal, first, binaries)
        done = subprocess.run(as_user, capture_output=True, text=True, check=False, cwd="/")
        first.unlink()
        if done.returncode != 0:
            raise InfraError.of("postgres_cluster_failed", reason=done.stderr[-500:])
        arriving.rename(self._cluster)

    def _write_settings(self, binaries: Path) -> None:
        """Settings for the machine as it is now: the folder may have come from another."""
        machine = this_machine(self._wal_disk or self._disk)
        settings = settings_for(machine, lz4=has_lz4(binaries), archive=self._archive)
        (self._cluster / _SETTINGS_FILE).write_text(
            as_conf(settings, ["Written anew at each start by infra/postgres."])
        )
        main = self._cluster / "postgresql.conf"
        if (include := f"include_if_exists = '{_SETTINGS_FILE}'\n") not in main.read_text():
            with main.open("a") as file:
                file.write(f"\n{include}")

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Waits for an answered query. Raises InfraError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._child is None or self._child.returncode is not None:
                raise InfraError.of("postgres_start_failed", log=self.log_file)
            try:
                psycopg2.connect(self.superuser_dsn("postgres")).close()
                return
            except psycopg2.OperationalError:
                time.sleep(0.05)
        raise InfraError.of("postgres_start_slow", seconds=seconds, log=self.log_file)

    def stop(self, mode: StopMode = "fast", seconds: float = 30) -> None:
        """Stops the server in one of PostgreSQL's own modes, and kills it when that takes too long."""
        if self._child is None:
            return
        self.thaw()
        self._child.signal(_SIGNALS[mode])
        deadline = time.monotonic() + seconds
        while self._child.returncode is None and time.monotonic() < deadline:
            time.sleep(0.02)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the server process, as a crash would; waits until its own children have noticed."""
        if self._child is None:
            return
        processes = self._processes()
        self._child.kill()
        _signal_all(processes, signal.SIGCONT)  # the frozen notice nothing
        for left in psutil.wait_procs(processes, timeout=10)[1]:
            _signal_all([left], signal.SIGKILL)
        self._child = None

    def freeze(self) -> None:
        """SIGSTOP to the server and all its children: connections stay open and silent, new ones are not answered."""
        if self._child is not None:
            self._child.signal(signal.SIGSTOP)  # first, so that it makes no more of them
            _signal_all(self._processes(), signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT to all of them."""
        _signal_all(self._processes(), signal.SIGCONT)

    def _processes(self) -> list[psutil.Process]:
        """The server and its children."""
        if self._child is None:
            return []
        try:
            server = psutil.Process(self._child.pid)
            return [server, *server.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _signal_all(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _is_postgres(pid: int) -> bool:
    try:
        return "postgres" in psutil.Process(pid).name()
    except psutil.NoSuchProcess:
        return False


def _write_secret(path: Path, text: str) -> None:
    """Writes a file that nobody else can read, from the first moment on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
