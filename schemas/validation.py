"""From the bytes of a message to records and reasons.

The fast way: one typed decode of the whole message accepts what is right. Only what it does not accept, or what holds
text that may need mending, takes the thorough way through `examine`, which finds every error of one record. The two
agree: whatever the fast way accepts, `examine` accepts unchanged (a property test holds this).
"""

import datetime as dt
import json
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from schemas.attributes import POINTER as ATTRIBUTES
from schemas.attributes import attributes_error
from schemas.errors import FieldError
from schemas.field_checks import Refusal, check_of, may_be_null, struct_fields, texts_of
from schemas.format_mistakes import wrong_value
from schemas.record import (
    CLOCK_TOLERANCE,
    EARLIEST,
    MAX_DEPTH,
    MAX_UNKNOWN_FIELDS,
    Record,
)
from schemas.structure import flattened, pointer_part, too_deep
from schemas.text import TextRefused, is_clean, normalise
from schemas.topics import MAX_RECORD_BYTES

_decode_any = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_JSON_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


_FIELDS: Final = struct_fields(Record)
_CHECKS: Final = {field.name: check_of(field.type) for field in _FIELDS if field.name != "attributes"}
_REQUIRED: Final = frozenset(field.name for field in _FIELDS if field.required)
_NULLABLE: Final = frozenset(field.name for field in _FIELDS if may_be_null(field.type))
_texts: Final = texts_of(Record)


def _attributes(raw: bytes, pointer: str) -> bytes:
    """Checks and normalises the strings inside a JSON object without touching its numbers; measures what is stored."""
    if not raw.startswith(b"{"):
        raise Refusal("wrong_type", pointer, expected="object")
    text = raw.decode()

    def mend(match: re.Match[str]) -> str:
        inner = _decode_any(match[0])
        mended = normalise(inner)
        return match[0] if mended == inner else _encode(mended).decode()

    try:
        mended = _JSON_STRING.sub(mend, text).encode()
    except TextRefused as refused:
        raise Refusal(refused.code, pointer) from None
    except msgspec.MsgspecError:  # the syntax was read already: only an escape for half a character is left
        raise Refusal("text_surrogate", pointer) from None
    error = attributes_error(mended)
    if error is not None:
        raise Refusal(error.code, error.pointer, **error.params)
    return mended


def _decode_loosely(raw: bytes, constant: Callable[[str], Any] = float) -> Any:
    """Decodes what JSON's grammar allows and msgspec cannot hold, lone surrogates and huge numbers, so that the fields'
    own checks can say where it stands. An integer keeps its first 40 digits: far outside every range all the same.
    """
    return json.loads(raw.decode(), parse_int=lambda digits: int(digits[:40]), parse_constant=constant)


def _not_json(constant: str) -> Any:
    raise ValueError(f"{constant} is Python's, not JSON's")


def _split_loosely(raw: bytes) -> dict[str, Any]:
    """The fields of a record with lone surrogates in it, encoded one by one. Raises ValueError."""
    if not _SURROGATE_ESCAPE.search(raw):
        raise ValueError("malformed")
    fields = _decode_loosely(raw, _not_json)
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    # backslashreplace turns a lone surrogate back into its JSON escape
    return {
        name: json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace") for name, value in fields.items()
    }


def fields_of(raw: bytes) -> dict[str, Any]:
    """One record's JSON as {name: the value's JSON}. Raises Refusal."""
    try:
        raw.decode()
        return _decode_fields(raw)
    except UnicodeDecodeError:
        raise Refusal("encoding_invalid") from None
    except RecursionError:
        raise _too_deep(raw) from None
    except msgspec.MsgspecError:
        try:
            return _split_loosely(raw)
        except RecursionError:
            raise _too_deep(raw) from None
        except ValueError:
            raise Refusal("record_not_object") from None


def _too_deep(raw: bytes) -> Refusal:
    return Refusal("nested_too_deep", too_deep(raw, MAX_DEPTH + 1) or "", max=MAX_DEPTH)


def _value_of(field: Any) -> Any:
    try:
        return _decode_any(field)
    except msgspec.MsgspecError:
        return _decode_loosely(bytes(field))


class ExaminedRecord(NamedTuple):
    """One record of a message: either `record`, or every reason against it in `errors`, with its bytes as they came."""

    record: Record | None
    errors: tuple[FieldError, ...] = ()
    activity_key: str | None = None
    original: bytes = b""


def time_error(discovered_at: dt.datetime, now: dt.datetime) -> FieldError | None:
    """What the clock has against `discovered_at`, if anything."""
    if discovered_at > now + CLOCK_TOLERANCE:
        return FieldError("datetime_future", "/discovered_at", {"minutes": int(CLOCK_TOLERANCE.total_seconds() // 60)})
    if discovered_at < EARLIEST:
        return FieldError("datetime_too_old", "/discovered_at", {"year": EARLIEST.year})
    return None


def _usual_mistake(raw: bytes) -> FieldError | None:
    """What is wrong with a record that cannot be read, or with the text of one, where its bytes tell."""
    try:
        text = _decode_any(raw) if raw.startswith(b'"') else raw.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    code = wrong_value(text)
    return FieldError(code) if code is not None else None


def examine(raw: bytes, now: dt.datetime) -> ExaminedRecord:  # noqa: C901, PLR0912 - the rules, each once and in their order
    """The thorough way: one record's JSON to the record in its stored form, or to all that is wrong with it."""
    raw = raw.strip(b" \t\r\n")
    if len(raw) > MAX_RECORD_BYTES:
        return ExaminedRecord(None, (FieldError("record_too_large", "", {"max_bytes": MAX_RECORD_BYTES}),), None, raw)
    deep = too_deep(raw, MAX_DEPTH + 1)  # the record's own object is not counted
    try:
        fields = fields_of(raw if deep is None else flattened(raw, MAX_DEPTH + 1))
    except Refusal as refusal:
        return ExaminedRecord(None, (_usual_mistake(raw) or refusal.error,), None, raw)
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    unknown = 0
    for name, field in fields.items():
        try:
            if deep is not None and deep.split("/")[1] == pointer_part(name):
                raise Refusal("nested_too_deep", deep, max=MAX_DEPTH)
            if name == "attributes":
                values[name] = msgspec.Raw(_attributes(bytes(field), ATTRIBUTES))
            elif name not in _CHECKS:
                unknown += 1
                if unknown > MAX_UNKNOWN_FIELDS:
                    continue
                raise Refusal("unknown_field", f"/{pointer_part(name)}")
            else:
                value = _value_of(field)
                if value is None and name in _REQUIRED:
                    raise Refusal("required", f"/{name}")
                if value is not None or name not in _NULLABLE:
                    values[name] = _CHECKS[name](value, f"/{name}")
        except Refusal as refusal:
            errors.append(refusal.error)
    errors.extend(FieldError("required", f"/{name}") for name in sorted(_REQUIRED - fields.keys()))
    key = values.get("activity_key")
    if errors:
        return ExaminedRecord(None, tuple(errors), key, raw)
    try:
        record = msgspec.json.decode(_encode(values), type=Record)
    except msgspec.MsgspecError:  # whatever the checks let through: reject it, never stop the lane
        return ExaminedRecord(None, (FieldError("record_not_object"),), key, raw)
    late = time_error(record.discovered_at, now)
    return ExaminedRecord(None, (late,), key, raw) if late else ExaminedRecord(record, (), key, raw)


def text_is_clean(record: Record) -> bool:
    """True when every text of an accepted record is already in its stored form."""
    parts = _texts(record)
    attributes = bytes(record.attributes)
    if attributes != b"{}":
        try:
            parts += (_decode_any(match) for match in _JSON_STRING.findall(attributes.decode()))
        except (UnicodeDecodeError, msgspec.MsgspecError):
            return False
    return is_clean("\n".join(parts))
