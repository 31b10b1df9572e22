"""The status topic may hold messages with a header name that is no UTF-8: the API knows their scans, and follows on."""

import json

import httpx
import pytest
from api_client import Tenant

from schemas.topics import status_key
from tests import header_names
from tests.helpers import STATUS, new_scan, wait_for
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
COUNT = 300  # so many that the interpreter has made each call often, and no longer looks what it left behind


async def test_their_scans_are_known_and_others_too(servers: Servers, http: httpx.Client, tenant: str) -> None:
    caller = Tenant(http, tenant)
    body = generator.body(generator.records(3, 1, tenant), "n")
    sent = caller.call("POST", "/scans", content=body, headers={"Content-Type": "application/json"})
    ended = caller.ended(sent.json()["scan_id"])
    scans = [new_scan() for _ in range(COUNT)]
    for scan in scans:
        value = json.dumps({**ended, "scan_id": scan}).encode()
        odd = [(b"\xff\xfe", b"1"), (b"ok", b"2")]
        await header_names.send(servers.bootstrap, 0, status_key(tenant, scan), [(value, odd)], STATUS)
    for scan in scans:
        wait_for(lambda scan=scan: http.get(f"{caller.base}/scans/{scan}").status_code == 200, "the API knows")  # type: ignore[misc]
    again = caller.call("POST", "/scans", content=body, headers={"Content-Type": "application/json"})
    assert caller.ended(again.json()["scan_id"])["status"] == "completed"
    assert http.get("/readyz").status_code == 200
