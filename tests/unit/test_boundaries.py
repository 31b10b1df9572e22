"""At the limits of every field: the rules' verdict is the expected one, and the published JSON Schema's is the same."""

import json
from typing import Any

import jsonschema
import pytest

from schemas import documents
from tests.boundaries import Boundary, boundaries
from tests.unit.examples import FULL, changed, encode, outcome_of

BOUNDARIES = boundaries()
_HERE = "@here@"


def record_with(boundary: Boundary, **fields: Any) -> bytes:
    """The full record with the value in its place; other fields by name."""
    value = boundary.value
    if not isinstance(value, bytes):
        return encode(changed(boundary.path, value, FULL | fields))
    return encode(changed(boundary.path, _HERE, FULL | fields)).replace(f'"{_HERE}"'.encode(), value)


PATHS = sorted({each.path for each in BOUNDARIES})


def at(path: str) -> list[Boundary]:
    return [each for each in BOUNDARIES if each.path == path]


@pytest.mark.parametrize("path", PATHS)
def test_the_verdict_at_the_limits(path: str) -> None:
    for boundary in at(path):
        found = [(error.code, error.pointer) for error in outcome_of(record_with(boundary)).errors]
        assert found == boundary.errors, boundary


@pytest.fixture(scope="module")
def schema() -> Any:
    published = json.loads((documents.DIRECTORY / "record.v1.schema.json").read_text(encoding="utf-8"))
    return jsonschema.validators.validator_for(published)(published)


@pytest.mark.parametrize("path", PATHS)
def test_the_published_schema_says_the_same_where_it_can(path: str, schema: Any) -> None:
    for boundary in at(path):
        accepted = schema.is_valid(json.loads(record_with(boundary)))
        # an exception that is none must not be called one
        assert (accepted == (boundary.code is None)) == boundary.in_schema, boundary


def test_every_field_has_limits_that_are_looked_at() -> None:
    assert {f"/{name}" for name in FULL} <= {each.path for each in BOUNDARIES if each.code is None}
