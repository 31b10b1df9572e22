"""/metrics, /healthz and /readyz of the worker, on a thread of their own so that they answer whatever the loop does."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

Check = Callable[[], tuple[bool, dict[str, Any]]]  # (well?, details for people)


def serve(host: str, port: int, ready: Check, alive: Check) -> ThreadingHTTPServer:
    """Starts serving; `port` 0 takes a free one. Call shutdown() to stop."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))
            elif path in ("/readyz", "/healthz"):
                well, details = (ready if path == "/readyz" else alive)()
                body = json.dumps({"ok": well, **details}, ensure_ascii=False).encode()
                self._answer(200 if well else 503, "application/json; charset=utf-8", body)
            else:
                self._answer(404, "text/plain", b"/metrics, /readyz, /healthz\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Probes come every few seconds; they are not news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
