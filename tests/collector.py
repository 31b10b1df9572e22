"""A collector of traces: takes OTLP over HTTP and keeps what came."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Takes OTLP over HTTP. `moved` sends whoever comes to another address."""

    def __init__(self, moved: str | None = None) -> None:
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                self.send_response(200 if moved is None else 307)
                if moved is not None:
                    self.send_header("Location", moved)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def spans(self, name: str) -> list[Any]:
        """Of that name, of all processes."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        found = [span for each in requests for r in each.resource_spans for s in r.scope_spans for span in s.spans]
        return [span for span in found if span.name == name]


@contextmanager
def collecting(moved: str | None = None) -> Iterator[Collector]:
    collector = Collector(moved)
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        collector.server.shutdown()
        thread.join()
        collector.server.server_close()
