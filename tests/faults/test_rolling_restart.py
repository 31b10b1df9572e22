"""A new version is deployed while scans arrive: every process is replaced by a new one, and no client sees an error.

Clients reach the API as through a balancer: one that looks at /readyz now and then, sends requests only to those that
answered 200 at its last look, and repeats nothing.
"""

import threading
from collections.abc import Sequence
from functools import partial
from typing import Final

import httpx
import pytest

from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import Database
from tests.load import LONG, Load, Scan, assert_exactly, keys_of, wait_for_messages
from tests.submissions import JSON, NDJSON, HeldUpload, scans_of, wait_until_taken
from tests.thread_block import ThreadBlock
from trials import generator

pytestmark = pytest.mark.long

CLIENTS: Final = 3
PAUSE_SECONDS: Final = 0.05  # of a client, after each scan
LOOK_SECONDS: Final = 0.2  # between two looks at /readyz
DRAIN: Final = {"SCANLINE_API_DRAIN_SECONDS": "3"}  # until then a balancer has looked again, also on a slow machine
UPLOAD: Final = 40  # records of an upload that is under way when its API is told to end


class Balancer(ThreadBlock):
    """Hands out APIs that were ready at the last look, in turn. A context manager."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = list(services)
        self._ready = list(services)
        self._turn = 0
        self._lock = threading.Lock()
        super().__init__([self._look])

    def _look(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            ready = [service for service in list(self._services) if service.is_ready()]
            with self._lock:
                self._ready = ready

    def add(self, service: Service) -> None:
        self._services.append(service)

    def choose(self) -> Service:
        with self._lock:
            self._turn += 1
            return self._ready[self._turn % len(self._ready)]


class Clients(ThreadBlock):
    """Each submits a scan and asks for its status, again and again, over connections that are kept. A context manager."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        super().__init__([partial(self._run, number) for number in range(CLIENTS)])
        self._http: dict[str, httpx.Client] = {}
        self.published: dict[Scan, Sequence[str]] = {}
        self.errors: list[str] = []
        self.served: set[str] = set()  # names of the APIs that accepted something

    def _run(self, number: int) -> None:
        tenant, seed = f"client-{number}", 0
        with httpx.Client(timeout=60) as http:
            while not self._stopping.wait(PAUSE_SECONDS):
                seed += 1
                try:
                    self._one(http, tenant, generator.records(100, seed, tenant))
                except (httpx.HTTPError, LookupError, ZeroDivisionError) as error:
                    self.errors.append(f"{tenant}: {error!r}")

    def _one(self, http: httpx.Client, tenant: str, lines: list[bytes]) -> None:
        service = self._balancer.choose()
        answer = http.post(service.base_url + scans_of(tenant), content=generator.body(lines), headers=JSON)
        if answer.status_code != 202:
            self.errors.append(f"{service.name}: {answer.status_code} {answer.text}")
            return
        scan = answer.json()["scan_id"]
        self.published[tenant, scan] = keys_of(lines)
        self.served.add(service.name)
        other = self._balancer.choose()  # another one, as a rule: it knows the scan too
        status = http.get(f"{other.base_url}{scans_of(tenant)}/{scan}")
        if status.status_code != 200:
            self.errors.append(f"{other.name}: {status.status_code} {status.text}")


def replace_api(stack: Stack, balancer: Balancer, old: Service) -> tuple[Scan, list[str]]:
    """By a new one; an upload that the old one has begun to read ends well. Returns that scan and its keys."""
    new = stack.start_api(DRAIN)
    balancer.add(new)
    tenant = f"upload-to-{old.name}"
    lines = generator.records(UPLOAD, 1, tenant)
    begin, rest = (b"".join(line + b"\n" for line in part) for part in (lines[:20], lines[20:]))
    with HeldUpload(old.base_url, tenant, begin, NDJSON) as upload:
        with httpx.Client(base_url=old.base_url, timeout=60) as http:
            wait_until_taken(http, tenant)
        stopping = threading.Thread(target=old.stop, args=(60,))
        stopping.start()
        answer = upload.finish(rest)
        stopping.join()
    assert answer.status_code == 202, answer.text
    return (tenant, answer.json()["scan_id"]), keys_of(lines)


def test_every_process_is_replaced_under_load(stack: Stack) -> None:
    apis = [stack.start_api(DRAIN), stack.start_api(DRAIN)]
    workers = [stack.start_worker(), stack.start_worker()]
    uploads: dict[Scan, Sequence[str]] = {}
    with (
        Database(stack.postgres.superuser_dsn()) as database,
        Load(stack.kafka.bootstrap, tenants=4, pause=1.0) as load,
        Balancer(apis) as balancer,
        Clients(balancer) as clients,
    ):
        wait_for_messages(database, 120)
        for old in apis:
            scan, keys = replace_api(stack, balancer, old)
            uploads[scan] = keys
            wait_for_messages(database, 120)
        for old in workers:
            stack.start_worker().wait_until_ready(LONG)
            wait_for_messages(database, 120)
            assert old.stop(60) == 0
            wait_for_messages(database, 120)
    assert clients.errors == []
    assert clients.served == {f"api-{number}" for number in range(1, 5)}
    assert_exactly(stack, load.published | clients.published | uploads)
    assert [service.returncode for service in stack.apis + stack.workers] == [None] * 4
