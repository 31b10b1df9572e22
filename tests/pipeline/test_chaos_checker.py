"""A rich mix of submissions has no findings and adds up; every fault planted into what it left is found and named."""

import time
import uuid

import pytest

from infra.chaos.checker import check, wait_until_drained
from infra.chaos.findings import Report
from infra.chaos.history import History
from infra.chaos.load import DIRECT_WAYS, HTTP_WAYS, Load
from infra.processes import Service
from tests.servers import Servers

_PATIENCE = 120.0


class Ran:
    """A load that is over, and its history, read back from the file."""

    def __init__(self, servers: Servers, history: History) -> None:
        self.servers = servers
        self.history = history

    def check(self, status_seconds: float = 20.0) -> Report:
        return check(self.history, self.servers.admin_dsn, self.servers.bootstrap, status_seconds=status_seconds)

    def drained(self) -> float | None:
        return wait_until_drained(self.history, self.servers.admin_dsn, self.servers.bootstrap, _PATIENCE)


@pytest.fixture(scope="module")
def ran(servers: Servers, worker: Service, api: Service, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    file = tmp_path_factory.mktemp("chaos") / "history.jsonl"
    name = f"chaos-{uuid.uuid4().hex[:8]}"
    written = History(file)
    load = Load(written, [api.base_url], servers.bootstrap, seed=5, rate=900, tenants=8, http_threads=4, name=name)
    with load:
        time.sleep(4)
        load.stop_offering()
        for way in (*HTTP_WAYS, *DIRECT_WAYS):  # each at least once, whatever the dice said
            load.one_scan(way, 120)
        load.one_scan("ndjson", 2_300)
    written.close()
    made = Ran(servers, History.load(file))
    assert made.drained() is not None
    return made


def test_a_clean_run_has_no_findings_and_adds_up(ran: Ran) -> None:
    report = ran.check()
    assert not report.findings, list(map(str, report.findings[:20]))
    assert report.passed
    assert report.acknowledged > 4_000
    assert report.stored and report.rejected and report.duplicates and report.redelivered
    assert report.cancelled and report.dead_letters and ran.history.told
    assert report.stored + report.rejected + report.duplicates == report.acknowledged + report.maybe
    assert {offer.way for offer in ran.history.offers.values()} == HTTP_WAYS.keys() | DIRECT_WAYS.keys()
