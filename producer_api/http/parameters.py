"""The query of a request against what its call takes: a parameter that would be passed over in silence is refused by
name.

A filter that is written wrong would otherwise give an answer about everything, and nobody would notice.
"""

import difflib
from collections.abc import Iterable
from typing import Any, Final

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from producer_api.http.problems import request_invalid
from schemas.problems import printable, request_error

_LIKE_ENOUGH: Final = 0.6  # of difflib


def _known(request: Request) -> list[str]:
    """The names that the call takes in its query: those of its function, and those its description adds."""
    route: APIRoute = request.scope["route"]
    declared = {each.alias for each in get_flat_params(route.dependant) if isinstance(each.field_info, Query)}
    described = (route.openapi_extra or {}).get("parameters", ())
    names = declared | {each["name"] for each in described if each["in"] == "query"}
    return sorted(names - request.path_params.keys())  # the route does not know what is in the path before its own


def check_parameters(request: Request) -> None:
    """A dependency of every call. Raises ApiProblem request_invalid."""
    if not request.url.query:
        return
    known = _known(request)
    names = [name for name, _ in request.query_params.multi_items()]
    wrong = [_unknown(name, known) for name in dict.fromkeys(names) if name not in known]
    wrong += [request_error("parameter_repeated", name, parameter=True) for name in known if names.count(name) > 1]
    if wrong:
        raise request_invalid(wrong)


def refuse_parameters(request: Request, names: Iterable[str], code: str) -> None:
    """Refuses those of the call's parameters that hold only for another kind of body, or of answer: `code` says what to
    do with them. Raises ApiProblem request_invalid."""
    wrong = [request_error(code, name, parameter=True) for name in names if name in request.query_params]
    if wrong:
        raise request_invalid(wrong)


def _unknown(name: str, known: list[str]) -> dict[str, Any]:
    shown = printable(name)
    if not known:
        return request_error("parameter_unexpected", shown, parameter=True)
    near = difflib.get_close_matches(name.lower(), known, 1, _LIKE_ENOUGH)
    if near:
        return request_error("parameter_misspelt", shown, parameter=True, expected=f"«{near[0]}»")
    return request_error("parameter_unknown", shown, parameter=True, allowed=", ".join(known))
