"""The bounds of `attributes`, and of nesting everywhere in a record: one verdict, whichever way a record is read."""

import json
import math
import random
import struct
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.attributes import attributes_are_right, attributes_error
from schemas.errors import FieldError
from schemas.raw_records import split_records
from schemas.record import MAX_ATTRIBUTES_BYTES, MAX_DEPTH, MAX_NUMBER_DIGITS
from schemas.structure import flattened, is_deeper, pointer_to, too_deep, walk
from schemas.validation import examine
from tests.unit.examples import FULL, MINIMAL, NOW, encode
from tests.unit.test_decoder import Message, read

# Each parser's own depth lies around one of these: msgspec, json and PostgreSQL by the stack, strict ones of other languages
DEPTHS = [
    1,
    2,
    *range(MAX_DEPTH - 2, MAX_DEPTH + 3),
    63,
    64,
    65,
    100,
    128,
    485,
    500,
    900,
    990,
    1_000,
    1_024,
    5_000,
    40_000,
]
OPEN = {"lists": ("[", "]"), "objects": ('{"a":', "}")}


def with_attributes(attributes: str) -> bytes:
    return encode(MINIMAL | {"attributes": "@"}).replace(b'"@"', attributes.encode())


def verdicts(raw: bytes) -> Iterator[FieldError | None]:
    """What is said of a record alone, in an array, beside one that is wrong, and by `:validate`."""
    yield next(iter(examine(raw, NOW).errors), None)
    for beside in ([], [encode(MINIMAL)], [b"17"]):
        incoming = read(Message(b"[" + b",".join([*beside, raw]) + b"]"))
        errors = {each.position: each.errors[0] for each in incoming.rejected}
        yield errors.get(len(beside))
    incoming = read(Message(raw))
    yield incoming.rejected[0].errors[0] if incoming.rejected else None


def verdict(raw: bytes) -> tuple[str, str] | None:
    """The one that all agree on."""
    first, *others = [None if error is None else (error.code, error.pointer) for error in verdicts(raw)]
    assert all(other == first for other in others), (first, others)
    return first


@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.parametrize("depth", DEPTHS)
def test_nesting_has_one_limit_whatever_a_parser_could_read(depth: int, kind: str) -> None:
    opening, closing = OPEN[kind]
    raw = with_attributes('{"a":' + opening * (depth - 1) + "1" + closing * (depth - 1) + "}")
    path = "/attributes" + ("/a" + "/0" * (MAX_DEPTH - 1) if kind == "lists" else "/a" * MAX_DEPTH)
    assert verdict(raw) == (None if depth <= MAX_DEPTH else ("nested_too_deep", path))


@pytest.mark.parametrize("field", ["name", "data_fields", "transfer", "discovered_at", "confidence", "nobody_knows"])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 400, 900, 20_000])
def test_nesting_is_bounded_in_every_field(field: str, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    raw = encode(FULL | {field: "@"}).replace(b'"@"', deep)
    assert verdict(raw) == ("nested_too_deep", f"/{field}" + "/0" * MAX_DEPTH)
    outcome = examine(raw, NOW)
    assert (len(outcome.errors), outcome.original) == (1, raw)
    assert outcome.activity_key == FULL["activity_key"]


def test_what_else_is_wrong_is_reported_beside_the_nesting() -> None:
    raw = encode(FULL | {"name": "", "attributes": "@"}).replace(b'"@"', b"[" * 2_000 + b"]" * 2_000)
    found = {error.pointer: error.code for error in examine(raw, NOW).errors}
    assert found == {"/name": "text_empty", "/attributes" + "/0" * MAX_DEPTH: "nested_too_deep"}


def test_brackets_in_text_are_no_nesting() -> None:
    for text in ("[" * 4_000, '{"a":' * 500, '\\"[' * 500, "]" * 4_000):
        assert verdict(with_attributes(json.dumps({"a": text}))) is None
    assert verdict(with_attributes('{"a":[' + ",".join(["[]"] * 1_000) + "]}")) is None


def _doubles() -> Iterator[float]:
    dice = random.Random(7)
    yield from (
        0.0,
        sys.float_info.max,
        sys.float_info.min,
        math.ulp(0.0),
        sys.float_info.epsilon,
        1.7976931348623157e308,
    )
    for _ in range(2_000):
        (value,) = struct.unpack("<d", dice.randbytes(8))
        if math.isfinite(value):
            yield value
    yield from (math.ldexp(1.0, power) for power in range(-1074, 1024))


def test_every_double_is_a_number() -> None:
    for value in _doubles():
        for text in (repr(value), repr(-value), f"{value:.17g}", f"{value:.16e}", f"{value:E}"):
            assert verdict_of_attributes(f'{{"a":{text}}}') is None, text


def verdict_of_attributes(attributes: str) -> tuple[str, str] | None:
    """Of attributes alone, by both ways."""
    raw = attributes.encode()
    error = attributes_error(raw)
    assert attributes_are_right([raw]) == (error is None)
    assert attributes_are_right([b"{}", raw, b"{}"]) == (error is None)
    return None if error is None else (error.code, error.pointer)


@pytest.mark.parametrize(
    ("number", "right"),
    [
        ("1e349", True), ("1E+349", True), ("1e0000349", True), ("-9.5e348", True), ("1e-349", True), ("0e349", True),
        ("1e350", False), ("1E+350", False), ("1e0000350", False), ("-9.5e350", False), ("1e-350", False),
        ("1e4300", False), ("1e131071", False), ("1e-131071", False), ("1e200000", False), ("0e-99999", False),
        ("1e99999999999999999999", False), ("1e-99999999999999999999", False), ("1e" + "9" * 4_000, False),
        ("1" * 350, True), ("1" * 351, False), ("0." + "1" * 349, True), ("0." + "1" * 350, False),
        ("1" * 175 + "." + "1" * 175, True), ("1" * 176 + "." + "1" * 175, False), ("0." + "0" * 400 + "1", False),
        ("1e2", True), ("1.10", True), ("0.1234567890123456789012", True), ("-0", True), ("-0.0", True),
    ],
)  # fmt: skip
def test_a_number_is_measured_written_out(number: str, right: bool) -> None:
    expected = None if right else ("number_too_long", "/attributes/a b/1/c")
    assert verdict_of_attributes(f'{{"x":"1e9999","a b":["1e9999",{{"c":{number}}}]}}') == expected
    assert verdict(with_attributes(f'{{"a b":[0,{{"c":{number}}}]}}')) == expected


def test_all_numbers_together_are_measured_written_out() -> None:
    """So that what comes out of the database is in proportion to what went in."""
    for count, right in ((13, True), (14, False)):
        numbers = ",".join(["1e308"] * count)
        expected = None if right else ("attributes_too_large", "/attributes")
        assert verdict(with_attributes(f'{{"a":[{numbers}]}}')) == expected, count


def test_a_wrong_number_in_text_is_text() -> None:
    assert verdict_of_attributes('{"1e9999":"1e9999","b":"' + "1" * 1_000 + '"}') is None


def test_a_pointer_stays_short_and_names_an_enclosing_place() -> None:
    name = "đ" * 70
    error = attributes_error(json.dumps({name: {name: {name: [1, {"a/b": 10**400}]}}}, ensure_ascii=False).encode())
    assert error is not None and error.pointer == f"/attributes/{name}/{name}"
    assert pointer_to([b'"a~/b"', 3, b'"\\ud800"', b'"\\u0000"'], "/x") == "/x/a~0~1b/3/\\ud800/\ufffd"


_leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return int(isinstance(value, dict | list)) + max(map(depth_of, inner), default=0)


@settings(max_examples=300, deadline=None)
@given(_values, st.booleans(), st.integers(1, 4))
def test_structure_is_seen_as_a_parser_sees_it(value: Any, escaped: bool, most: int) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    depth = depth_of(value)
    assert is_deeper(text, most) == (depth > most)
    pointer = too_deep(text, most)
    assert (pointer is None) == (depth <= most)
    if pointer is not None:
        assert pointer.count("/") == most
        assert depth_of(msgspec.json.decode(flattened(text, most))) == most + 1
    numbers = [token for token, _ in walk(text) if token[:1] not in (b"[", b"{")]
    assert all(Decimal(token.decode()).is_finite() for token in numbers)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('[]{},:"\\1e-a \n'), max_size=60))
def test_any_bytes_can_be_looked_at(text: str) -> None:
    raw = text.encode()
    for most in (1, 3):
        assert (too_deep(raw, most) is not None) == is_deeper(raw, most)
        flattened(raw, most)
    attributes_error(b"{" + raw)


def test_a_deep_record_is_told_from_its_neighbours() -> None:
    deep = with_attributes('{"a":' + "[" * 50_000 + "]" * 50_000 + "}")
    assert split_records(b"[" + encode(MINIMAL) + b"," + deep + b"]") == [encode(MINIMAL), deep]


def test_the_limits_leave_room() -> None:
    assert MAX_DEPTH + 8 < 64  # what strict parsers take, with an answer around the record
    assert MAX_NUMBER_DIGITS > 341
    assert MAX_ATTRIBUTES_BYTES >= MAX_NUMBER_DIGITS
