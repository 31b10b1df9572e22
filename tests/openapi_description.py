"""/openapi.json as a measure: whether an answer is what the document says of that call, status and media type."""

import re
from typing import Any, Final

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

_URI: Final = "urn:openapi"


class Description:
    """Of a running API. `seen` gathers (operation, status, media type) of what was held against it."""

    def __init__(self, http: httpx.Client) -> None:
        self.document: dict[str, Any] = http.get("/openapi.json").json()
        self._registry: Registry[Any] = Registry().with_resource(
            _URI, Resource.from_contents(self.document, default_specification=DRAFT202012)
        )
        self._calls = {
            (method.upper(), re.sub(r"\{\w+\}", "[^/]+", path)): call
            for path, methods in self.document["paths"].items()
            for method, call in methods.items()
        }
        self.seen: set[tuple[str, str, str]] = set()

    def call(self, operation: str) -> dict[str, Any]:
        """What the document says of it."""
        return next(call for call in self._calls.values() if call["operationId"] == operation)

    def parameter(self, operation: str, name: str) -> dict[str, Any]:
        """The schema of a parameter."""
        found = next(each for each in self.call(operation)["parameters"] if each["name"] == name)
        return dict(found["schema"])

    def errors(self, schema: dict[str, Any], value: Any) -> list[str]:
        """Where the value is not what the schema says."""
        validator = Draft202012Validator(_placed(schema), registry=self._registry, format_checker=FormatChecker())
        return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]

    def hold(self, answer: httpx.Response) -> None:
        """Raises AssertionError where the answer is not as it is described. Reads it."""
        request = answer.request
        call = next(
            call
            for (method, path), call in self._calls.items()
            if method == request.method and re.fullmatch(path, request.url.path)
        )
        status = str(answer.status_code) if str(answer.status_code) in call["responses"] else "default"
        described, where = call["responses"][status], (call["operationId"], status)
        media = answer.headers.get("content-type", "").partition(";")[0]
        self.seen.add((*where, media))
        for name, header in described.get("headers", {}).items():
            value = answer.headers.get(name)
            assert value is not None or not header.get("required"), (where, name)
            if value is not None:
                given = int(value) if header["schema"]["type"] == "integer" else value
                assert self.errors(header["schema"], given) == [], (where, name, value)
        assert (media or None) in (described.get("content") or {None: None}), (where, media)
        if media.endswith("json") and not media.endswith("ndjson"):
            body = answer.read()
            found = self.errors(described["content"][media]["schema"], answer.json())
            assert found == [], (where, found, body[:500])
        if media == "application/problem+json":
            assert answer.json()["code"] in described["description"].split(", "), where


def _placed(schema: Any) -> Any:
    """With references that lead into the document."""
    if isinstance(schema, list):
        return [_placed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _URI + value if key == "$ref" and value.startswith("#") else _placed(value)
        for key, value in schema.items()
    }
