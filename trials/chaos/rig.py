"""Real servers and processes that can be broken: every connection runs through a link, and disks can be small."""

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sqlalchemy.engine import make_url

from infra.errors import InfraError
from infra.kafka.cluster import KafkaCluster
from infra.kafka.topics import reconcile, specs
from infra.postgres.cluster import PostgresCluster
from infra.postgres.migrate import prepare
from infra.processes.child import free_port
from infra.processes.folder_lock import DataFolderLock
from infra.processes.services import Processes, Service
from infra.settings import InfraSettings
from trials.chaos.clocks import Clock, can_jump
from trials.chaos.disks import Disk, can_mount, mounted_below, unmount
from trials.chaos.links import Hop, Link

_KAFKA_LINKS: Final = {"api-kafka": "API", "worker-kafka": "WORKER", "client-kafka": "CLIENT"}  # and listeners
_POSTGRES_LINKS: Final = ("api-postgres", "worker-postgres")
_SMALLEST_WAL_MB: Final = 64


class Rig(Processes):
    """Kafka, PostgreSQL, API processes and workers below one data folder. A context manager that stops all it started,
    frozen or not, and unmounts its disks.

    Links: `api-kafka`, `worker-kafka`, `client-kafka` (direct publishers), `api-postgres`, `worker-postgres`, and for
    each API process `client-api-1`, `client-api-2`, ... Whoever checks connects past them: `admin_bootstrap`,
    `admin_dsn`, `env`. Each process has a clock of its own, where `clocks.can_jump`."""

    def __init__(
        self,
        data_dir: Path,
        *,
        brokers: int = 1,
        partitions: int = 12,
        kafka_disk_mb: int | None = None,
        postgres_disk_mb: int | None = None,
        postgres_wal_disk_mb: int | None = None,
        api_env: Mapping[str, str] | None = None,
        worker_env: Mapping[str, str] | None = None,
        kafka_whole_heap: bool = False,
        kafka_libs: Path | None = None,
        fresh: bool = True,
    ) -> None:
        """`*_disk_mb`: MiB of the disk below the first broker's log, the whole cluster, or its write-ahead log alone,
        which takes root's rights (`disks.can_mount`). `api_env`, `worker_env`: settings of every process of that kind.
        `kafka_whole_heap`: see KafkaBroker. `kafka_libs`: jars of another version of Kafka. `fresh` throws away what is
        below the folder; without it, only what lies on no small disk is still there."""
        settings = InfraSettings()
        super().__init__(data_dir)
        self._partitions = partitions
        self._env_of = {"api": dict(api_env or {}), "worker": dict(worker_env or {})}
        self._lock = DataFolderLock(self.data_dir)
        self._lock.take()
        self._clear(fresh)
        self.kafka = KafkaCluster(
            self.data_dir / "kafka",
            (kafka_libs or settings.kafka_libs).resolve(),
            settings.java(),
            brokers=brokers,
            listeners=list(_KAFKA_LINKS.values()),
            whole_heap=kafka_whole_heap,
        )
        self.disks: dict[str, Disk] = {}
        self._disk("kafka", self.kafka.brokers[0].log_dir, kafka_disk_mb)
        whole = self._disk("postgres", self.data_dir / "disks" / "postgres", postgres_disk_mb)
        wal = self._disk("postgres-wal", self.data_dir / "disks" / "postgres-wal", postgres_wal_disk_mb)
        self.postgres = PostgresCluster(
            self.data_dir / "postgres",
            disk=whole,
            wal_disk=wal,
            settings=_wal_settings(postgres_disk_mb, postgres_wal_disk_mb),
        )
        self.links: dict[str, Link] = {}
        self._api_links: dict[str, str] = {}  # of a process's name
        self._clocks: dict[str, Clock] = {}  # of a process's name
        self._make_server_links()

    def _clear(self, fresh: bool) -> None:
        """Removes what an earlier run left, which was killed before it could do so itself."""
        for left in mounted_below(self.data_dir):
            unmount(left)
        if fresh:
            for name in ("kafka", "postgres", "disks", "logs", "faust", "clocks"):
                shutil.rmtree(self.data_dir / name, ignore_errors=True)

    def _disk(self, name: str, folder: Path, size_mb: int | None) -> Path | None:
        if size_mb is None:
            return None
        if not can_mount():
            raise InfraError.of("chaos_disk_needs_root")
        self.disks[name] = Disk(folder, size_mb)
        return folder

    def _make_server_links(self) -> None:
        for at, name in enumerate(_KAFKA_LINKS):
            self._link(
                name, [Hop(broker.listeners[at].advertised, broker.listeners[at].port) for broker in self.kafka.brokers]
            )
        for name in _POSTGRES_LINKS:
            self._link(name, [Hop(free_port(), self.postgres.port)])

    def _link(self, name: str, hops: list[Hop]) -> Link:
        link = self.links[name] = Link(name, hops, self.data_dir / "logs" / f"link-{name}.log")
        return link

    @property
    def env(self) -> Mapping[str, str]:
        """SCANLINE_* that name the servers themselves, past the links."""
        return self._servers(self.kafka.bootstrap, None)

    def _servers(self, bootstrap: str, postgres_port: int | None) -> dict[str, str]:
        urls = {}
        for role, url in self.postgres.urls._asdict().items():
            there = make_url(url) if postgres_port is None else make_url(url).set(port=postgres_port)
            urls[f"SCANLINE_POSTGRES_{role.upper()}_URL"] = there.render_as_string(hide_password=False)
        return {"SCANLINE_KAFKA_BOOTSTRAP": bootstrap, **urls}

    @property
    def admin_bootstrap(self) -> str:
        """Every broker, past the links."""
        return self.kafka.bootstrap

    @property
    def admin_dsn(self) -> str:
        """The superuser's libpq connection string, past the links."""
        return self.postgres.superuser_dsn()

    @property
    def client_bootstrap(self) -> str:
        """The bootstrap address for direct publishers, through `client-kafka`."""
        return self.links["client-kafka"].bootstrap

    @property
    def api_urls(self) -> list[str]:
        """The URL of every API process that was started, through its link, whether it runs or not."""
        return [f"http://127.0.0.1:{link.port}" for name, link in self.links.items() if name.startswith("client-api-")]

    def start_servers(self) -> None:
        """Disks, links, Kafka and PostgreSQL, then tables and topics. Raises InfraError."""
        for disk in self.disks.values():
            disk.mount()
        self.kafka.start()
        self.postgres.start()
        for link in self.links.values():
            link.start()
        self.postgres.wait_until_ready()
        prepare(self.postgres)
        self.kafka.wait_until_ready()
        wanted = specs(self._partitions, self.kafka.min_insync)
        reconcile(self.kafka.bootstrap, wanted, apply=True, replication=self.kafka.replication)

    def start_api(
        self, env: Mapping[str, str] | None = None, *, wait: bool = True, replacing: Service | None = None
    ) -> Service:
        """One more API process behind a link of its own, or one in the place of another that ended: same port, same
        link."""
        if replacing is None:
            link = self._link(f"client-api-{len(self.api_urls) + 1}", [Hop(free_port(), free_port())])
            link.start()
        else:
            link = self.links[self._api_links[replacing.name]]
        servers = self._servers(self.links["api-kafka"].bootstrap, self.links["api-postgres"].port)
        port = link.hops[0].server
        own = {"SCANLINE_API_HOST": "127.0.0.1", "SCANLINE_API_PORT": str(port)}
        service = self._spawn("api", "producer_api", port, {**servers, **own, **self._env_of["api"], **(env or {})})
        self._api_links[service.name] = link.name
        if wait:
            service.wait_until_ready()
        return service

    def _start_worker(self, env: Mapping[str, str]) -> Service:
        servers = self._servers(self.links["worker-kafka"].bootstrap, self.links["worker-postgres"].port)
        return super()._start_worker({**servers, **self._env_of["worker"], **env})

    def _spawn(self, kind: str, module: str, port: int, env: Mapping[str, str]) -> Service:
        if not can_jump():
            return super()._spawn(kind, module, port, env)
        clock = Clock(self.data_dir / "clocks" / str(len(self._clocks)))
        service = super()._spawn(kind, module, port, {**clock.env, **env})
        self._clocks[service.name] = clock
        return service

    def clock_of(self, service: Service) -> Clock:
        """The clock of this process."""
        return self._clocks[service.name]

    def link_of(self, api: Service) -> Link:
        """The link between HTTP clients and this API process."""
        return self.links[self._api_links[api.name]]

    def heal(self) -> None:
        """Every link well, every disk with space. Processes are left as they are."""
        for link in self.links.values():
            link.heal()
        for disk in self.disks.values():
            disk.free()

    def stop(self) -> None:
        """Everything, by force: nothing here is kept. Whatever fails, the rest is still done."""
        with ExitStack() as steps:  # run from the last to the first
            steps.callback(self._lock.release)
            for disk in self.disks.values():
                steps.callback(disk.unmount)
            steps.callback(self.postgres.stop, "immediate", 5)
            steps.callback(self.kafka.kill)
            for link in self.links.values():
                steps.callback(link.stop)
            for service in self.services:
                steps.callback(service.kill)
        self.services.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _wal_settings(disk_mb: int | None, wal_disk_mb: int | None) -> dict[str, str]:
    """A write-ahead log that leaves a small disk room: it may take a quarter of a disk it shares, half of one of its
    own."""
    sizes = [size // part for size, part in ((disk_mb, 4), (wal_disk_mb, 2)) if size is not None]
    if not sizes:
        return {}
    return {"max_wal_size": f"{max(_SMALLEST_WAL_MB, min(sizes))}MB", "min_wal_size": "32MB"}
