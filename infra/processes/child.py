"""Child processes that never outlive us."""

import ctypes
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_OUTGOING_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_libc = ctypes.CDLL(None)
_taken: dict[int, socket.socket] = {}  # port -> what keeps it ours
# A child's death signal comes when the *thread* that made it ends: one thread makes them all, and lives as long as we do.
_maker: Final = ThreadPoolExecutor(1, "children")


def free_port() -> int:
    """A port on loopback that nobody listens on, and that no process of ours has been given while this one lives.

    Below the range the kernel takes outgoing ports from: a server that is stopped and started again on its port must
    not find it taken by a client's connection, least of all by a client that met itself while trying to reach that
    port."""
    lowest_outgoing = int(_OUTGOING_PORTS.read_text().split()[0])
    candidates = range(10_000, lowest_outgoing) if lowest_outgoing > 12_000 else range(20_000, 32_000)
    while True:
        port = secrets.choice(candidates)
        if port not in _taken and (claim := _claim(port)) is not None:
            if is_free(port):
                _taken[port] = claim
                return port
            claim.close()


def _claim(port: int) -> socket.socket | None:
    """Other processes that look for ports see it, and the system takes it back when this one ends, however it ends. The
    port itself cannot be held: whoever it is for is to listen on it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0scanline-port-{port}")  # an abstract name, unix(7): in no folder, and nobody's twice
    except OSError:
        claim.close()
        return None
    return claim


def is_free(port: int) -> bool:
    """True where a server could listen on this port of loopback now."""
    with socket.socket() as probe:
        # as the servers do: a connection that is still closing is no obstacle
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Child:
    """A process in a session of its own (Ctrl-C is ours to pass on), its output added to a file.

    `death_signal` reaches it when this process ends, however it ends.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_file: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        death_signal: int = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.log_file = log_file
        log_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_start = log_file.stat().st_size if log_file.exists() else 0  # what is before it is of an earlier run
        with log_file.open("ab") as log:
            self._process = _maker.submit(
                subprocess.Popen,
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(os.environ if env is None else env),
                cwd=cwd,
                start_new_session=True,
                # between fork and exec, and so nothing but one system call
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, death_signal),
            ).result()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self.returncode is None:
            self._process.send_signal(number)

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM, and SIGKILL when that takes too long. Returns the exit code."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # one that was frozen would not hear it
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL, and waits."""
        self.signal(signal.SIGKILL)
        return self._process.wait()
