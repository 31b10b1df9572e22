"""Fixtures on servers: those that all tests share, and those of a test module that has servers to itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import Database, StatusTopic
from tests.servers import Servers
from tests.servers import servers as start_servers


def looks_at_own() -> tuple[Any, Any]:
    """The module's fixtures `database` and `statuses`, on its fixture `own`."""

    @pytest.fixture(scope="module")
    def database(own: Stack) -> Iterator[Database]:
        with Database(own.postgres.superuser_dsn()) as opened:
            yield opened

    @pytest.fixture(scope="module")
    def statuses(own: Stack) -> Iterator[StatusTopic]:
        with StatusTopic(own.kafka.bootstrap) as opened:
            yield opened

    return database, statuses


def fixtures_on_servers(scope: Literal["session", "module"]) -> tuple[Any, Any, Any, Any]:
    """The fixtures `servers`, `worker`, `database` and `statuses`: of all tests, or of a module that has them to itself because
    its tests read whole topics, which would take longer the more other tests have sent."""

    @pytest.fixture(scope=scope)
    def servers(tmp_path_factory: pytest.TempPathFactory, stock_dir: Path) -> Iterator[Servers]:
        """Kafka and PostgreSQL."""
        with start_servers(tmp_path_factory.mktemp("servers"), stock_dir) as running:
            yield running

    @pytest.fixture(scope=scope)
    def worker(servers: Servers) -> Service:
        """The worker on them."""
        return servers.start_worker()

    @pytest.fixture(scope=scope)
    def database(servers: Servers) -> Iterator[Database]:
        """What is in PostgreSQL."""
        with Database(servers.admin_dsn) as opened:
            yield opened

    @pytest.fixture(scope=scope)
    def statuses(servers: Servers) -> Iterator[StatusTopic]:
        """What scan.status.v1 says."""
        with StatusTopic(servers.bootstrap) as opened:
            yield opened

    return servers, worker, database, statuses
