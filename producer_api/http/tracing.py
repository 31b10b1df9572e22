"""A span for each request. What is published of it carries the span's own traceparent, by which the worker goes on."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producer_api.metrics import method_of, route_of

if TYPE_CHECKING:
    from schemas.traces import Traces  # who does not trace does not load it

_HEADER = b"traceparent"


class Traced:
    """ASGI middleware. The app reads the span's traceparent where the sender's was."""

    def __init__(self, app: ASGIApp, traces: "Traces") -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from schemas.traces import carried_by

        status = 499  # the client went away before there was an answer

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = method_of(scope)
        carried = dict(scope["headers"]).get(_HEADER)
        with self._traces.request(method, None if carried is None else carried.decode("latin-1")) as span:
            others = [header for header in scope["headers"] if header[0] != _HEADER]
            scope["headers"] = [*others, (_HEADER, carried_by(span))]
            try:
                await self._app(scope, receive, noting)
            finally:
                route = route_of(scope)
                span.update_name(f"{method} {route}")
                span.set_attributes({"http.route": route, "http.response.status_code": status})
                if status >= 500:
                    span.set_attribute("error.type", str(status))
