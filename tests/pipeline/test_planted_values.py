"""Values planted in everything that comes in, by every way in and into every error, are in nothing that goes out: no metric,
no probe, no trace, no log line of API, worker, broker or database. What a tenant is answered, and what is stored, may hold them."""

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx
import pytest
import zstandard

from infra.processes.child import free_port
from infra.processes.services import Service
from infra.stack import Stack
from tests.collector import Collector, collecting
from tests.helpers import Database, Publisher, array, changed, new_scan, wait_for
from tests.own import views_of_own
from tests.poisoned_worker import PASSING, PERSISTENT, SECRET, STAGES, mark
from tests.refusals import raising, rule
from tests.stock_servers import copied_stack
from tests.submissions import JSON, NDJSON, scans_of
from trials import generator

PLANT: Final = "planted0987654321"  # each place has its own, so that a failure says which way it took
TENANT: Final = f"{PLANT}-tenant"
PROCESSES: Final = {
    "SCANLINE_LOG_LEVEL": "DEBUG",
    "SCANLINE_WRITE_DEADLINE_SECONDS": "1",
    "SCANLINE_READ_DEADLINE_SECONDS": "1",
    "SCANLINE_STREAM_BACKOFF_SECONDS": "0.05",
    "SCANLINE_STREAM_PROBE_SECONDS": "0.2",
    "SCANLINE_DEAD_LETTER_RUN": "100000",
    "SCANLINE_DEAD_LETTER_SHARE": "1",
    "SCANLINE_API_PUBLISH_DEADLINE_SECONDS": "1",
    "SCANLINE_API_DELIVERY_SECONDS": "1",
}
TEXTS: Final = ("activity_key", "name", "source_system", "asset", "purpose")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", PLANT.upper())
HEADERS: Final = (
    "Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Content-Encoding",
    "Content-Type", "Cookie", "Expect", "Forwarded", "From", "Host", "Idempotency-Key", "Last-Event-ID", "Origin",
    "Prefer", "Range", "Referer", "TE", "Traceparent", "Tracestate", "Upgrade", "User-Agent", "X-Forwarded-For", PLANT,
)  # fmt: skip
RAW: Final = (  # requests that no client library sends
    b"%b / HTTP/1.1\r\n\r\n",
    b"GET /%b HTTP/9.9\r\n\r\n",
    b"GET /v1/tenants/t/scans HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n",
    b"GET /v1/tenants/t/scans HTTP/1.1\r\nHost: h\r\n%b \x00: x\r\n\r\n",
    b"POST /v1/tenants/t/scans HTTP/1.1\r\nHost: h\r\nContent-Length: %b\r\n\r\n",
    b"POST /v1/tenants/t/scans HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: %b\r\n\r\n",
    b"POST /v1/tenants/t/scans HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n",
    b"POST /v1/tenants/t/scans HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-ndjson\r\nContent-Length: 999\r\n\r\n%b",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"%b" * 5_000 + b"\r\n\r\n",
)
pytestmark = pytest.mark.parametrize("form", ["json", "text"])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, stock_dir: Path) -> Iterator[Stack]:
    with copied_stack(tmp_path_factory.mktemp("planted"), stock_dir, partitions=2) as stack:
        yield stack


database, statuses = views_of_own()


def planted(place: str) -> str:
    return f"{PLANT}-{place}"


def record(number: int, **fields: Any) -> bytes:
    """A good one with a value planted in every text, and those fields."""
    [line] = generator.records(1, number, f"{TENANT}-{number}")
    texts = {name: f"{planted(name)}-{number}" for name in TEXTS}
    lists = {"data_fields": [planted("data_fields")], "recipients": [planted("recipients")]}
    transfer = {"country": "SG", "recipient": planted("recipient"), "mechanism": "other", "dossier_ref": planted("ref")}
    attributes = {planted("attribute"): {planted("inner"): [planted("value")]}}
    return changed(line, **{**texts, **lists, "transfer": transfer, "attributes": attributes, **fields})


def records() -> list[bytes]:
    """Good ones, and one for each field that is wrong."""
    names = json.loads(record(0)).keys()
    wrong: list[bytes] = [record(10 + at, **{name: planted(f"wrong-{name}")}) for at, name in enumerate(names)]
    wrong += [record(100 + at, **{name: [{planted("in"): planted(name)}]}) for at, name in enumerate(names)]
    return [
        *(record(at) for at in range(10)),
        *wrong,
        record(200, **{planted("field"): planted("unknown")}),
        b'{"name": "' + planted("half").encode(),
        planted("no-json").encode(),
        b'{"name": "' + planted("not-utf-8").encode() + b'\xff"}',
        record(201, name=planted("bidi") + "\u202e"),
        record(202, name=planted("long") * 100),
        record(203, attributes={"a": planted("large") * 20_000}),
    ]


def bodies(lines: list[bytes]) -> Iterator[tuple[bytes, dict[str, str]]]:
    good = [line for line in lines if line.endswith(b"}")]
    details = {"source": planted("source"), "notify": planted("notify"), "language": "en"}
    whole = json.dumps(details).encode()[:-1] + b', "records": ' + array(good[:40]) + b"}"
    lines_only = b"\n".join(lines)
    yield whole, JSON
    yield lines_only, NDJSON
    yield gzip.compress(lines_only), {**NDJSON, "Content-Encoding": "gzip"}
    yield zstandard.compress(whole), {**JSON, "Content-Encoding": "zstd"}
    for broken in (
        whole[:-5],
        planted("body").encode(),
        b'["' + planted("array").encode() + b'"]',
        json.dumps({planted("member"): planted("value"), "records": []}).encode(),
        json.dumps({**details, "language": planted("language"), "notify": planted("n") * 500, "records": [1]}).encode(),
        planted("utf-16").encode("utf-16"),
        b"",
    ):
        for kind in (JSON, NDJSON, {"Content-Type": f"text/{planted('kind')}"}, {**NDJSON, "Content-Encoding": "gzip"}):
            yield broken, kind


def ask_everything(http: httpx.Client, scan: str) -> None:
    """Every route with a value planted in its path, its query and its headers."""
    tenants = (TENANT, f"{PLANT.upper()}-NO-TENANT", quote(f"{PLANT} ü", safe=""))
    for tenant in tenants:
        for scan_id in (scan, new_scan(), planted("scan")):
            base = f"{scans_of(tenant)}/{scan_id}"
            for path in (base, f"{base}/errors", f"{base}/{planted('route')}", f"{base}/"):
                http.get(path)
                http.get(path, headers={"Accept": "application/x-ndjson"})
            http.get(f"{base}/events", params={planted("name"): planted("value")})
            http.post(f"{base}/cancel", json={"reason": planted("reason")})
            http.post(f"{base}/cancel", json={planted("member"): planted("reason")})
            http.post(f"{base}/records", json={"corrections": [{"index": 1, "record": json.loads(record(1))}]})
            http.post(f"{base}/records", json={"corrections": [{planted("member"): planted("value")}]})
            http.post(f"{base}/records", content=planted("correction"), headers=JSON)
        for path in ("scans", "processing-activities", "scans:validate", planted("no-route")):
            url = f"/v1/tenants/{tenant}/{path}"
            for name in ("cursor", "limit", "status", "scan_id", "category", "sensitive", "source", planted("name")):
                http.get(url, params={name: planted("query")})
                http.post(url, params={name: planted("query")}, content=record(2), headers=NDJSON)
    for method in METHODS:
        for path in ("/", "/metrics", "/readyz", "/docs", scans_of(TENANT), f"/{planted('nowhere')}"):
            http.request(method, path, params={"q": planted("probe")})
    for header in HEADERS:
        headers = {"Content-Type": "application/x-ndjson", header: planted("header")}
        http.post(scans_of(TENANT), content=record(3), headers=headers)
        http.get(scans_of(TENANT), headers=headers)


def send_raw(base_url: str) -> None:
    """Each on a connection of its own, which is then closed."""
    place = urlsplit(base_url)
    for request in RAW:
        with socket.create_connection((place.hostname, place.port), 10) as connection:
            connection.sendall(request.replace(b"%b", planted("raw").encode()))
            connection.settimeout(0.3)
            try:
                while connection.recv(65_536):
                    pass
            except OSError:
                continue


def publish_everything(bootstrap: str) -> str:
    """Messages good and bad. Returns a scan that ends."""
    with Publisher(bootstrap) as publisher:
        lines = records()
        scan = publisher.scan(TENANT, [line for line in lines if line.endswith(b"}")][:40], at_once=7)
        key, good = TENANT.encode(), record(4)
        publisher.singles(TENANT, new_scan(), lines)
        for value in (good, *lines[-6:], planted("value").encode(), b"[" + good, b"", None):
            for kind in ("records", "opened", "closed", "cancelled", "mended", planted("kind")):
                publisher.raw(key, value, [("ce_type", f"vn.scanline.scan.{kind}.v1".encode()), ("ce_subject", b"x")])
        for name in ("ce_type", "ce_subject", "ce_firstindex", "ce_source", "ce_id", "ce_mends", "traceparent", PLANT):
            headers = {"ce_type": b"vn.scanline.scan.records.v1", "ce_subject": new_scan().encode()}
            for bad in (planted("header").encode(), b"\xff" + planted("header").encode()):
                publisher.raw(key, good, list({**headers, name: bad}.items()))
        for other in (planted("KEY").encode(), f"{PLANT} ü".encode(), None):
            publisher.raw(other, good, [("ce_type", b"vn.scanline.scan.records.v1"), ("ce_subject", scan.encode())])
        for kind in ("opened", "closed", "cancelled"):
            for body in (
                {"source": planted("source"), "reason": planted("reason")},
                {"records_total": planted("total")},
            ):
                publisher.send(TENANT, new_scan(), kind, json.dumps(body).encode())
    return scan


def poison(bootstrap: str) -> None:
    """Messages at which our own code fails, and says so with a value (tests.poisoned_worker)."""
    with Publisher(bootstrap) as publisher:
        for stage in STAGES:
            for error in (*PERSISTENT, *PASSING):
                line = record(5, attributes={"mark": mark(stage, error)})
                publisher.send(
                    TENANT, new_scan(), "records", line, headers=[(planted("note"), mark(stage, error).encode())]
                )
                if stage == "control":
                    control = json.dumps({"source": mark(stage, error)}).encode()
                    publisher.send(TENANT, new_scan(), "opened", control)


def outputs(own: Stack, services: list[Service]) -> dict[str, str]:
    """All that the processes say to anybody but a tenant."""
    logs = [*(own.data_dir / "logs").glob("*.log"), own.postgres.log_file, own.kafka.log_file]
    found = {f"log {path.name}": path.read_bytes() for path in logs}
    for service in services:
        for path in ("/metrics", "/readyz", "/healthz"):
            for accept in ("text/plain", "application/openmetrics-text"):
                url = service.metrics_url.removesuffix("/metrics") + path
                found[f"{service.name}{path} {accept}"] = httpx.get(url, headers={"Accept": accept}, timeout=30).content
    return {name: body.decode("utf-8", "replace") for name, body in found.items()}


def leaks(text: str) -> list[str]:
    """The lines that hold a planted value, in any of the forms that it may take."""
    hexadecimal = PLANT.encode().hex()
    planted_values = (PLANT, hexadecimal, SECRET)
    return [line[:500] for line in text.splitlines() if any(value in line.lower() for value in planted_values)]


def test_what_comes_in_is_in_nothing_that_goes_out(own: Stack, database: Database, form: str) -> None:
    with collecting() as collector:
        found = outputs_of_everything(own, database, {**PROCESSES, "SCANLINE_LOG_FORMAT": form}, collector)
    assert {name: lines for name, text in found.items() if (lines := leaks(text))} == {}


def outputs_of_everything(
    own: Stack, database: Database, settings: dict[str, str], collector: Collector
) -> dict[str, str]:
    """All that goes out where everything comes in."""
    env = {**settings, "SCANLINE_TRACES_ENDPOINT": collector.url}
    api, worker = own.start_api(env), own.start_worker(env)
    with httpx.Client(base_url=api.base_url, timeout=30) as http:
        answers = [
            http.post(path, content=body, headers=headers)
            for body, headers in bodies(records())
            for path in (scans_of(TENANT), f"/v1/tenants/{TENANT}/scans:validate")
        ]
        codes = {answer.status_code for answer in answers}
        assert codes >= {200, 202, 400, 415, 422}
        scan = publish_everything(own.kafka.bootstrap)
        database.finished(TENANT, scan)
        ask_everything(http, scan)
        send_raw(api.base_url)
        for kind in ("constraint", "trigger"):
            with rule(database, TENANT, kind), Publisher(own.kafka.bootstrap) as publisher:
                refused = publisher.scan(TENANT, [record(300), record(301, purpose="cấm")])
                publisher.flush()
                database.finished(TENANT, refused)
        for sqlstate in ("53100", "XX000"):
            before = worker.log_file.read_text().count(sqlstate)
            with raising(database, "processing_activities", f"NEW.tenant_id = '{TENANT}'", sqlstate):
                with Publisher(own.kafka.bootstrap) as publisher:
                    publisher.scan(TENANT, [record(310)])
                wait_for(lambda s=sqlstate, b=before: worker.log_file.read_text().count(s) > b, sqlstate)  # type: ignore[misc]
        own.postgres.stop()
        http.get(f"/v1/tenants/{TENANT}/processing-activities")
        with Publisher(own.kafka.bootstrap) as publisher:
            publisher.scan(TENANT, [record(320)])
        wait_for(lambda: worker.health()["paused_partitions"], "the lane pauses")
        own.postgres.start()
        own.postgres.wait_until_ready()
        database.close()
        wait_for(worker.is_ready, "ready again")
    assert worker.stop() == 0
    port = free_port()
    places = {"SCANLINE_WORKER_METRICS_PORT": str(port), "SCANLINE_STREAM_DATA_DIR": str(own.data_dir / "faust")}
    poisoned = own._spawn("worker", "tests.poisoned_worker", port, {**places, **env})
    poisoned.wait_until_ready()
    poison(own.kafka.bootstrap)
    wait_for(lambda: "KeyError" in poisoned.log_file.read_text(), "our own code fails")
    found = outputs(own, [api, poisoned])
    server_log = f"log {own.postgres.log_file.name}"
    found[server_log] = found[server_log].replace(f"ERROR:  {SECRET}", "")  # what tests.refusals has it say
    for service in (api, worker, poisoned):
        assert len(found[f"log {service.log_file.name}"]) > 200
    assert "scanline_" in found[f"{api.name}/metrics text/plain"]
    for name in ("POST /v1/tenants/{tenant_id}/scans", "process scan.records.v1"):
        wait_for(lambda n=name: collector.spans(n), name)  # type: ignore[misc]
    for service in (api, poisoned):
        service.kill()
    return {**found, "traces": b"".join(collector.bodies).decode("utf-8", "replace")}
