"""API processes and workers as children of this one, whatever servers they talk to."""

import json
import os
import sys
import time
import urllib.error
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from infra.errors import InfraError
from infra.loopback import opened
from infra.processes.child import Child, free_port

_POLL: Final = 0.05


class Service:
    """A process of ours with an HTTP port for its health."""

    def __init__(self, child: Child, base_url: str, settings: Mapping[str, str]) -> None:
        self._child = child
        self.base_url = base_url
        self.settings = settings  # SCANLINE_* as it was given them
        self.log_file = child.log_file
        self.log_start = child.log_start
        self.name = child.name

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """The exit code; None while it runs."""
        return self._child.returncode

    @property
    def metrics_url(self) -> str:
        return f"{self.base_url}/metrics"

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Waits for /readyz to answer 200. Raises InfraError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.returncode is not None:
                raise InfraError.of(
                    "process_start_failed", name=self.name, returncode=self.returncode, log=self.log_file
                )
            if self.is_ready():
                return
            time.sleep(_POLL)
        raise InfraError.of("process_not_ready", name=self.name, seconds=seconds, log=self.log_file)

    def is_ready(self) -> bool:
        """True where /readyz answers 200 now."""
        try:
            with opened(f"{self.base_url}/readyz", 2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def health(self) -> dict[str, Any]:
        """The body of /readyz, ready or not."""
        try:
            with opened(f"{self.base_url}/readyz", 2) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))

    def signal(self, number: int) -> None:
        self._child.signal(number)

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM; returns the exit code."""
        return self._child.stop(seconds)

    def kill(self) -> int:
        """SIGKILL."""
        return self._child.kill()


def _real(folder: Path) -> Path:
    """The folder by its whole name, which goes into the servers' settings. Raises InfraError."""
    found = os.path.realpath(
        folder
    )  # Path.resolve would raise where links lead in a circle; making the folder shows that
    if found != os.fsencode(found).decode("utf-8", "replace"):
        shown = os.fsencode(found).decode("utf-8", "backslashreplace")
        raise InfraError.of("path_not_utf8", path=shown)
    return Path(found)


class Processes(ABC):
    """Starts and stops them. `data_dir` takes their logs."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = _real(data_dir)
        self.services: list[Service] = []
        self._names: dict[str, int] = {}

    @property
    @abstractmethod
    def env(self) -> Mapping[str, str]:
        """SCANLINE_* that name the servers, for the processes and for clients."""

    def start_api(self, env: Mapping[str, str] | None = None, *, wait: bool = True) -> Service:
        """One more API process; `env` overrides settings."""
        service = self._start_api(env or {})
        if wait:
            service.wait_until_ready()
        return service

    def start_worker(self, env: Mapping[str, str] | None = None, *, wait: bool = True) -> Service:
        """One more worker; `env` overrides settings."""
        service = self._start_worker(env or {})
        if wait:
            service.wait_until_ready()
        return service

    def start_exporter(self, env: Mapping[str, str] | None = None, *, wait: bool = True) -> Service:
        """An exporter; `env` overrides settings."""
        service = self._start_exporter(env or {})
        if wait:
            service.wait_until_ready()
        return service

    def _start_api(self, env: Mapping[str, str]) -> Service:
        port = free_port()
        own = {"SCANLINE_API_HOST": "127.0.0.1", "SCANLINE_API_PORT": str(port)}
        # no load balancer stands before it that would have to look away first
        return self._spawn("api", "producer_api", port, {**own, "SCANLINE_API_DRAIN_SECONDS": "0", **env})

    def _start_worker(self, env: Mapping[str, str]) -> Service:
        port = free_port()
        own = {"SCANLINE_WORKER_METRICS_PORT": str(port), "SCANLINE_STREAM_DATA_DIR": str(self.data_dir / "faust")}
        return self._spawn("worker", "stream_app", port, {**own, **env})

    def _start_exporter(self, env: Mapping[str, str]) -> Service:
        port = free_port()
        return self._spawn("exporter", "operations.exporter", port, {"SCANLINE_EXPORTER_PORT": str(port), **env})

    def _spawn(self, kind: str, module: str, port: int, env: Mapping[str, str]) -> Service:
        number = self._names[kind] = self._names.get(kind, 0) + 1
        # the log is UTF-8 whatever the terminal that this was started from
        whole = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **self.env, **env}
        child = Child(
            f"{kind}-{number}",
            [sys.executable, "-m", module],
            log_file=self.data_dir / "logs" / f"{kind}-{number}.log",
            env=whole,
        )
        settings = {name: value for name, value in whole.items() if name.startswith("SCANLINE_")}
        service = Service(child, f"http://127.0.0.1:{port}", settings)
        self.services.append(service)
        return service

    @property
    def apis(self) -> list[Service]:
        """Running API processes."""
        return [service for service in self.services if service.name.startswith("api") and service.returncode is None]

    @property
    def workers(self) -> list[Service]:
        """Running workers."""
        return [
            service for service in self.services if service.name.startswith("worker") and service.returncode is None
        ]

    def stop_services(self) -> None:
        """Stops those that still run, the youngest first."""
        for service in reversed(self.services):
            service.stop()
        self.services.clear()
