"""Fixtures on real servers. One Kafka, one PostgreSQL, one API and one worker serve every test that breaks none of them;
a test keeps to tenants of its own."""

import os
import re
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from hypothesis import settings

from infra.processes.services import Service
from infra.stack import Stack
from tests.own import fixtures_on_servers
from tests.servers import Servers
from tests.stock_servers import copied_stack

# No test asserts how long anything takes: the machine may be busy with others.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# The tests' own clients talk to this machine alone. What the commands make of a proxy is tested in tests/commands.py.
for _name in [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy")]:
    del os.environ[_name]

# What a script starts in the background ignores Ctrl-C, and so would every command that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

COLLECTED: Final = pytest.StashKey[list[pytest.Item]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps what was collected, before -m takes away what shall not run."""
    config.stash[COLLECTED] = list(items)


@pytest.fixture(scope="session")
def stock_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where servers that are made once lie; one place for all test processes of a run."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "stock"


servers, worker, database, statuses = fixtures_on_servers("session")


@pytest.fixture(scope="session")
def api(servers: Servers) -> Service:
    """The API that every test shares."""
    return servers.start_api()


@pytest.fixture
def http(api: Service) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=api.base_url, timeout=60) as client:
        yield client


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    """A tenant that no other test has."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    return f"{name}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def stack(tmp_path: Path, stock_dir: Path) -> Iterator[Stack]:
    """Native servers of this test alone, running, to be broken at will; of what they leave only the logs are kept."""
    with copied_stack(tmp_path / "stack", stock_dir) as running:
        yield running
