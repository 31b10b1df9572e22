"""/openapi.json: what FastAPI finds out, with the schemas of the contract and of the answers, and without what is not
so."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from producer_api.http import answers
from producer_api.http.openapi import SCHEMAS
from producer_api.settings import ApiSettings
from schemas.json_schemas import components, shared


def install(app: FastAPI, settings: ApiSettings) -> None:
    """The app describes itself so."""
    made: list[dict[str, Any]] = []

    def described() -> dict[str, Any]:
        if not made:
            made.append(_document(app, settings))
        return made[0]

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way


def _document(app: FastAPI, settings: ApiSettings) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    for calls in document["paths"].values():
        for call in calls.values():
            for parameter in call["parameters"]:
                parameter["schema"] = shared(_given(parameter["schema"]), SCHEMAS)
    schemas = components(SCHEMAS, answers.ALL)
    for name, member in (("Submission", "records"), ("Corrections", "corrections")):
        schemas[name]["properties"][member]["maxItems"] = settings.api_json_records
    used = _used(document["paths"], schemas)
    document["components"] = {"schemas": {name: schemas[name] for name in sorted(used)}}
    return document


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter, which is given as text or not at all: there is no null in an address or a header."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "title")}
    return {**kinds[0], **rest} if len(kinds) == 1 else rest


def _used(node: Any, schemas: dict[str, Any]) -> set[str]:
    """Names of the schemas that the node refers to, and those refer to."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            name = str(each.get("$ref", "")).removeprefix(SCHEMAS)
            if name and name not in found:
                found.add(name)
                waiting.append(schemas[name])
            waiting += each.values()
    return found
