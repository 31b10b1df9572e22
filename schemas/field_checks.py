"""A field's value held to its rules: the checks are made from the type that the field has in its struct.

What a type can say and no check holds to raises TypeError when it is read, so that no rule of a struct goes unchecked.
"""

import datetime as dt
import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import inspect

from schemas.codes import COUNTRIES
from schemas.errors import FieldError
from schemas.record import OFFSET_LIMIT
from schemas.structure import pointer_part
from schemas.text import TextRefused, normalise

_encode = msgspec.json.Encoder().encode
_TO_THE_MINUTE: Final = re.compile(r"(.{10}[Tt ][0-9]{2}:[0-9]{2})([Zz+-].*)")  # as Java writes a full minute
# msgspec.convert of text to a time of day is the very parser the fast way uses
_to_datetime = msgspec.json.Decoder(dt.datetime).decode
_to_date = msgspec.json.Decoder(dt.date).decode


class Refusal(Exception):
    """A field is not right; carries the FieldError."""

    def __init__(self, code: str, pointer: str = "", **params: str | int) -> None:
        super().__init__(code)
        self.error = FieldError(code, pointer, params)


Check = Callable[[Any, str], Any]  # (decoded value, pointer) -> value as stored; raises Refusal


def _text(maximum: int) -> Check:
    def check(value: object, pointer: str) -> str:
        if not isinstance(value, str):
            raise Refusal("wrong_type", pointer, expected="text")
        try:
            value = normalise(value)
        except TextRefused as refused:
            raise Refusal(refused.code, pointer) from None
        if not value:
            raise Refusal("text_empty", pointer)
        if len(value) > maximum:
            raise Refusal("text_too_long", pointer, max=maximum)
        return value

    return check


def _code(allowed: frozenset[str], unknown: str = "unknown_code") -> Check:
    def check(value: object, pointer: str) -> str:
        if not isinstance(value, str):
            raise Refusal("wrong_type", pointer, expected="text")
        if value not in allowed:
            raise Refusal(unknown, pointer)
        return value

    return check


def _list(item: Check, minimum: int, maximum: int) -> Check:
    def check(value: Any, pointer: str) -> list[Any]:
        if not isinstance(value, list):
            raise Refusal("wrong_type", pointer, expected="list")
        if len(value) < minimum:
            raise Refusal("list_too_short", pointer, min=minimum)
        if len(value) > maximum:
            raise Refusal("list_too_long", pointer, max=maximum)
        return [item(each, f"{pointer}/{position}") for position, each in enumerate(value)]

    return check


def _number(kind: type, word: str, minimum: int, maximum: int) -> Check:
    def check(value: Any, pointer: str) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or (kind is float and isinstance(value, float))):
            raise Refusal("wrong_type", pointer, expected=word)
        if not minimum <= value <= maximum:
            raise Refusal("out_of_range", pointer, min=minimum, max=maximum)
        return value

    return check


def offset_is_right(moment: dt.datetime) -> bool:
    """True where there is an offset, and one that PostgreSQL takes. The typed decode looks at the first alone."""
    offset = moment.utcoffset()
    return offset is not None and -OFFSET_LIMIT < offset < OFFSET_LIMIT


def _moment(decode: Callable[[bytes], Any], value: Any, code: str, pointer: str) -> Any:
    # Nothing but ASCII writes a date or a time, and a lone surrogate cannot even be encoded.
    if not isinstance(value, str) or not value.isascii():
        raise Refusal(code, pointer)
    try:
        return decode(_encode(value))
    except msgspec.MsgspecError:
        raise Refusal(code, pointer) from None


def _date(value: Any, pointer: str) -> Any:
    _moment(_to_date, value, "date_invalid", pointer)
    return value


def _datetime(value: Any, pointer: str) -> Any:
    if isinstance(value, str) and (to_the_minute := _TO_THE_MINUTE.fullmatch(value)):
        value = f"{to_the_minute[1]}:00{to_the_minute[2]}"
    if not offset_is_right(_moment(_to_datetime, value, "datetime_invalid", pointer)):
        raise Refusal("datetime_invalid", pointer)
    return value


def _object(fields: dict[str, Check], required: frozenset[str]) -> Check:
    def check(value: Any, pointer: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Refusal("wrong_type", pointer, expected="object")
        result = {}
        for name in value:
            if name not in fields:
                raise Refusal("unknown_field", f"{pointer}/{pointer_part(name)}")
        for name, field in fields.items():
            given = value.get(name)
            if given is not None:
                result[name] = field(given, f"{pointer}/{name}")
            elif name in required:
                raise Refusal("required", f"{pointer}/{name}")
        return result

    return check


def struct_fields(struct: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    """What a struct says of its fields."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return info.fields


def may_be_null(kind: inspect.Type) -> bool:
    """Whether null stands for a value that is not given."""
    return isinstance(kind, inspect.UnionType) and kind.includes_none


def given_type(kind: inspect.Type) -> inspect.Type:
    """The type of a value that is given: without null, and without what is said to readers of the schema alone."""
    if isinstance(kind, inspect.Metadata):
        return given_type(kind.type)
    if isinstance(kind, inspect.UnionType):
        kinds = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        return given_type(kinds[0]) if len(kinds) == 1 else kind
    return kind


def check_of(kind: inspect.Type) -> Check:
    """The check of a field by its type. Raises TypeError."""
    given = given_type(kind)
    make = _MAKERS.get(type(given))
    if make is None:
        raise TypeError(f"no check holds a value to {given}")
    return make(given)


def _held(kind: inspect.Type, checked: inspect.Type) -> None:
    """`checked` is all that the check looks at; whatever else the type says would go unchecked."""
    if kind != checked:
        raise TypeError(f"no check holds a value to {kind}")


def _text_of(kind: inspect.StrType) -> Check:
    maximum = kind.max_length or 0
    _held(kind, inspect.StrType(min_length=1, max_length=maximum))
    return _text(maximum)


def _code_of(kind: inspect.LiteralType) -> Check:
    allowed = frozenset(map(str, kind.values))
    return _code(allowed, "country_unknown" if allowed == COUNTRIES else "unknown_code")


def _list_of(kind: inspect.ListType) -> Check:
    maximum = kind.max_length or 0
    _held(kind, inspect.ListType(kind.item_type, min_length=kind.min_length, max_length=maximum))
    return _list(check_of(kind.item_type), kind.min_length or 0, maximum)


def _integer_of(kind: inspect.IntType) -> Check:
    minimum, maximum = kind.ge or 0, kind.le or 0
    _held(kind, inspect.IntType(ge=minimum, le=maximum))
    return _number(int, "integer", minimum, maximum)


def _number_of(kind: inspect.FloatType) -> Check:
    minimum, maximum = int(kind.ge or 0), int(kind.le or 0)
    _held(kind, inspect.FloatType(ge=minimum, le=maximum))
    return _number(float, "number", minimum, maximum)


def _date_of(kind: inspect.DateType) -> Check:
    return _date


def _datetime_of(kind: inspect.DateTimeType) -> Check:
    _held(kind, inspect.DateTimeType(tz=True))
    return _datetime


def _object_of(kind: inspect.StructType) -> Check:
    _held(kind, inspect.StructType(kind.cls, kind.fields, forbid_unknown_fields=True))
    required = frozenset(field.name for field in kind.fields if field.required)
    return _object({field.name: check_of(field.type) for field in kind.fields}, required)


_MAKERS: Final[dict[type[inspect.Type], Callable[[Any], Check]]] = {
    inspect.StrType: _text_of,
    inspect.LiteralType: _code_of,
    inspect.ListType: _list_of,
    inspect.IntType: _integer_of,
    inspect.FloatType: _number_of,
    inspect.DateType: _date_of,
    inspect.DateTimeType: _datetime_of,
    inspect.StructType: _object_of,
}


def texts_of(struct: type[msgspec.Struct]) -> Callable[[Any], list[str]]:
    """Lists every text of a value of the struct, so that one look is enough for all of them; codes are none. Free-form JSON
    is left out."""
    optional: list[Callable[[Any], Any]] = []
    lists: list[Callable[[Any], Any]] = []
    within: list[tuple[Callable[[Any], Any], Callable[[Any], list[str]]]] = []
    required: list[str] = []
    for field in struct_fields(struct):
        kind = given_type(field.type)
        if isinstance(kind, inspect.StrType):
            if field.required:
                required.append(field.name)
            else:
                optional.append(attrgetter(field.name))
        elif isinstance(kind, inspect.ListType) and isinstance(kind.item_type, inspect.StrType):
            lists.append(attrgetter(field.name))
        elif isinstance(kind, inspect.StructType):
            within.append((attrgetter(field.name), texts_of(kind.cls)))
    if len(required) < 2:  # of one name attrgetter gives no tuple
        optional += map(attrgetter, required)
        required = []
    return _lister(attrgetter(*required) if required else lambda _: (), optional, lists, within)


def _lister(
    always: Callable[[Any], tuple[str, ...]],
    optional: list[Callable[[Any], Any]],
    lists: list[Callable[[Any], Any]],
    within: list[tuple[Callable[[Any], Any], Callable[[Any], list[str]]]],
) -> Callable[[Any], list[str]]:
    def texts(value: Any) -> list[str]:
        found: list[str] = [*always(value)]
        for get in optional:
            text = get(value)
            if text:
                found.append(text)
        for get in lists:
            found += get(value)
        for get, texts_within in within:
            part = get(value)
            if part is not None:
                found += texts_within(part)
        return found

    return texts
