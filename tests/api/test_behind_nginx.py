"""Behind a real nginx all records of a scan arrive, and its events as they happen, whatever the proxy makes of the request."""

import itertools
import re
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from api_client import Tenant
from framing import OFFERS, RIGHT, assert_stored, final_answer, records, send
from sockets import Connection

from infra.processes.child import Child, free_port
from infra.processes.services import Service
from infra.settings import PROJECT
from tests.helpers import FINAL
from tests.packages import program, wait_until_answers
from tests.submissions import HeldUpload, wait_until_taken
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
_DOCUMENTED: Final = re.search(
    r"```nginx\n(.+?)```", (PROJECT / "docs" / "operations.md").read_text("utf-8"), re.DOTALL
)
assert _DOCUMENTED is not None
_FOR_WEBSOCKET: Final = """
location / {{
    proxy_pass http://scanline;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header Host $http_host;
    client_max_body_size 0;
    proxy_request_buffering {buffering};
    proxy_buffering off;
}}
"""
LOCATIONS: Final = {
    "documented": _DOCUMENTED[1],
    "buffered": _FOR_WEBSOCKET.format(buffering="on"),
    "streamed": _FOR_WEBSOCKET.format(buffering="off"),
    "defaults": "location / { proxy_pass http://scanline; client_max_body_size 0; }",  # HTTP/1.0, all buffered
}
_SPLITS: Final = ("whole", "odd-pieces")
_CONFIGURATION: Final = """
daemon off;
master_process off;
pid nginx.pid;
events {{ }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' close;
    }}
    upstream scanline {{
        server {api};
        keepalive 8;
    }}
    {servers}
}}
"""


@pytest.fixture(scope="module")
def proxies(api: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The address of each kind of location, all in one nginx."""
    nginx = program("nginx")
    folder = tmp_path_factory.mktemp("nginx")
    ports = {name: free_port() for name in LOCATIONS}
    servers = "\n".join(f"server {{ listen 127.0.0.1:{ports[name]}; {LOCATIONS[name]} }}" for name in LOCATIONS)
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(api=api.base_url.removeprefix("http://"), servers=servers))
    command = [nginx, "-p", folder, "-c", configuration, "-e", "stderr"]
    child = Child("nginx", [str(each) for each in command], log_file=folder / "log")
    try:
        found = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        for url in found.values():
            wait_until_answers(child, f"{url}/healthz")
        yield found
    finally:
        child.stop()


@pytest.mark.parametrize("framing", [name for name in RIGHT if name != "length-in-odd-letters"])  # nginx takes no tab
@pytest.mark.parametrize("location", LOCATIONS)
def test_every_record_arrives_whatever_is_offered_and_however_the_request_is_cut(
    proxies: dict[str, str], http: httpx.Client, tenant: str, location: str, framing: str
) -> None:
    """How it is cut into segments, nginx sees alone: test_framing.py has every way to cut it with every offer."""
    for offer, split in zip(OFFERS, itertools.cycle(_SPLITS)):
        with Connection(proxies[location]) as connection:
            send(connection, RIGHT[framing](tenant, records(tenant), OFFERS[offer]), split)
            assert final_answer(connection).status == 202, (offer, split)
    assert_stored(http, tenant, len(OFFERS))


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("location", LOCATIONS)
def test_every_record_of_a_long_scan_arrives(
    proxies: dict[str, str], http: httpx.Client, tenant: str, location: str, framing: str
) -> None:
    """Longer than what the proxy holds in memory."""
    caller = Tenant(http, tenant)
    lines = generator.records(8_000, 1, tenant)
    body = generator.ndjson(lines)
    pieces = (body[at : at + 60_000] for at in range(0, len(body), 60_000))
    with httpx.Client(base_url=proxies[location], timeout=60) as through:
        answer = through.post(
            f"{caller.base}/scans",
            content=body if framing == "length" else pieces,
            headers={"Content-Type": "application/x-ndjson", "Upgrade": "h2c", "Connection": "Upgrade"},
        )
    assert answer.status_code == 202, answer.text
    status = caller.ended(answer.json()["scan_id"])
    assert (status["status"], status["records_total"]) == ("completed", len(lines))


@pytest.mark.parametrize("location", LOCATIONS)
def test_events_arrive_as_they_happen(
    proxies: dict[str, str], api: Service, http: httpx.Client, tenant: str, location: str
) -> None:
    """The first while the scan still goes on: the rest of it is sent when that has been read."""
    lines = generator.records(2_000, 1, tenant)
    begin, rest = generator.ndjson(lines[:1_500]), generator.ndjson(lines[1_500:])
    with HeldUpload(api.base_url, tenant, begin, {}) as upload:
        scan = wait_until_taken(http, tenant)
        with httpx.Client(base_url=proxies[location], timeout=60) as through:
            events = (event.status["status"] for event in Tenant(through, tenant).events(scan) if event.status)
            assert next(events) not in FINAL
            assert upload.finish(rest).status_code == 202
            assert list(events)[-1] == "completed"
