"""A process that is told to end loses no request: /readyz says so first, everything else goes on, and what runs is finished."""

import json
import signal
from collections.abc import Iterator
from functools import partial
from typing import Final

import httpx
import psutil
import pytest
from sockets import Connection

from infra.processes.services import Service
from operations.body_lines import lines_of
from tests.helpers import Database, StatusTopic, assert_told, wait_for
from tests.load import keys_of
from tests.servers import Servers
from tests.submissions import HeldUpload, accepted, scans_of, submit, wait_until_taken
from tests.thread_block import ThreadBlock
from trials import generator

_DRAIN: Final = {"SCANLINE_API_DRAIN_SECONDS": "4"}
_LOOK_EVERY: Final = 0.2  # seconds, as a load balancer that is set to look often
_PAUSE: Final = 0.25  # of a sender between two scans


class Balancer(ThreadBlock):
    """Several senders on kept connections, each choosing in turn among the processes that said 200 on /readyz when last asked."""

    def __init__(self, services: list[Service], tenant: str, senders: int = 4) -> None:
        self._services = services
        self._tenant = tenant
        self._ready = set(services)
        super().__init__([self._look, *(partial(self._send, number) for number in range(senders))])
        self.sent: dict[str, list[str]] = {}  # accepted scans and their keys
        self.errors: list[str] = []

    def _look(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY):
            self._ready = {service for service in self._services if service.is_ready()}

    def _send(self, number: int) -> None:
        with httpx.Client(timeout=60) as http:
            turn = 0
            while not self._stopping.wait(_PAUSE):
                turn += 1
                chosen = sorted(self._ready, key=lambda service: service.name)
                lines = generator.records(20, turn, f"{self._tenant}-{number}")
                try:
                    url = chosen[turn % len(chosen)].base_url + scans_of(self._tenant)
                    answer = http.post(url, json={"records": [*map(json.loads, lines)]})
                    body = accepted(answer)
                    self.sent[body["scan_id"]] = keys_of(lines)
                    http.get(url.removesuffix("/scans") + "/scans/" + body["scan_id"]).raise_for_status()
                except (httpx.HTTPError, AssertionError, ZeroDivisionError) as error:
                    self.errors.append(f"{type(error).__name__}: {error}")

    def sends_more(self, scans: int) -> None:
        """Waits until so many more scans were accepted."""
        start = len(self.sent)
        wait_for(lambda: len(self.sent) >= start + scans or self.errors, f"{scans} more scans")


@pytest.fixture
def pair(servers: Servers) -> Iterator[list[Service]]:
    """Two API processes that drain."""
    services = [servers.start_api(_DRAIN) for _ in range(2)]
    yield services
    for service in services:
        service.kill()


def test_a_rolling_restart_is_seen_by_nobody(
    servers: Servers, worker: Service, pair: list[Service], database: Database, statuses: StatusTopic, tenant: str
) -> None:
    with Balancer(pair, tenant) as balancer:
        balancer.sends_more(20)
        for place in range(2):
            leaving = pair[place]
            leaving.signal(signal.SIGTERM)
            wait_for(lambda service=leaving: service.returncode is not None, "the process ends")
            pair[place] = servers.start_api(_DRAIN)
            balancer.sends_more(20)
    assert balancer.errors == []
    for scan, keys in balancer.sent.items():
        wait_for(lambda scan=scan: (database.scan(tenant, scan) or {}).get("status") == "completed", f"{scan} ends")
        assert database.keys(tenant, scan) == sorted(keys)
    assert len(database.rows("SELECT 1 FROM scans WHERE tenant_id = %s", tenant)) == len(balancer.sent)
    assert_told(database, statuses, [tenant])


def test_while_draining_readiness_is_gone_and_service_is_not(servers: Servers, worker: Service, tenant: str) -> None:
    service = servers.start_api({"SCANLINE_API_DRAIN_SECONDS": "6", "SCANLINE_API_HEARTBEAT_SECONDS": "1"})
    first, *rest = generator.records(30, 1, tenant)
    with (
        HeldUpload(service.base_url, tenant, first + b"\n", {}) as upload,
        httpx.Client(base_url=service.base_url, timeout=60) as http,
    ):
        scan = wait_until_taken(http, tenant)
        with http.stream("GET", f"{scans_of(tenant)}/{scan}/events") as events:
            lines = lines_of(events.iter_bytes())
            assert next(lines) == b"retry: 2000"
            service.signal(signal.SIGTERM)
            wait_for(lambda: not service.is_ready(), "/readyz says 503")
            assert service.health() == {"ok": False, "kafka": True, "statuses": True, "serving": False}
            answer = submit(http, f"{tenant}-late", b'{"records": [%b]}' % first)
            assert accepted(answer)["records"] == 1
            assert answer.headers["connection"] == "close"
            finished = upload.finish(b"\n".join(rest))
            assert accepted(finished)["records"] == 30
            assert finished.headers["connection"] == "close"
            told = list(lines)  # to its end, which is a whole answer and no broken one
    assert b"completed" in told[-2] or told[-2] == b": reconnect", told[-4:]
    wait_for(lambda: service.returncode is not None, "the process ends")


def test_followers_are_sent_elsewhere_at_the_end(servers: Servers, tenant: str, http: httpx.Client) -> None:
    service = servers.start_api({"SCANLINE_API_DRAIN_SECONDS": "1"})
    with (
        HeldUpload(str(http.base_url).rstrip("/"), tenant, generator.records(1, 1, tenant)[0] + b"\n", {}),
        httpx.Client(base_url=service.base_url, timeout=60) as own,
    ):
        scan = wait_until_taken(own, tenant)
        with own.stream("GET", f"{scans_of(tenant)}/{scan}/events") as events:
            lines = lines_of(events.iter_bytes())
            assert next(lines) == b"retry: 2000"
            service.signal(signal.SIGTERM)
            assert [line for line in lines if line][-1] == b": reconnect"
        wait_for(lambda: service.returncode is not None, "the process ends")


def test_an_upload_that_outlasts_the_end_is_asked_to_come_again(
    servers: Servers, worker: Service, database: Database, tenant: str
) -> None:
    service = servers.start_api({"SCANLINE_API_DRAIN_SECONDS": "0.2", "SCANLINE_API_SHUTDOWN_SECONDS": "1"})
    with httpx.Client(base_url=service.base_url, timeout=60) as http:
        with Connection(service.base_url) as upload:
            upload.post(scans_of(tenant))
            upload.chunk(generator.records(1, 1, tenant)[0] + b"\n")
            scan = wait_until_taken(http, tenant)
            service.signal(signal.SIGTERM)
            answer = upload.answer()
        wait_for(lambda: service.returncode is not None, "the process ends")
    assert (answer.status, answer.problem["code"]) == (503, "restarting")
    assert (answer.headers["retry-after"], answer.headers["connection"]) == ("5", "close")
    wait_for(lambda: (database.scan(tenant, scan) or {}).get("status") == "cancelled", "the broken scan is ended")


def test_several_processes_behind_one_port_drain_together(
    servers: Servers, worker: Service, database: Database, tenant: str
) -> None:
    service = servers.start_api({"SCANLINE_API_PROCESSES": "2", **_DRAIN})
    assert len(psutil.Process(service.pid).children()) >= 2
    other = servers.start_api(_DRAIN)
    with Balancer([service, other], tenant) as balancer:
        balancer.sends_more(10)
        service.signal(signal.SIGTERM)
        wait_for(lambda: service.returncode is not None, "the processes end")
        balancer.sends_more(10)
    other.kill()
    assert balancer.errors == []
    for scan, keys in balancer.sent.items():
        wait_for(lambda scan=scan: (database.scan(tenant, scan) or {}).get("status") == "completed", f"{scan} ends")
        assert database.keys(tenant, scan) == sorted(keys)
    assert "Traceback" not in service.log_file.read_text()
