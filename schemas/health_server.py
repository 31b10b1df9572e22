"""/metrics, /healthz and /readyz of a process that serves nothing else, on a thread of their own so that they answer
whatever the rest does."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from prometheus_client import REGISTRY

from schemas.exposition import exposition

Check = Callable[[], tuple[bool, dict[str, Any]]]  # (well?, details for people)


def serve(host: str, port: int, ready: Check, alive: Check) -> ThreadingHTTPServer:
    """Starts serving; `port` 0 takes a free one. Call shutdown() to stop."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == "/metrics":
                body, kind = exposition(REGISTRY, ", ".join(self.headers.get_all("Accept", [])))
                self._answer(200, kind, body, Vary="Accept")
            elif path in ("/readyz", "/healthz"):
                well, details = (ready if path == "/readyz" else alive)()
                body = json.dumps({"ok": well, **details}, ensure_ascii=False).encode()
                self._answer(200 if well else 503, "application/json; charset=utf-8", body)
            else:
                self._answer(404, "text/plain", b"/metrics, /readyz, /healthz\n")

        do_HEAD = do_GET  # the body is left out in _answer

        def _not_allowed(self) -> None:
            self._answer(405, "text/plain", b"GET, HEAD\n", Allow="GET, HEAD")

        do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _not_allowed

        def _answer(self, status: int, kind: str, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Probes come every few seconds; they are not news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
