"""A message's value cut into the bytes of its records, without decoding them.

One record that cannot be read must not take the others with it: where the quick way stops (a lone surrogate, nesting
beyond any use, a slip of syntax inside one record), brackets and strings alone still tell where each record ends.
"""

import re
from typing import Final

import msgspec

from schemas.field_checks import Refusal
from schemas.record import split_array
from schemas.validation import fields_of

# a string, closed or running to the end of the value, or one structural character; possessive, so linear on any input
_STRUCTURE: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)
_WHITE_SPACE: Final = b" \t\r\n"


def is_array(value: bytes) -> bool:
    """Whether the value is meant as an array of records."""
    return value[:1] == b"[" or value.lstrip(_WHITE_SPACE)[:1] == b"["


def split_records(value: bytes) -> list[bytes]:
    """The bytes of each record: one object, or each item of an array. Raises ValueError where there is no telling."""
    if not is_array(value):
        if value.lstrip(_WHITE_SPACE)[:1] != b"{":
            raise ValueError("neither an object nor an array")
        try:
            fields_of(value.strip(_WHITE_SPACE))
        except Refusal as refusal:
            if refusal.error.code == "record_not_object":
                raise ValueError("not an object that ends") from None
        return [value]
    try:
        return [bytes(raw) for raw in split_array(value)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _split_by_structure(value)


def _split_by_structure(value: bytes) -> list[bytes]:
    parts: list[bytes] = []
    depth = start = 0
    for found in _STRUCTURE.finditer(value):
        token = found[0]
        if token in (b"[", b"{"):
            depth += 1
            if depth == 1:
                start = found.end()
        elif token == b"," and depth == 1:
            parts.append(value[start : found.start()].strip(_WHITE_SPACE))
            start = found.end()
        elif token in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                parts.append(value[start : found.start()].strip(_WHITE_SPACE))
                if token == b"]" and not value[found.end() :].strip(_WHITE_SPACE):
                    return parts
                break
    raise ValueError("the array does not end where it should")
