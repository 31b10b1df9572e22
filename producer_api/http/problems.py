"""Problems as HTTP answers: application/problem+json (RFC 9457) in the language asked for, both languages always inside."""

import logging
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import Text
from schemas.problems import PROBLEMS, quantity, reason_of, request_error
from schemas.submission import SubmissionRefused

log = logging.getLogger("scanline.api")
MEDIA_TYPE: Final = "application/problem+json"


class ApiProblem(Exception):
    """The request ends with a problem of the catalogue. `params` fill its detail; `extra` becomes members beside it."""

    def __init__(
        self,
        code: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        **params: str | int | Text,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.status = PROBLEMS[code].status
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})
        self.params = params


def retry_later(code: str, seconds: int, **extra: Any) -> ApiProblem:
    """A problem that passes: with Retry-After."""
    return ApiProblem(code, headers={"Retry-After": str(seconds)}, extra=extra, seconds=seconds)


def problem_of(refused: SubmissionRefused) -> ApiProblem:
    """The problem of a body that is not taken."""
    problem = ApiProblem(refused.code, errors=refused.errors, extra=refused.extra)
    problem.params = refused.params
    return problem


def request_invalid(errors: Sequence[Mapping[str, Any]]) -> ApiProblem:
    """422 with each place that is wrong."""
    return ApiProblem("request_invalid", errors=errors, reason=reason_of(errors))


def language_of(accept_language: str | None) -> str:
    """Answers "en" where English is preferred to Vietnamese (RFC 9110, 12.5.4), else "vi". Ties go to the one named first."""
    best, chosen = 0.0, "vi"
    for part in (accept_language or "").split(","):
        tag, _, parameters = part.strip().lower().partition(";")
        language = tag.strip().split("-")[0]
        if language not in ("vi", "en"):
            continue
        weight = _weight(parameters)
        if weight > best:
            best, chosen = weight, language
    return chosen


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def answer(problem: ApiProblem, request: Request) -> Response:
    """The HTTP answer."""
    language = language_of(request.headers.get("accept-language"))
    headers = {"Content-Language": language, "Vary": "Accept-Language", **problem.headers}
    body = msgspec.json.encode(document(problem, language, request.url.path))
    return Response(body, problem.status, headers, MEDIA_TYPE)


def document(problem: ApiProblem, language: str, path: str) -> dict[str, Any]:
    """The body (RFC 9457); `path` empty where the request was never read."""
    kind = PROBLEMS[problem.code]
    messages = kind.detail.fill(problem.params)
    return {
        "type": f"urn:scanline:problem:{problem.code}",
        "title": getattr(kind.title, language),
        "status": kind.status,
        "detail": messages[language],
        **({"instance": path} if path else {}),
        "code": problem.code,
        "messages": messages,
        **problem.extra,
        **({"errors": problem.errors} if problem.errors else {}),
    }


# What FastAPI says of a parameter, in our words: pydantic's error type -> code.
_PARAMETER_ERRORS: Final[dict[str, str]] = {
    "missing": "field_missing",
    "int_parsing": "not_within",
    "int_parsing_size": "not_within",
    "greater_than_equal": "not_within",
    "less_than_equal": "not_within",
    "bool_parsing": "not_boolean",
    "uuid_parsing": "not_uuid",
    "literal_error": "not_in_list",
    "not_date": "not_date",
}
PAGE_LIMIT: Final = 1_000
_METHODS: Final = ("GET", "HEAD", "POST")


def _parameter_error(error: Mapping[str, Any]) -> dict[str, Any]:
    code = _PARAMETER_ERRORS.get(error["type"], "value_refused")
    allowed = str((error.get("ctx") or {}).get("expected", "")).replace("'", "").replace(" or ", ", ")
    return request_error(code, str(error["loc"][-1]), parameter=True, min=1, max=quantity(PAGE_LIMIT), allowed=allowed)


async def _on_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, ApiProblem)
    return answer(problem, request)


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _on_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer(request_invalid([_parameter_error(each) for each in error.errors()]), request)


def _methods(request: Request) -> str:
    """Every method that the address takes: each has a route of its own."""
    asked = ({**request.scope, "method": name} for name in _METHODS)
    routes = request.app.routes
    return ", ".join(scope["method"] for scope in asked if any(r.matches(scope)[0] is Match.FULL for r in routes))


def _without_slash(request: Request) -> str | None:
    """The address that was meant, where only a slash at the end is too many."""
    path = request.url.path.rstrip("/")
    scope = {**request.scope, "path": request.scope["path"].rstrip("/")}
    if path == request.url.path or all(route.matches(scope)[0] is Match.NONE for route in request.app.routes):
        return None
    return path


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and (address := _without_slash(request)) is not None:
        return answer(ApiProblem("slash_at_the_end", address=address), request)
    if error.status_code == 405:
        allowed = _methods(request)
        return answer(ApiProblem("method_not_allowed", headers={"Allow": allowed}, allowed=allowed), request)
    return answer(ApiProblem("route_not_found" if error.status_code == 404 else "internal_error"), request)


class LastResort:
    """ASGI middleware: what nobody expected becomes a problem, too. It is not raised on: the server would log its text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if scope["type"] != "http":
                raise
            # the class and the lines of code alone: the text of an exception may hold a value
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("unexpected %s at %s\n%s", type(error).__name__, _route(scope), where)
            if begun:
                raise BrokenOff from None  # the connection is closed: nobody takes half an answer for a whole one
            await answer(ApiProblem("internal_error"), Request(scope, receive))(scope, receive, send)


class BrokenOff(Exception):
    """The answer had begun when something unexpected failed."""


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "?")


def install(app: FastAPI) -> None:
    """Every error of the app becomes a problem."""
    app.add_exception_handler(ApiProblem, _on_problem)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(RequestValidationError, _on_parameters)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_middleware(LastResort)
