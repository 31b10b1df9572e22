"""The whole system as child processes on free ports, for `up`, the demo, the benchmark and the tests."""

import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.kafka.broker import KafkaBroker
from infra.kafka.topics import reconcile, specs
from infra.postgres.cluster import PostgresCluster
from infra.postgres.migrate import prepare
from infra.processes.folder_lock import DataFolderLock
from infra.processes.services import Processes
from infra.settings import InfraSettings


class Stack(Processes):
    """Kafka, PostgreSQL, API processes and workers below one data folder. A context manager that stops what it started."""

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        api_processes: int = 1,
        workers: int = 1,
        fresh: bool = False,
        partitions: int = 12,
        exporter: bool = False,
    ) -> None:
        """`fresh` throws the state below the data folder away first. `partitions` of scan.records.v1 and scan.status.v1.
        `exporter`: start one, too."""
        self.settings = InfraSettings()
        super().__init__(data_dir or self.settings.data_dir)
        self._api_processes = api_processes
        self._workers = workers
        self._partitions = partitions
        self._exporter = exporter
        self._lock = DataFolderLock(self.data_dir)
        self._lock.take()
        if fresh:
            for name in ("kafka", "postgres", "logs"):
                shutil.rmtree(self.data_dir / name, ignore_errors=True)
        self.kafka = KafkaBroker(self.data_dir / "kafka", self.settings.kafka_libs.resolve(), self.settings.java())
        self.postgres = PostgresCluster(self.data_dir / "postgres")

    @property
    def env(self) -> dict[str, str]:
        """SCANLINE_* for the processes and for clients."""
        urls = self.postgres.urls
        return {
            "SCANLINE_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "SCANLINE_POSTGRES_WRITE_URL": urls.write,
            "SCANLINE_POSTGRES_READ_URL": urls.read,
            "SCANLINE_POSTGRES_MIGRATE_URL": urls.migrate,
            "SCANLINE_POSTGRES_MONITOR_URL": urls.monitor or "",
            "SCANLINE_EXPORTER_KAFKA_DIR": str(self.data_dir / "kafka"),
            "SCANLINE_EXPORTER_POSTGRES_DIR": str(self.data_dir / "postgres"),
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
        started += [self._start_exporter({})] if self._exporter else []
        for service in started:
            service.wait_until_ready()
        return self

    def stop(self) -> None:
        """Everything this stack started, in reverse order; several at a time where order does not matter."""
        self.stop_services()
        self.kafka.stop()
        self.postgres.stop()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
