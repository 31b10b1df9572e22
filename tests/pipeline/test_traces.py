"""Traces, read by a collector of their own: from a request to the commit of its records, with nothing of what was sent."""

import signal
import subprocess
import sys
from typing import Any, Final

import httpx
import pytest

from infra.stack import Stack
from tests.collector import Collector, collecting
from tests.helpers import Publisher, wait_for
from tests.submissions import NDJSON, submit
from trials import generator

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
SENDER: Final = "b7ad6b7169203331"
DIRECT: Final = "1af7651916cd43dd8448eb211c80319d"


def test_a_trace_leads_from_the_request_to_the_commit(stack: Stack, tenant: str) -> None:
    with collecting() as there, collecting(moved=there.url) as elsewhere, collecting() as collector:
        env = {"SCANLINE_TRACES_ENDPOINT": collector.url, "HTTP_PROXY": elsewhere.url, "http_proxy": elsewhere.url}
        api, worker = stack.start_api(env), stack.start_worker(env)
        of_others = {
            "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": there.url.removesuffix("/v1/traces"),
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        moved = stack.start_api({"SCANLINE_TRACES_ENDPOINT": elsewhere.url, **of_others})
        lines = generator.records(30, 1, tenant)
        with httpx.Client(base_url=api.base_url, timeout=60) as http:
            sent = {**NDJSON, "Prefer": "wait=30", "traceparent": f"00-{TRACE}-{SENDER}-01"}
            answer = submit(http, tenant, b"\n".join(lines), sent)
            assert (answer.status_code, answer.json()["status"]) == (200, "completed")
            scan = answer.json()["scan_id"]
        with Publisher(stack.kafka.bootstrap) as publisher:
            header = [("traceparent", f"00-{DIRECT}-{SENDER}-01".encode()), ("traceparent", b"nonsense")]
            publisher.send(tenant, scan, "records", lines[0], headers=header)
        [request] = wait_for(lambda: collector.spans("POST /v1/tenants/{tenant_id}/scans"), "the request's span")
        wait_for(lambda: len(traces_of(collector)) == 2, "the commits' spans")
        httpx.get(f"{moved.base_url}/v1/tenants/{tenant}/scans")
        wait_for(lambda: elsewhere.bodies, "the collector that has moved is asked")
        for service in (api, worker, moved):
            assert service.stop() in (0, -signal.SIGTERM)  # uvicorn ends by the signal itself
        assert there.bodies == []
        assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, SENDER)
        assert attributes(request) >= {("http.response.status_code", "200"), ("http.request.method", "POST")}
        batches = {span.span_id: span for span in collector.spans("process scan.records.v1")}
        commits = [span for span in collector.spans("commit scan.records.v1") if span.trace_id.hex() == TRACE]
        assert commits and {span.parent_span_id for span in commits} == {request.span_id}
        for commit in commits:
            batch = batches[commit.links[0].span_id]
            assert request.span_id in {link.span_id for link in batch.links} and not batch.parent_span_id
            assert batch.start_time_unix_nano <= batch.end_time_unix_nano <= commit.end_time_unix_nano
            assert {name for name, _ in attributes(batch)} >= {"messaging.system", "messaging.batch.message_count"}
        text = b"".join(collector.bodies)
        assert tenant.encode() not in text and scan.encode() not in text and b"nonsense" not in text


def traces_of(collector: Collector) -> set[str]:
    return {span.trace_id.hex() for span in collector.spans("commit scan.records.v1")} & {TRACE, DIRECT}


def attributes(span: Any) -> set[tuple[str, str]]:
    return {(each.key, each.value.string_value or str(each.value.int_value)) for each in span.attributes}


@pytest.mark.parametrize("module", ["producer_api", "stream_app"])
@pytest.mark.parametrize("url", ["http://example.com/v1/traces", "ftp://127.0.0.1/v1/traces", "127.0.0.1:4318"])
def test_a_host_that_is_not_allowed_is_refused(module: str, url: str) -> None:
    env = {f"SCANLINE_POSTGRES_{role}_URL": "postgresql://x@127.0.0.1/x" for role in ("READ", "WRITE")}
    env["SCANLINE_TRACES_ENDPOINT"] = url
    done = subprocess.run([sys.executable, "-m", module], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "SCANLINE_TRACES_ENDPOINT" in done.stderr and url not in done.stderr


@pytest.mark.parametrize(
    ("module", "names"),
    [("stream_app.app", ("opentelemetry",)), ("producer_api.app", ("opentelemetry.sdk", "opentelemetry.exporter"))],
)
def test_who_does_not_trace_loads_nothing_of_it(module: str, names: tuple[str, ...]) -> None:
    """FastAPI brings the interface with it, which does nothing by itself."""
    code = f"import sys, {module}; sys.exit(any(name.startswith({names}) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
