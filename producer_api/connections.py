"""HTTP connections that cannot be held open for nothing: what uvicorn leaves unbounded, bounded.

Uvicorn times only what lies between two requests. A client that never finishes its headers, or sends headers without an end,
would hold a connection, and memory, for as long as it likes. Here the head of a request has a time and a size, connections have
a number, and who breaks one of these, or the grammar of HTTP, is told so as a problem before the connection is closed.
"""

import asyncio
from asyncio.events import TimerHandle
from functools import cache
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from producer_api.problems import MEDIA_TYPE, ApiProblem, answer, document, retry_later
from producer_api.settings import ApiSettings
from schemas.problems import PROBLEMS, quantity

_HOPELESS: Final = 2  # times the most connections: beyond that nobody is told any more


@cache
def _settings() -> ApiSettings:
    return ApiSettings()  # type: ignore[call-arg]


async def _refused(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI: the answer to each request of a connection too many."""
    problem = retry_later("too_many_connections", _settings().api_retry_after_seconds)
    problem.headers["Connection"] = "close"
    await answer(problem, Request(scope, receive))(scope, receive, send)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Uvicorn makes it; named by its import path, so that each of several processes finds it."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head_timer: TimerHandle | None = None
        self._head_bytes = 0  # of the request whose headers are not complete
        self._in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Counts it, and starts the clock of its first request."""
        super().connection_made(transport)
        most = _settings().api_connections
        if len(self.connections) > most * _HOPELESS:
            transport.abort()
        elif len(self.connections) > most:
            self.app = _refused
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bounds the head of a request by its bytes; a body is bounded by who reads it."""
        if self._in_head:
            if self._head_timer is None:
                self._start_clock()
            self._head_bytes += len(data)
            limit = _settings().api_head_bytes
            if self._head_bytes > limit and not self._ends_within(data, limit):
                self._end("head_too_large", limit=quantity(limit))
                return
        super().data_received(data)

    def _ends_within(self, data: bytes, limit: int) -> bool:
        """Whether a head ends early enough in these bytes, and the rest is body."""
        allowed = limit - (self._head_bytes - len(data))
        return b"\r\n\r\n" in data[: max(0, allowed)]

    def on_message_begin(self) -> None:
        """The first byte of a request; the first of a connection has its clock already."""
        self._in_head = True
        if self._head_timer is None:
            self._start_clock()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stop_clock()
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered as a problem, too."""
        self._end("http_malformed")

    def _start_clock(self) -> None:
        self._head_timer = self.loop.call_later(_settings().api_head_seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._start_clock()  # it came while the request before it is still being answered
        elif self._in_head:
            self._end("head_too_slow", seconds=quantity(int(_settings().api_head_seconds)))

    def _end(self, code: str, **params: Any) -> None:
        """Answers with a problem and closes; nobody has read an Accept-Language, so it is told in Vietnamese first."""
        self._stop_clock()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = msgspec.json.encode(document(ApiProblem(code, **params), "vi", ""))
            status = HTTPStatus(PROBLEMS[code].status)
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-language: vi\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
