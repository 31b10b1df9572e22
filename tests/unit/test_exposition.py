"""/metrics in the format and version asked for; the worker's probes and metrics answer a HEAD."""

import http.client
from collections.abc import Iterator
from typing import Final

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from schemas import health_server as health

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS: Final = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
ASKED: Final = {
    "text/plain;version=0.0.4": PLAIN,
    "text/plain": PLAIN,
    "*/*": PLAIN,
    "": PLAIN,
    "application/json": PLAIN,
    "text/plain; version=x": PLAIN,
    "application/openmetrics-text; version=x": PLAIN,
    "application/openmetrics-text;version=0.0.1": PLAIN,
    "application/openmetrics-text": OPEN,
    "application/openmetrics-text; version=1.0.0": f"{OPEN}; escaping=underscores",
    "text/plain;version=1.0.0": "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
    PROMETHEUS: f"{OPEN}; escaping=allow-utf-8",
}


@pytest.fixture(scope="module")
def worker() -> Iterator[http.client.HTTPConnection]:
    server = health.serve("127.0.0.1", 0, lambda: (True, {}), lambda: (False, {"lanes": 1}))
    connection = http.client.HTTPConnection("127.0.0.1", int(server.server_address[1]))
    yield connection
    connection.close()
    server.shutdown()
    server.server_close()


def asked(
    worker: http.client.HTTPConnection, path: str, method: str = "GET", accept: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    worker.request(method, path, headers={} if accept is None else {"Accept": accept})
    answer = worker.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@pytest.mark.parametrize("accept", ASKED)
def test_metrics_come_in_the_format_asked_for(worker: http.client.HTTPConnection, accept: str) -> None:
    status, headers, body = asked(worker, "/metrics", accept=accept)
    assert (status, headers["content-type"]) == (200, ASKED[accept])
    read = read_openmetrics if "openmetrics" in ASKED[accept] else read_text
    assert any(family.name == "python_info" for family in read(body.decode()))


def test_head_is_a_get_without_its_body(worker: http.client.HTTPConnection) -> None:
    for path, status in (("/healthz", 503), ("/readyz", 200), ("/metrics", 200), ("/nothing", 404)):
        got, head = asked(worker, path), asked(worker, path, "HEAD")
        assert (got[0], head[0], head[2]) == (status, status, b"")
        assert head[1].keys() == got[1].keys() and head[1]["content-type"] == got[1]["content-type"]
        if path != "/metrics":
            assert head[1]["content-length"] == got[1]["content-length"] == str(len(got[2]))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_is_answered_which_there_are(worker: http.client.HTTPConnection, method: str) -> None:
    status, headers, _ = asked(worker, "/readyz", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")
