"""The whole system as child processes on free ports, for `up`, the demo, the benchmark and the tests."""

import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from infra.children import Child, free_port
from infra.errors import InfraError
from infra.kafka.broker import KafkaBroker
from infra.kafka.topics import reconcile, specs
from infra.locking import DataFolderLock
from infra.postgres.cluster import PostgresCluster
from infra.postgres.migrate import prepare
from infra.settings import InfraSettings

_POLL: Final = 0.05


class Service:
    """A process of ours with an HTTP port that tells its health."""

    def __init__(self, child: Child, base_url: str) -> None:
        self._child = child
        self.base_url = base_url
        self.log_file = child.log_file
        self.name = child.name

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._child.returncode

    @property
    def metrics_url(self) -> str:
        return f"{self.base_url}/metrics"

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Waits for /readyz to answer 200. Raises InfraError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.returncode is not None:
                raise InfraError(
                    f"«{self.name}» đã dừng khi khởi động (mã {self.returncode}); xem {self.log_file}.",
                    f"«{self.name}» ended while starting (code {self.returncode}); see {self.log_file}.",
                )
            if self.is_ready():
                return
            time.sleep(_POLL)
        raise InfraError(
            f"«{self.name}» chưa sẵn sàng sau {seconds:.0f} giây; xem {self.log_file}.",
            f"«{self.name}» was not ready within {seconds:.0f} s; see {self.log_file}.",
        )

    def is_ready(self) -> bool:
        """Whether /readyz answers 200 now."""
        try:
            with urllib.request.urlopen(f"{self.base_url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def health(self) -> dict[str, Any]:
        """The body of /readyz, ready or not."""
        try:
            with urllib.request.urlopen(f"{self.base_url}/readyz", timeout=2) as answer:
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


class Stack:
    """Kafka, PostgreSQL, API processes and workers below one data folder. A context manager that stops what it started."""

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        api_processes: int = 1,
        workers: int = 1,
        fresh: bool = False,
        partitions: int = 12,
    ) -> None:
        """`fresh` throws the state below the data folder away first. `partitions` of scan.records.v1 and scan.status.v1."""
        self.settings = InfraSettings()
        self.data_dir = (data_dir or self.settings.data_dir).resolve()
        self._api_processes = api_processes
        self._workers = workers
        self._partitions = partitions
        self._lock = DataFolderLock(self.data_dir)
        self._lock.take()
        if fresh:
            for name in ("kafka", "postgres", "logs"):
                shutil.rmtree(self.data_dir / name, ignore_errors=True)
        self.kafka = KafkaBroker(self.data_dir / "kafka", self.settings.kafka_libs.resolve(), self.settings.java())
        self.postgres = PostgresCluster(self.data_dir / "postgres")
        self.services: list[Service] = []
        self._names: dict[str, int] = {}

    @property
    def env(self) -> dict[str, str]:
        """SCANLINE_* for the processes and for clients."""
        urls = self.postgres.urls
        return {
            "SCANLINE_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "SCANLINE_POSTGRES_WRITE_URL": urls.write,
            "SCANLINE_POSTGRES_READ_URL": urls.read,
            "SCANLINE_POSTGRES_MIGRATE_URL": urls.migrate,
        }

    def start_servers(self) -> None:
        """Kafka and PostgreSQL side by side, then tables and topics. Raises InfraError."""
        self.kafka.start()
        self.postgres.start()
        self.postgres.wait_until_ready()
        prepare(self.postgres)
        self.kafka.wait_until_ready()
        reconcile(self.kafka.bootstrap, specs(self._partitions), apply=True)

    def start(self) -> Self:
        """Everything, ready."""
        self.start_servers()
        started = [self._start_api({}) for _ in range(self._api_processes)]
        started += [self._start_worker({}) for _ in range(self._workers)]
        for service in started:
            service.wait_until_ready()
        return self

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

    def _start_api(self, env: Mapping[str, str]) -> Service:
        port = free_port()
        return self._spawn(
            "api", "producer_api", port, {"SCANLINE_API_HOST": "127.0.0.1", "SCANLINE_API_PORT": str(port), **env}
        )

    def _start_worker(self, env: Mapping[str, str]) -> Service:
        port = free_port()
        own = {"SCANLINE_WORKER_METRICS_PORT": str(port), "SCANLINE_STREAM_DATA_DIR": str(self.data_dir / "faust")}
        return self._spawn("worker", "stream_app", port, {**own, **env})

    def _spawn(self, kind: str, module: str, port: int, env: Mapping[str, str]) -> Service:
        number = self._names[kind] = self._names.get(kind, 0) + 1
        child = Child(
            f"{kind}-{number}",
            [sys.executable, "-m", module],
            log_file=self.data_dir / "logs" / f"{kind}-{number}.log",
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.env, **env},
        )
        service = Service(child, f"http://127.0.0.1:{port}")
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

    def stop(self) -> None:
        """Everything this stack started, in reverse order; several at a time where order does not matter."""
        for service in reversed(self.services):
            service.stop()
        self.services.clear()
        self.kafka.stop()
        self.postgres.stop()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
