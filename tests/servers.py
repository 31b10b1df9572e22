"""The servers of the tests: those the environment names, else containers where a Docker engine answers, else native ones.

Servers that are named must be for tests alone: roles, tables and topics are made there, and records stay behind.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import docker
from docker.errors import DockerException
from sqlalchemy.engine import URL, make_url
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer

from infra.kafka.topics import reconcile, specs
from infra.postgres.cluster import DATABASE, ROLES, Urls
from infra.postgres.migrate import prepare_foreign
from infra.processes.child import free_port
from infra.processes.services import Processes
from infra.stack import Stack
from tests.stock_servers import lay, stock

KAFKA_VARIABLE: Final = "SCANLINE_TEST_KAFKA_BOOTSTRAP"
POSTGRES_VARIABLE: Final = "SCANLINE_TEST_POSTGRES_URL"  # of a superuser
_KAFKA_IMAGE: Final = "apache/kafka:4.3.1"
_POSTGRES_IMAGE: Final = "postgres:17-bookworm"


class Servers(Processes):
    """A Kafka and a PostgreSQL with topics, roles and tables, and the processes that tests start on them."""

    def __init__(self, data_dir: Path, bootstrap: str, urls: Urls, admin_dsn: str) -> None:
        super().__init__(data_dir)
        self.bootstrap = bootstrap
        self.urls = urls
        self.admin_dsn = admin_dsn

    @property
    def env(self) -> Mapping[str, str]:
        """See Processes."""
        return {
            "SCANLINE_KAFKA_BOOTSTRAP": self.bootstrap,
            "SCANLINE_POSTGRES_WRITE_URL": self.urls.write,
            "SCANLINE_POSTGRES_READ_URL": self.urls.read,
            "SCANLINE_POSTGRES_MIGRATE_URL": self.urls.migrate,
            "SCANLINE_POSTGRES_MONITOR_URL": self.urls.monitor or "",
        }


@contextmanager
def servers(data_dir: Path, stock_dir: Path) -> Iterator[Servers]:
    """Ready to be used; what was started is stopped at the end. Native ones are a copy of those made once in `stock_dir`."""
    bootstrap, postgres = os.environ.get(KAFKA_VARIABLE), os.environ.get(POSTGRES_VARIABLE)
    if (bootstrap is None) != (postgres is None):
        raise RuntimeError(f"set both {KAFKA_VARIABLE} and {POSTGRES_VARIABLE}, or neither")
    if bootstrap is not None and postgres is not None:
        yield from _running(_foreign(data_dir, bootstrap, postgres))
    elif docker_answers():
        with _kafka_container() as bootstrap, PostgresContainer(_POSTGRES_IMAGE) as container:
            yield from _running(_foreign(data_dir, bootstrap, container.get_connection_url()))
    else:
        lay(stock(stock_dir), data_dir)
        with Stack(data_dir) as stack:
            stack.start_servers()
            postgres_server = stack.postgres
            made = Servers(data_dir, stack.kafka.bootstrap, postgres_server.urls, postgres_server.superuser_dsn())
            yield from _running(made)


def _running(made: Servers) -> Iterator[Servers]:
    try:
        yield made
    finally:
        made.stop_services()


def _foreign(data_dir: Path, bootstrap: str, admin_url: str) -> Servers:
    admin = make_url(admin_url)
    urls = Urls(*(_role_url(admin, role) for role in ROLES))
    prepare_foreign(urls, admin_url)
    reconcile(bootstrap, specs(), apply=True)
    dsn = admin.set(drivername="postgresql", database=DATABASE)
    return Servers(data_dir, bootstrap, urls, dsn.render_as_string(hide_password=False))


def _role_url(admin: URL, role: str) -> str:
    """The role's password is new in every run: these servers are nobody else's."""
    url = admin.set(
        drivername="postgresql+psycopg2", username=role, password=secrets.token_urlsafe(12), database=DATABASE
    )
    return url.render_as_string(hide_password=False)


def docker_answers() -> bool:
    """Whether a Docker engine is there to be used."""
    try:
        client = docker.from_env(timeout=3)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except DockerException:
        return False


@contextmanager
def _kafka_container() -> Iterator[str]:
    """Its port is chosen beforehand: a broker must know the address it tells its clients."""
    port = free_port()
    container = (
        DockerContainer(_KAFKA_IMAGE)
        .with_bind_ports(9092, port)
        .with_env("KAFKA_NODE_ID", "1")
        .with_env("KAFKA_PROCESS_ROLES", "broker,controller")
        .with_env("KAFKA_LISTENERS", "PLAINTEXT://:9092,CONTROLLER://:9093")
        .with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://127.0.0.1:{port}")
        .with_env("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER")
        .with_env("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT")
        .with_env("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@127.0.0.1:9093")
        .with_env("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1")
        .with_env("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1")
        .with_env("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1")
        .with_env("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
    )
    with container:
        yield f"127.0.0.1:{port}"
