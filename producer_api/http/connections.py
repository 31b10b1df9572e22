"""HTTP connections that cannot be held open for nothing, and whose requests end where their senders meant them to end.

Uvicorn times only what lies between two requests. A client that never finishes its headers, or sends headers without an
end, would hold a connection, and memory, for as long as it likes. Here the head of a request has a time and a size,
connections have a number, and who breaks one of these, or the grammar of HTTP, is answered with a problem before the
connection is closed.

Uvicorn drops the body of a request that offers another protocol (`Upgrade`), and the app would read an empty one. Here
such an offer is ignored, whatever it offers. docs/decisions has the reasons for keeping the parser."""

import asyncio
from asyncio.events import TimerHandle
from http import HTTPStatus
from typing import Any, Final

import httptools
import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from producer_api.http.framing import check_framing, head_without_offer
from producer_api.http.problems import MEDIA_TYPE, ApiProblem, answer, document, language_of, retry_later
from producer_api.settings import ApiSettings
from schemas.problems import quantity

_HOPELESS: Final = 2  # times the most connections: beyond that nobody is answered any more
_LINGER_SECONDS: Final = 2.0  # a refused connection is read on, and what comes passed over
SETTINGS: Final = "settings"  # of the app, in the state of its lifespan: what its connections are bounded by


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Uvicorn makes it; named by its import path, so that each of several processes finds it.

    Once something is refused here, nothing more that arrives is taken for HTTP. What was asked before is still
    answered, then the refusal is written, and the connection closed."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._settings: ApiSettings = self.app_state[SETTINGS]
        self._clock: TimerHandle | None = None
        self._in_head = True
        self._overhead = 0  # bytes since the last head was complete or the last part of a body came
        self._running: RequestResponseCycle | None = None  # the request that the app works on, or worked on last
        self._refusal: ApiProblem | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Counts it, and starts the clock of its first request."""
        super().connection_made(transport)
        most = self._settings.api_connections
        if len(self.connections) > most * _HOPELESS:
            transport.abort()
        elif len(self.connections) > most:
            self.app = self._refused
        self._start_clock()

    async def _refused(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: the answer to each request of a connection too many."""
        problem = retry_later("too_many_connections", self._settings.api_retry_after_seconds)
        problem.headers["Connection"] = "close"
        await answer(problem, Request(scope, receive))(scope, receive, send)

    def connection_lost(self, exc: Exception | None) -> None:
        """Uvicorn would notify only the last of several requests on their way."""
        self._stop_clock()
        if self._running is not None and self._busy:
            _break_off(self._running)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bounds a head by its bytes, and what lies between two parts of a body; the body is bounded by who reads
        it."""
        self._unset_keepalive_if_required()
        limit = self._settings.api_head_bytes
        if self._in_head and self._clock is None:
            self._start_clock()
        while data and self._refusal is None:
            room = limit - self._overhead if self._in_head else len(data)
            if room <= 0:
                self._refuse(ApiProblem("head_too_large", limit=quantity(limit)))
                return
            piece, data = data[:room], data[room:]
            self._overhead += len(piece)
            self._parse(piece)
            if self._overhead > limit and not self._in_head and self._refusal is None:  # chunk extensions or trailers
                self._refuse(ApiProblem("head_too_large", limit=quantity(limit)), doubted=True)

    def _parse(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
            return
        except httptools.HttpParserUpgrade as offer:
            rest = piece[offer.args[0] :]
        except httptools.HttpParserError as error:
            found = error.__context__  # raised by one of the methods that the parser calls
            if isinstance(found, ApiProblem):
                self._refuse(found)
            else:
                self._refuse(ApiProblem("http_malformed"), doubted=True)
            return
        # llhttp takes a request that offers another protocol to have no body, and what follows for that protocol
        head = head_without_offer(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does: it is passed over
        self._parse(head + rest)

    def on_message_begin(self) -> None:
        """The first byte of a request; the first of a connection has its clock already."""
        self._in_head = True
        if self._clock is None:
            self._start_clock()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers come this way, too; they are passed over, never merged into the headers (RFC 9110, section
        6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Raises ApiProblem, through the parser, where the body could not be read as it was meant."""
        version = self.parser.get_http_version()
        check_framing(self.parser.get_method(), version, self.headers)
        if self.parser.should_upgrade():
            return  # parsed again without the offer
        self._stop_clock()
        self._in_head = False
        self._overhead = 0
        if version == "1.0":
            self.expect_100_continue = False  # of a later version
        super().on_headers_complete()
        if self.expect_100_continue:
            self.cycle.keep_alive = False  # until the body comes: a client that is refused before need not send it

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        if self.expect_100_continue:
            self.expect_100_continue = False
            self.cycle.keep_alive = self.parser.should_keep_alive()
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_head = True
        self._overhead = 0
        if self._clock is not None:  # the answer came first
            self._stop_clock()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Passes over what is left of an answered body; it may come for as long as a head may take."""
        super().on_response_complete()
        if self._busy or self.transport.is_closing():
            return
        if self._refusal is not None:
            self._end(self._refusal)
        elif not self._in_head:
            self._start_clock()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    @property
    def _busy(self) -> bool:
        """True while the app has a request to answer."""
        running = self._running
        return running is not None and not (running.response_complete or running.disconnected)

    def _start_clock(self) -> None:
        self._clock = self.loop.call_later(self._settings.api_head_seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self) -> None:
        self._clock = None
        if self._busy:
            self._start_clock()  # it came while the request before it is still being answered
        elif self._in_head:
            self._refuse(ApiProblem("head_too_slow", seconds=quantity(int(self._settings.api_head_seconds))))
        else:
            self.transport.close()

    def _refuse(self, problem: ApiProblem, *, doubted: bool = False) -> None:
        """`doubted`: what was received follows no grammar, so that the body it belongs to, or the length of the body
        before it, was wrong. That request is refused, unless the app has read it to its end."""
        self._stop_clock()
        self._refusal = problem
        if doubted and self.pipeline:
            self.pipeline.popleft()  # the last that came
        elif (
            doubted and self._running is not None and (self._running.more_body or self._running.message_event.is_set())
        ):
            _break_off(self._running)
        if not self._busy:
            self._end(problem)

    def _end(self, problem: ApiProblem) -> None:
        """Answers and closes, but reads on for a moment: a client that is still sending would not see the answer
        otherwise."""
        if self.transport.is_closing():
            return
        running = self._running
        answered = running is not None and running.response_started
        if running is None or not answered or (running.response_complete and not running.more_body):
            self.transport.write(self._written(problem))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._clock = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _written(self, problem: ApiProblem) -> bytes:
        accepted = dict(self.headers or ()).get(b"accept-language", b"")
        language = language_of(accepted.decode("latin-1"))
        body = msgspec.json.encode(document(problem, language, ""))
        status = HTTPStatus(problem.status)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-language: {language}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        return head.encode() + body


def _break_off(cycle: RequestResponseCycle) -> None:
    """The app finds the client gone, and sends it nothing more."""
    cycle.disconnected = True
    cycle.waiting_for_100_continue = False
    cycle.message_event.set()
