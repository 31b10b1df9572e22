"""The pages for people: /ops for operators, /tenants/{tenant_id} for a tenant, /docs for who writes a client, and the files that
they load: all of them come from here, so that nobody's browser asks anybody else for anything."""

import hashlib
from collections.abc import AsyncIterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, NamedTuple

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, Response

from producer_api.http.call_list import call_list
from producer_api.http.caller import Caller, caller
from producer_api.http.event_stream import event_stream
from producer_api.http.problems import ApiProblem
from producer_api.services import Services, services

router = APIRouter(include_in_schema=False)
_FOLDER: Final = Path(__file__).parent.parent / "assets"
_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # asked for again each time, and answered 304: a new version is seen at once
}
_OF_THIS_MACHINE: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_OF_PROXIES: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class _File(NamedTuple):
    body: bytes
    kind: str
    tag: str


def _read(path: Traversable) -> _File:
    body = path.read_bytes()
    return _File(body, _KINDS[Path(path.name).suffix], f'"{hashlib.sha256(body).hexdigest()[:20]}"')


_SWAGGER_UI: Final = ("swagger-ui-bundle.js", "swagger-ui.css")  # as their package brings them
_FILES: Final = {
    path.name: _read(path)
    for path in (*sorted(_FOLDER.iterdir()), *map(files("fastapi_swagger.resources").joinpath, _SWAGGER_UI))
    if Path(path.name).suffix in _KINDS
}


def _file(request: Request, name: str) -> Response:
    found = _FILES[name]
    headers = {**_HEADERS, "ETag": found.tag}
    if request.headers.get("if-none-match") == found.tag:
        return Response(None, 304, headers)
    return Response(found.body, 200, {**headers, "Content-Type": found.kind})


def _operator(request: Request, service: Services = Depends(services)) -> None:
    """Nobody is asked who he is yet, and the page names tenants and scans: it is there for whom the settings say. Raises
    ApiProblem route_not_found."""
    chosen = service.settings.api_ops
    if chosen == "on" or (chosen == "auto" and _came_straight(request)):
        return
    raise ApiProblem("route_not_found")


def _came_straight(request: Request) -> bool:
    """True where the client is on this machine, asked for it by a name of this machine (a page elsewhere whose name was made
    to lead here does not), and no proxy stands between."""
    client = request.client
    return (
        client is not None
        and client.host in _OF_THIS_MACHINE
        and request.url.hostname in _OF_THIS_MACHINE
        and not any(name in request.headers for name in _OF_PROXIES)
    )


@router.get("/ops", dependencies=[Depends(_operator)])
async def operators_page(request: Request) -> Response:
    """What an operator looks at first."""
    return _file(request, "ops.html")


@router.get("/ops/events", dependencies=[Depends(_operator)])
async def operators_events(service: Services = Depends(services)) -> Response:
    """Server-sent events: the charts so far, then what there is to see every two seconds."""
    if service.overview.full:
        raise service.later("too_many_viewers")
    return event_stream(_events(service))


async def _events(service: Services) -> AsyncIterator[bytes]:
    # within the stream: of a client that goes away before it has begun, nothing would be given back
    with service.overview.viewer() as viewer:
        yield b"retry: 3000\n\n" + service.overview.history
        while (event := await service.drain.unless_ending(viewer.next())) is not None:
            yield event


@router.get("/tenants/{tenant_id}")
async def tenants_page(request: Request, who: Caller = Depends(caller)) -> Response:
    """A tenant's own page; what it shows and sends goes by the calls of /v1/tenants/{tenant_id}."""
    return _file(request, "tenant.html")


@router.get("/docs")
async def documentation(request: Request) -> Response:
    """Every call, with its parameters and answers, from /openapi.json; to be tried out on the page."""
    return _file(request, "docs.html")


@router.get("/docs/text")
async def documentation_as_text(request: Request) -> Response:
    """The same without JavaScript and as plain as can be: Swagger UI is hard on screen readers."""
    return HTMLResponse(call_list(request.app.openapi()), headers=dict(_HEADERS))


@router.get("/assets/{name}")
async def asset(request: Request, name: str) -> Response:
    """A file that the pages load."""
    if name not in _FILES or name.endswith(".html"):
        raise ApiProblem("route_not_found")
    return _file(request, name)
