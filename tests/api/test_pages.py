"""The pages beside the calls: health, metrics, the description of the API."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_client import Tenant, assert_problem

from infra.processes.services import Service
from schemas.problems import PROBLEMS
from tests.helpers import Database, StatusTopic, assert_told, wait_for
from trials import generator

ROOT = Path(__file__).resolve().parents[2]
METRIC = re.compile(r"^\| `(scanline_[a-z0-9_]+)` \| (counter|gauge|histogram) \|(?: ([a-z_`, ]+))? \|", re.MULTILINE)
CALL = re.compile(r"^\| `(GET|POST) (/[^`]+)` \|", re.MULTILINE)


@pytest.fixture
def caller(
    worker: Service, http: httpx.Client, database: Database, statuses: StatusTopic, tenant: str
) -> Iterator[Tenant]:
    yield Tenant(http, tenant)
    assert_told(database, statuses, [tenant])


def test_health(http: httpx.Client) -> None:
    answer = http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "publisher": True, "follower": True})
    answer = http.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "kafka": True, "statuses": True, "serving": True})


def test_probes_and_metrics_answer_a_head(http: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        got, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.headers.keys() == got.headers.keys()
        refused = http.post(path)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("text/plain; version=x", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_metrics_come_in_the_format_asked_for(http: httpx.Client, accept: str, kind: str) -> None:
    answer = http.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"] == kind
    assert answer.text.endswith("# EOF\n") == kind.startswith("application/openmetrics-text")


def listed() -> dict[str, dict[str, tuple[str, set[str]]]]:
    """docs/metrics.md: {heading: {name: (kind, labels)}}."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    found = {}
    for part in text.split("\n## ")[1:]:
        rows = METRIC.findall(part)
        found[part.split("\n")[0]] = {
            name: (kind, set(re.findall(r"`([a-z_]+)`", labels))) for name, kind, labels in rows
        }
    return found


def exposed(url: str) -> dict[str, tuple[str, set[str]]]:
    """What a process shows: {name: (kind, labels)}. Only metrics with a value."""
    text = httpx.get(url).text
    kinds = dict(re.findall(r"^# TYPE (scanline_\S+) (\S+)$", text, re.MULTILINE))
    found: dict[str, tuple[str, set[str]]] = {}
    for sample, labels in re.findall(r"^(scanline_[a-z0-9_]+)(?:\{([^}]*)\})? ", text, re.MULTILINE):
        base = sample.removesuffix("_created")
        name = next(each for each in (base, re.sub("_(bucket|sum|count)$", "", base), f"{base}_total") if each in kinds)
        names = set(re.findall(r'([a-z_]+)="', labels)) - {"le"}
        found[name] = (kinds[name], found.get(name, ("", set()))[1] | names)
    return found


def test_metrics_are_those_listed(caller: Tenant, api: Service, worker: Service, tenant: str) -> None:
    lines = generator.records(5, 1, tenant)
    scan = caller.submit([*lines, b"{}"])
    caller.ended(scan)
    caller.get(f"/scans/{scan}/errors")
    _tenants, taking_in, slices, writing, pools, told, *_exporter = listed().values()
    wait_for(lambda: "scanline_stream_lag_messages" in exposed(worker.metrics_url), "the lag is looked at now and then")
    by_api, by_worker = exposed(api.metrics_url), exposed(worker.metrics_url)
    assert by_api.items() >= taking_in.items()
    assert by_api.items() >= pools.items()
    assert by_worker.items() >= pools.items()
    everything = taking_in | slices | writing | pools | told
    assert set(told) <= set(by_api) | set(by_worker)
    for found in (by_api, by_worker):
        assert {name: everything.get(name) for name in found} == found
    # labels that have not come up yet (no retry, no fence) leave a metric without a value
    assert set(slices | writing) - set(by_worker) <= {
        "scanline_stream_dead_letters_total",
        "scanline_sink_errors_total",
        "scanline_tenant_records_total",  # of nobody, unless a setting says otherwise
    }


def test_metrics_count_what_was_done_and_name_nobody(caller: Tenant, api: Service, tenant: str) -> None:
    def value(sample: str) -> float:
        text = httpx.get(api.metrics_url).text
        return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(sample + " ")), 0.0)

    submitted = 'scanline_api_submissions_total{outcome="accepted"}'
    requests = (
        'scanline_api_request_seconds_count{method="GET",route="/v1/tenants/{tenant_id}/scans/{scan_id}",status="404"}'
    )
    reads = 'scanline_pool_checkout_seconds_count{pool="read"}'
    names = (submitted, "scanline_api_records_total", "scanline_api_received_bytes_total", requests, reads)
    before = [value(name) for name in names]
    lines = generator.records(7, 2, tenant)
    scan = caller.submit(lines)
    caller.ended(scan)
    caller.get("/processing-activities")
    assert caller.call("GET", "/scans/nonsense-8d1f").status_code == 404
    size = len(b"\n".join(lines))
    assert [value(name) - was for name, was in zip(names, before, strict=True)] == [1, 7, size, 1, 1]
    text = httpx.get(api.metrics_url).text
    assert tenant not in text and scan not in text and "nonsense" not in text


def test_docs_need_no_other_host(http: httpx.Client) -> None:
    """That the browser asks for nothing from elsewhere is tests/api/test_docs_page.py's."""
    answer = http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
    assert "//" not in answer.text and "<!doctype html>" in answer.text
    assert http.get("/redoc").status_code == 404  # FastAPI's own pages load scripts from abroad


def test_openapi_holds_every_call(http: httpx.Client) -> None:
    promised = set(CALL.findall((ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")))
    assert len(promised) == 10
    answer = http.get("/openapi.json")
    document: dict[str, Any] = answer.json()
    assert answer.status_code == 200
    calls = {
        (method.upper(), path.removeprefix("/v1/tenants/{tenant_id}")): call
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    }
    assert set(calls) == promised
    for call in calls.values():
        assert re.fullmatch(r".+ / .+", call["summary"]), "in both languages"
        problems = {status: each for status, each in call["responses"].items() if not status.startswith("2")}
        assert problems.keys() >= {"404", "default"}
        for each in problems.values():
            assert set(each["description"].split(", ")) <= PROBLEMS.keys()
            assert each["content"].keys() == {"application/problem+json"}
    names = {parameter["name"] for parameter in calls["POST", "/scans"]["parameters"]}
    assert names >= {"Idempotency-Key", "Prefer", "Content-Encoding", "source", "language", "notify"}
    assert "Last-Event-ID" in {parameter["name"] for parameter in calls["GET", "/scans/{scan_id}/events"]["parameters"]}
    assert calls["POST", "/scans"]["requestBody"]["content"].keys() >= {"application/json", "application/x-ndjson"}


@pytest.mark.parametrize("language", ["vi", "en"])
def test_no_such_address(http: httpx.Client, language: str) -> None:
    headers = {"Accept-Language": language}
    for path in ("/", "/v1", "/v1/tenants/a", "/v1/tenants/a/scan", "/docs/x"):
        assert_problem(http.get(path, headers=headers), 404, "route_not_found")
    answer = http.delete("/v1/tenants/a/scans", headers=headers)
    assert_problem(answer, 405, "method_not_allowed")
