"""A field's value held to its rules, one check for each kind of value."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, Final, get_args

import msgspec

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


def _literals(literal: Any) -> frozenset[str]:
    return frozenset(get_args(literal))
