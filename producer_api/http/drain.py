"""Leaving without losing a request, so that a rolling restart is seen by nobody.

SIGTERM begins the drain: /readyz answers 503 and everything else goes on, with `Connection: close` on each answer, for
as long as a load balancer needs to look away. Only then event streams are ended (their clients reconnect elsewhere),
the port is closed, and what still runs gets SCANLINE_API_SHUTDOWN_SECONDS to finish. Each of several processes drains
by itself."""

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable
from types import FrameType
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producer_api.http.problems import answer, retry_later

log = logging.getLogger("scanline.api")
_CLOSE: Final = (b"connection", b"close")
Result = TypeVar("Result")


class Drain:
    """The drain of one process. Belongs to the event loop that calls `install`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ending = asyncio.Event()
        self._before: Any = None  # the handler that ours took the place of
        self._ours: Any = None
        self.begun = False

    @property
    def ending(self) -> bool:
        """True while the port is being closed: what can be cut short is to end now."""
        return self._ending.is_set()

    def install(self) -> None:
        """Takes SIGTERM over from the server, which gets it when the drain is over. A SIGINT still ends at once."""
        if threading.current_thread() is not threading.main_thread():
            return  # an app without a process of its own
        loop = asyncio.get_running_loop()
        server_handler: Any = signal.getsignal(signal.SIGTERM)

        def on_term(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._begin, loop, server_handler)

        self._before = server_handler if server_handler is not None else signal.SIG_DFL
        self._ours = on_term
        signal.signal(signal.SIGTERM, on_term)

    def uninstall(self) -> None:
        """Gives SIGTERM back: the event loop that ours speaks to is about to end."""
        if self._ours is not None and signal.getsignal(signal.SIGTERM) is self._ours:
            signal.signal(signal.SIGTERM, self._before)

    def _begin(self, loop: asyncio.AbstractEventLoop, server_handler: Any) -> None:
        if self.begun:  # a process group gets the signal from its parent and from the system: one drain
            return
        self.begun = True
        log.info(
            "draining: /readyz says 503, requests are served for %.1f s more / đang ngừng dần: vẫn phục vụ thêm %.1f giây",
            self._seconds,
            self._seconds,
        )
        loop.call_later(self._seconds, self._end, server_handler)

    def _end(self, server_handler: Any) -> None:
        self._ending.set()
        if callable(server_handler):
            server_handler(signal.SIGTERM, None)

    async def unless_ending(self, work: Awaitable[Result]) -> Result | None:
        """The result of `work`, or None, and `work` cancelled, when the process is about to end."""
        task = asyncio.ensure_future(work)
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait((task, ending), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()
            ending.cancel()


class Leaving:
    """ASGI middleware: while draining, each answer ends its connection, so that the next request goes to another
    process.

    Without it a client could send a request on a kept connection in the very moment that the server closes it. What the
    server cuts off in the end, because it outlasted every patience, is answered 503."""

    def __init__(self, app: ASGIApp, drain: Drain, retry_after: int) -> None:
        self._app = app
        self._drain = drain
        self._retry_after = retry_after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def closing(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start" and self._drain.begun:
                message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
            await send(message)

        try:
            await self._app(scope, receive, closing)
        except asyncio.CancelledError:
            if begun or scope["type"] != "http" or not self._drain.ending:
                raise
            await answer(retry_later("restarting", self._retry_after), Request(scope, receive))(scope, receive, closing)
