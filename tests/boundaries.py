"""The values at the limits of every field of the record, and just beyond them, taken from the typed record itself.

A field or a limit that is new is here without anybody thinking of it; only what no type says (the calendar, the clock, the
offsets, what text may hold) is written down.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

from schemas.record import MAX_ATTRIBUTES_BYTES, Record
from tests.unit.examples import MISSING

_ASTRAL: Final = "😀"  # outside the Basic Multilingual Plane: two units of UTF-16, four bytes of UTF-8
_BEYOND_ANY: Final = [2**31, 2**53 + 1, 2**63, 2**64, 10**40, -(2**63) - 1]
_AS_SENT: Final = object()
_COUNTRIES: Final = 200  # a list of codes with more than this is that of the countries
_OTHER_JSON: Final = [b"true", b"[1]", b'{"a":1}']


class Boundary(NamedTuple):
    """A value of the field at `path` (a JSON pointer). `code` is that of its refusal, None where it is accepted.

    `value` is a Python value, MISSING, or bytes of JSON. `in_schema` False: the rules say more than JSON Schema can.
    """

    path: str
    value: Any
    code: str | None = None
    stored: Any = _AS_SENT
    in_schema: bool = True
    pointer: str = ""  # of the refusal, where it is not the path

    @property
    def kept(self) -> Any:
        """What is stored of an accepted value."""
        return self.value if self.stored is _AS_SENT else self.stored

    @property
    def errors(self) -> list[tuple[str, str]]:
        """The code and the pointer of the refusal, if it is refused."""
        return [] if self.code is None else [(self.code, self.pointer or self.path)]


def boundaries() -> list[Boundary]:
    """All of them."""
    return list(_of_struct("", inspect.type_info(Record)))


def _of_struct(prefix: str, struct: Any) -> Iterator[Boundary]:
    for field in struct.fields:
        path = f"{prefix}/{field.encode_name}"
        kind, nullable = _without_null(field.type)
        if field.required:
            yield Boundary(path, MISSING, "required")
            yield Boundary(path, None, "required")
        else:
            yield Boundary(path, MISSING, stored=_default(field))
            yield Boundary(path, None) if nullable else Boundary(path, None, "wrong_type")
        yield from _of_type(path, kind)
    yield Boundary(f"{prefix}/more", "x", "unknown_field")
    yield Boundary(f"{prefix}/more", None, "unknown_field")


def _default(field: inspect.Field) -> Any:
    if field.encode_name == "attributes":
        return {}
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def _without_null(kind: Any) -> tuple[Any, bool]:
    kind = getattr(kind, "type", kind) if isinstance(kind, inspect.Metadata) else kind
    if isinstance(kind, inspect.UnionType):
        (found,) = (each for each in kind.types if not isinstance(each, inspect.NoneType))
        return _without_null(found)[0], True
    return kind, False


def _of_type(path: str, kind: Any) -> Iterator[Boundary]:
    kind, _ = _without_null(kind)
    makers: dict[type, Any] = {
        inspect.StrType: _texts,
        inspect.LiteralType: _codes,
        inspect.ListType: _lists,
        inspect.IntType: _whole_numbers,
        inspect.FloatType: _numbers,
        inspect.DateType: _dates,
        inspect.DateTimeType: _times,
        inspect.StructType: lambda path, kind: _of_struct(path, kind),
        inspect.RawType: _attributes,
    }
    yield from makers[type(kind)](path, kind)


def _wrong(path: str, code: str, *more: bytes) -> Iterator[Boundary]:
    yield from (Boundary(path, value, code) for value in (*_OTHER_JSON, *more))


def _texts(path: str, kind: inspect.StrType) -> Iterator[Boundary]:
    most = kind.max_length
    assert kind.min_length == 1 and most is not None
    yield from _wrong(path, "wrong_type", b"0", b"1.5")
    yield Boundary(path, "", "text_empty")
    yield Boundary(path, "\u200b\ufeff", "text_empty", in_schema=False)
    yield from (Boundary(path, one) for one in ("x", "đ", _ASTRAL, "\t", "\\N", '"', " ", "\uffff", "\U0010ffff"))
    for letter in ("x", "đ", _ASTRAL):
        yield Boundary(path, letter * most)
        yield Boundary(path, letter * (most + 1), "text_too_long")
    # measured in the form that is stored, which JSON Schema does not know
    yield Boundary(path, "e\u0301" * most, stored="é" * most, in_schema=False)
    yield Boundary(path, "e\u0301" * (most + 1), "text_too_long")
    yield Boundary(path, "\u200b" + "y" * most + "\u200d", stored="y" * most, in_schema=False)
    yield Boundary(path, "\u0958" * (most // 2), stored="\u0915\u093c" * (most // 2))
    yield Boundary(path, "\u0958" * (most // 2 + 1), "text_too_long", in_schema=False)
    for code, bad in (
        ("nul", "\x00"),
        ("control", "\x1f"),
        ("control", "\x7f"),
        ("control", "\x9f"),
        ("bidi", "\u202e"),
    ):
        yield Boundary(path, f"a{bad}b", f"text_{code}", in_schema=False)
    yield Boundary(path, b'"a\\ud800"', "text_surrogate", in_schema=False)


def _codes(path: str, kind: inspect.LiteralType) -> Iterator[Boundary]:
    values = sorted(kind.values)
    code = "country_unknown" if len(values) > _COUNTRIES else "unknown_code"
    yield from _wrong(path, "wrong_type", b"0")
    yield from (Boundary(path, value) for value in (values[0], values[-1]))
    for value in ("", values[0].swapcase(), values[0] + " ", values[0] + "\u200b", values[-1] + "x", "\x00"):
        yield Boundary(path, value, code)
    yield Boundary(path, b'"\\ud800"', code)


def _lists(path: str, kind: inspect.ListType) -> Iterator[Boundary]:
    item, _ = _without_null(kind.item_type)
    right = [each.value for each in _of_type("", item) if each.code is None and each.kept is each.value]
    least, most = kind.min_length or 0, kind.max_length
    assert most is not None
    yield from (Boundary(path, value, "wrong_type") for value in (b"true", b'{"a":1}', b'"x"', b"0"))
    yield Boundary(path, [right[0]] * least)
    if least:
        yield Boundary(path, [right[0]] * (least - 1), "list_too_short")
    yield Boundary(path, [right[-1]] * most)
    yield Boundary(path, [right[0]] * (most + 1), "list_too_long")
    yield Boundary(path, [*right[:2], None], "wrong_type", pointer=f"{path}/{len(right[:2])}")
    for each in _of_type(f"{path}/0", item):
        value = b"[" + each.value + b"]" if isinstance(each.value, bytes) else [each.value]
        kept = [each.kept] if each.code is None else None
        yield each._replace(path=path, value=value, stored=kept, pointer=f"{path}/0")


def _whole_numbers(path: str, kind: inspect.IntType) -> Iterator[Boundary]:
    least, most = kind.ge, kind.le
    assert least is not None and most is not None
    yield from _wrong(path, "wrong_type", b'"1"', b'"\\ud800"')
    yield from (Boundary(path, value) for value in (least, least + 1, most - 1, most))
    yield Boundary(path, b"-0", stored=0)
    yield from (
        Boundary(path, value, "out_of_range")
        for value in (least - 1, most + 1, *_BEYOND_ANY)
        if value > most or value < least
    )
    yield from (Boundary(path, b"%d.5" % most, "wrong_type"), Boundary(path, b"1.0", "wrong_type", in_schema=False))
    yield from (
        Boundary(path, b"1e2", "wrong_type", in_schema=False),
        Boundary(path, b"1e999", "wrong_type"),
    )


def _numbers(path: str, kind: inspect.FloatType) -> Iterator[Boundary]:
    least, most = kind.ge, kind.le
    assert least is not None and most is not None
    yield from _wrong(path, "wrong_type", b'"1"', b'"\\ud800"')
    yield from (Boundary(path, value) for value in (least, most, 0.1, 0.1 + 0.2, 5e-324, 1 - 2**-53))
    yield from (
        Boundary(path, b"-0.0", stored=0.0),
        Boundary(path, b"1e-999", stored=0.0),
        Boundary(path, b"1.0", stored=1),
    )
    yield Boundary(path, b"0." + b"9" * 300, stored=1)  # the nearest number that 64 bits can hold
    for value in (most + 2**-52, most + 1, least - 5e-324, least - 1, *_BEYOND_ANY):
        yield Boundary(path, value, "out_of_range")
    yield from (Boundary(path, value, "out_of_range") for value in (b"1e999", b"-1e999"))


def _dates(path: str, _: inspect.DateType) -> Iterator[Boundary]:
    yield from _wrong(path, "date_invalid", b"20260201")
    for day in ("0001-01-01", "9999-12-31", "2024-02-29", "2000-02-29", "1970-01-01", "2026-12-31"):
        yield Boundary(path, day)
    for day in ("0000-12-31", "2023-02-29", "1900-02-29", "2026-04-31"):
        yield Boundary(path, day, "date_invalid", in_schema=False)  # the calendar is not JSON Schema's
    for day in ("", "2026-00-01", "2026-13-01", "2026-01-00", "2026-01-32", "10000-01-01", "-0001-01-01", "20260201",
                "2026-2-1", "2026-W05-1", "2026-02-01Z", "2026-02-01T00:00:00Z", " 2026-02-01", "2026-02-0\u0661"):  # fmt: skip
        yield Boundary(path, day, "date_invalid")
    yield Boundary(path, b'"2026-02-01\\ud800"', "date_invalid")


def _times(path: str, _: inspect.DateTimeType) -> Iterator[Boundary]:
    yield from _wrong(path, "datetime_invalid", b"1762000000", b'"\\ud800"')
    yield from _right_times(path)
    yield from _wrong_times(path)


def _right_times(path: str) -> Iterator[Boundary]:
    day = "2026-11-20"
    for text, stored in {
        f"{day}T00:00:00Z": f"{day}T00:00:00",
        f"{day}T23:59:59.999999Z": f"{day}T23:59:59.999999",
        f"{day}t10:00:00z": f"{day}T10:00:00",
        f"{day} 10:00:00Z": f"{day}T10:00:00",
        f"{day}T10:00Z": f"{day}T10:00:00",
        f"{day}t10:00z": f"{day}T10:00:00",
        f"{day}T10:00+07:00": f"{day}T03:00:00",
        f"{day}T10:00-0330": f"{day}T13:30:00",
        f"{day}T10:00:00+0700": f"{day}T03:00:00",
        f"{day}T10:00:00-00:00": f"{day}T10:00:00",
        f"{day}T10:00:00.1Z": f"{day}T10:00:00.100000",
        f"{day}T10:00:00.123456789Z": f"{day}T10:00:00.123457",
        f"{day}T10:00:00.9999999Z": f"{day}T10:00:01",
        "2025-12-31T23:59:59.9999999Z": "2026-01-01T00:00:00",
        f"{day}T10:00:00+14:00": "2026-11-19T20:00:00",
        f"{day}T10:00:00+15:59": "2026-11-19T18:01:00",
        f"{day}T10:00:00-15:59": "2026-11-21T01:59:00",
        "2024-02-29T12:00:00Z": "2024-02-29T12:00:00",
        "1900-01-01T00:00:00Z": "1900-01-01T00:00:00",
        "1900-01-01T15:59:00+15:59": "1900-01-01T00:00:00",
        "1899-12-31T08:01:00-15:59": "1900-01-01T00:00:00",
    }.items():
        yield Boundary(path, text, stored=dt.datetime.fromisoformat(stored + "+00:00"))


def _wrong_times(path: str) -> Iterator[Boundary]:
    day = "2026-11-20"
    for text in (
        "", day, f"{day}T10:00:00", f"{day}T10:00", f"{day}T10Z", f"{day}T10:00:60Z", f"{day}T23:59:60Z", f"{day}T24:00:00Z",
        f"{day}T24:00Z", f"{day}T10:60Z", f"{day}T10:60:00Z", f"{day}T10:00:00.Z", f"{day}T10:00:00,5Z", f"{day}_10:00:00Z",
        f"{day}T10:00:00+16:00", f"{day}T10:00:00-16:00", f"{day}T10:00:00+23:59", f"{day}T10:00+16:00", f"{day}T10:00:00+24:00",
        f"{day}T10:00:00+07", f"{day}T10:00:00+7:00", f"{day}T10:00:00+07:60", f"{day}T10:00:00+07:00:30", f"{day}T10:00:00 +07:00",
        f"{day}T10:00:00Z ", f" {day}T10:00:00Z", f"{day}T10:00:00UTC", f"{day}T10:00:00+07:00[Asia/Ho_Chi_Minh]", f"{day}T10:00Zx",
        "20261120T100000Z", "2026-11-20T1:00:00Z", "2026-11-2T10:00:00Z", "10000-01-01T00:00:00Z", "2026-13-01T00:00:00Z",
        f"{day}T10:00:0\u0660Z", f"{day}T10:00:00\u2212" + "07:00",
    ):  # fmt: skip
        yield Boundary(path, text, "datetime_invalid")
    for text in ("0000-01-01T00:00:00Z", "2023-02-29T00:00:00Z", "2026-11-31T10:00Z", "9999-12-31T23:59:59.9999999Z"):
        yield Boundary(path, text, "datetime_invalid", in_schema=False)
    for text in (
        f"{day}T10:00:00Z\n",
        f"{day}T10:00Z\n",
    ):  # in Python `$` matches before a line feed, in other languages not
        yield Boundary(path, text, "datetime_invalid", in_schema=False)
    for text in ("0001-01-01T00:00:00+15:59", "1899-12-31T23:59:59.999999Z", "1900-01-01T15:58:59+15:59"):
        yield Boundary(path, text, "datetime_too_old", in_schema=False)
    for text in ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-15:59", "9999-12-31T23:59Z"):
        yield Boundary(path, text, "datetime_future", in_schema=False)


def _attributes(path: str, _: inspect.RawType) -> Iterator[Boundary]:
    room = MAX_ATTRIBUTES_BYTES - len('{"a":""}')
    yield from (Boundary(path, value, "wrong_type") for value in (b"true", b"[1]", b'"{}"', b"0"))
    yield from (Boundary(path, value) for value in ({}, {"": ""}, {"a": "x" * room}, {"a": _ASTRAL * (room // 4)}))
    yield Boundary(path, {"a": "x" * (room + 1)}, "attributes_too_large", in_schema=False)
    yield Boundary(path, {"a": "đ" * (room // 2 + 1)}, "attributes_too_large", in_schema=False)
    yield Boundary(path, b'{"a":1,"a":2}', stored={"a": 2})
    yield Boundary(path, b'{ "a" :\r\n\t[ 1 , {} ] }', stored={"a": [1, {}]})
    for code, bad in (("nul", b"\\u0000"), ("control", b"\\u009f"), ("bidi", b"\\u202e"), ("surrogate", b"\\ud800")):
        yield Boundary(path, b'{"a":["' + bad + b'"]}', f"text_{code}", in_schema=False)
        yield Boundary(path, b'{"' + bad + b'":1}', f"text_{code}", in_schema=False)
