"""Records of every shape whose cost might be out of proportion to its size: for what readers make of them."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.unit.examples import FULL, MINIMAL

Shape = Callable[[int], bytes]  # number -> a record of that number


def _encode(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _with(base: Mapping[str, Any] = MINIMAL, **fields: Any) -> Shape:
    return lambda number: _encode({**base, **fields, "activity_key": f"k/{number:05}"})


def _attributes(text: str) -> Shape:
    assert len(text.encode()) <= 4_096
    return lambda number: _with(attributes="@")(number).replace(b'"@"', text.encode())


def _list(item: str, count: int) -> str:
    return '{"a":[' + ",".join([item] * count) + "]}"


ACCEPTED: Final[dict[str, Shape]] = {
    "minimal": _with(),
    "full": _with(FULL),
    "large exponents": _attributes(_list("1e308", 13)),
    "small exponents": _attributes(_list("1e-324", 12)),
    "digits": _attributes(_list("1" * 350, 11)),
    "one-digit numbers": _attributes(_list("1", 2_040)),
    "small keys": _attributes("{" + ",".join(f'"{number:x}":1' for number in range(500)) + "}"),
    "empty lists": _attributes(_list("[]", 1_300)),
    "nested": _attributes('{"a":' + "[" * 31 + "]" * 31 + "}"),
    "nested objects": _attributes(
        "{" + ",".join(f'"{n:02}":' + '{"a":' * 31 + "1" + "}" * 31 for n in range(19)) + "}"
    ),
    "escapes": _with(name='"' * 500, purpose="\\" * 500, attributes={"a": "\n" * 2_000}, recipients=["\t" * 300] * 100),
    "grows in NFC": _with(name="\u0958" * 250, data_fields=["\u0958" * 150] * 200, attributes={"a": "\u0958" * 600}),
    "wide characters": _with(name="😀" * 500, purpose="😀" * 500, data_fields=["😀" * 300] * 150),
    "many fields": _with(data_fields=["c"] * 200, recipients=["r"] * 100),
    "many codes": _with(data_categories=["basic_name"] * 50, data_subjects=["customer"] * 20),
}
REJECTED: Final[dict[str, Shape]] = {
    "nothing in it": lambda _: b"{}",
    "no object": lambda _: b"0",
    "one unknown field": lambda _: b'{"a":1}',
    "unknown fields": lambda _: b"{" + b",".join(b'"%d":1' % number for number in range(20_000)) + b"}",
    "long names": lambda _: _encode({"😀" * 90 + str(number): number for number in range(40)}),
    "long key": lambda number: _encode({"activity_key": "\n" * 295 + str(number)}),
    "long text": lambda _: _encode({"name": "đ" * 100_000}),
    "no UTF-8": lambda _: b'{"name":"' + b"\xff" * 10_000 + b'"}',
    "no JSON": lambda _: b"x" * 20_000,
    "control characters": lambda _: b"\x01" * 20_000,
    "nested too deep": lambda _: b'{"attributes":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "a number too long": lambda number: _attributes('{"a":1e4000}')(number),
    "long pointer": lambda number: _attributes('{"' + "😀" * 60 + '":{"' + "😀" * 70 + '":1e999}}')(number),
    "digits too long": lambda number: _with(attributes={"a": 0})(number).replace(b"0}", b"1" * 3_000 + b"}"),
}
