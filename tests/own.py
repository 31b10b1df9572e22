"""Fixtures on servers: those that all tests share, and those of a test module that has servers to itself."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import Database, StatusTopic
from tests.servers import Servers
from tests.servers import servers as start_servers
from tests.stock_servers import copied_stack

Scope = Literal["session", "module"]


def _outside_views(
    fixture: str, scope: Scope, dsn: Callable[[Any], str], bootstrap: Callable[[Any], str]
) -> tuple[Any, Any]:
    """The fixtures `database` and `statuses`, on the servers that the fixture of this name gives."""

    @pytest.fixture(scope=scope)
    def database(request: pytest.FixtureRequest) -> Iterator[Database]:
        """What is in PostgreSQL."""
        with Database(dsn(request.getfixturevalue(fixture))) as opened:
            yield opened

    @pytest.fixture(scope=scope)
    def statuses(request: pytest.FixtureRequest) -> Iterator[StatusTopic]:
        """What scan.status.v1 says."""
        with StatusTopic(bootstrap(request.getfixturevalue(fixture))) as opened:
            yield opened

    return database, statuses


def stack_of_module() -> Any:
    """The fixture `servers_alone` of a module: native servers with nothing of ours on them, for tests that leave them as they were
    (the fixture `stack` gives each test its own, to be broken)."""

    @pytest.fixture(scope="module")
    def servers_alone(tmp_path_factory: pytest.TempPathFactory, stock_dir: Path) -> Iterator[Stack]:
        """Running."""
        with copied_stack(tmp_path_factory.mktemp("alone") / "stack", stock_dir) as running:
            yield running

    return servers_alone


def views_of_own() -> tuple[Any, Any]:
    """The module's fixtures `database` and `statuses`, on its fixture `own`, which is a Stack."""
    return _outside_views("own", "module", lambda own: own.postgres.superuser_dsn(), lambda own: own.kafka.bootstrap)


def fixtures_on_servers(scope: Scope) -> tuple[Any, Any, Any, Any]:
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

    views = _outside_views("servers", scope, lambda servers: servers.admin_dsn, lambda servers: servers.bootstrap)
    return servers, worker, *views
