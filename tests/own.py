"""Fixtures of a test module that has servers to itself, in place of those that all tests share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def servers_of_its_own() -> tuple[Any, Any, Any, Any]:
    """The module's fixtures `servers`, `worker`, `database` and `statuses`: for tests that read whole topics, which would take
    longer the more other tests have sent."""

    @pytest.fixture(scope="module")
    def servers(tmp_path_factory: pytest.TempPathFactory, stock_dir: Path) -> Iterator[Servers]:
        with start_servers(tmp_path_factory.mktemp("servers"), stock_dir) as running:
            yield running

    @pytest.fixture(scope="module")
    def worker(servers: Servers) -> Service:
        return servers.start_worker()

    @pytest.fixture(scope="module")
    def database(servers: Servers) -> Iterator[Database]:
        with Database(servers.admin_dsn) as opened:
            yield opened

    @pytest.fixture(scope="module")
    def statuses(servers: Servers) -> Iterator[StatusTopic]:
        with StatusTopic(servers.bootstrap) as opened:
            yield opened

    return servers, worker, database, statuses
