"""The sink on real PostgreSQL keeps the sinks' contract (tests/sink_contract.py)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from sinks.postgres import PostgresSink
from sinks.postgres.engine import write_engine
from tests.helpers import Database
from tests.refusals import raising
from tests.servers import Servers
from tests.sink_contract import Row, SinkContract, Store


class Tables:
    """A pipeline and a tenant of its own."""

    def __init__(self, sink: PostgresSink, database: Database, tenant: str) -> None:
        self.sink = sink
        self.tenant = tenant
        self._database = database

    def rows(self, scan: str) -> list[Row]:
        found = self._database.activities(self.tenant, scan)
        return [Row(*(row[name] for name in Row._fields)) for row in found]

    def rejections(self, scan: str) -> list[int | None]:
        return [row["record_index"] for row in self._database.rejected(self.tenant, scan)]

    def breaking(self) -> AbstractContextManager[None]:
        """The last statement before the commit is refused, as on a full disk."""
        return raising(self._database, "audit_log", f"NEW.tenant_id = '{self.tenant}'", "53100")


class TestPostgres(SinkContract):
    """As a worker has it."""

    @pytest.fixture
    def store(self, servers: Servers, database: Database, tenant: str) -> Iterator[Store]:
        sink = PostgresSink(write_engine(servers.urls.write, connections=2, deadline_seconds=30), tenant)
        yield Tables(sink, database, tenant)
        sink.close()
