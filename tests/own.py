"""Looks at a stack that a test module has to itself, its fixture `own`, in place of those at the servers that all tests share."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.stack import Stack
from tests.helpers import Database, StatusTopic


def looks_at_own() -> tuple[Any, Any]:
    """The module's fixtures `database` and `statuses`."""

    @pytest.fixture(scope="module")
    def database(own: Stack) -> Iterator[Database]:
        with Database(own.postgres.superuser_dsn()) as opened:
            yield opened

    @pytest.fixture(scope="module")
    def statuses(own: Stack) -> Iterator[StatusTopic]:
        with StatusTopic(own.kafka.bootstrap) as opened:
            yield opened

    return database, statuses
