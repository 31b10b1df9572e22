"""What `attributes` may be beyond its JSON: how large, how deep, and which numbers.

PostgreSQL keeps numbers digit by digit, and so writes them out: `1e131071` would come back as 131,072 digits. What a
reader has to write must be in proportion to what came in, so a number is measured as it is written out.
"""

import re
from collections.abc import Sequence
from typing import Final

from schemas.errors import FieldError
from schemas.record import MAX_ATTRIBUTES_BYTES, MAX_DEPTH, MAX_NUMBER_DIGITS
from schemas.structure import is_deeper, pointer_to, too_deep, walk

POINTER: Final = "/attributes"
# Digits, signs of an exponent and opening brackets as one byte each, so that one look tells whether a closer one is needed.
_SHAPE: Final = bytes(
    {**{digit: 0x30 for digit in b"0123456789"}, **dict.fromkeys(b"eE", 0x65), **dict.fromkeys(b"[{", 0x5B)}.get(
        byte, 0x20
    )
    for byte in range(256)
)
_OBJECTS: Final = {b"{"}
_EXPONENT: Final = b"0e"
_LONG: Final = b"0" * (MAX_NUMBER_DIGITS // 2)  # digits before or behind the point of any number that is too long
_TOO_LONG: Final = b"0" * (MAX_NUMBER_DIGITS + 1)
_NUMBER: Final = re.compile(rb"-?([0-9]+)(?:\.([0-9]+))?(?:[eE]([-+]?)0*([0-9]+))?")
_ENDLESS: Final = 1_000_000  # stands for an exponent of more digits than that


def attributes_are_right(many: Sequence[bytes]) -> bool:
    """True where nothing is wrong with the attributes of these records, which JSON's grammar allows: objects in valid
    UTF-8, within the bounds. The fast way's typed decode looks at none of these. All of a message are looked at in one go."""
    if not many:
        return True
    if max(map(len, many)) > MAX_ATTRIBUTES_BYTES or {each[:1] for each in many} != _OBJECTS:
        return False
    joined = b" ".join(many)
    try:
        joined.decode()
    except UnicodeDecodeError:
        return False
    shape = joined.translate(_SHAPE)
    # each has a bracket of its own; where there are not enough others, none can be too deep
    shallow = shape.count(b"[") < len(many) + MAX_DEPTH
    if shallow and _EXPONENT not in shape and _LONG not in shape:
        return True
    return all(attributes_error(each) is None for each in many)


def attributes_error(attributes: bytes) -> FieldError | None:
    """The first thing that is wrong with the size, the depth or a number of an object."""
    size = len(attributes)
    if size <= MAX_ATTRIBUTES_BYTES:
        deep = depth_error(attributes)
        if deep is not None:
            return deep
        for token, path in walk(attributes):
            number = _NUMBER.fullmatch(token)
            if number is None:
                continue
            digits = _digits(number)
            if digits > MAX_NUMBER_DIGITS:
                return FieldError("number_too_long", pointer_to(path, POINTER), {"max": MAX_NUMBER_DIGITS})
            size += max(0, digits - len(token))
    if size > MAX_ATTRIBUTES_BYTES:
        return FieldError("attributes_too_large", POINTER, {"max_bytes": MAX_ATTRIBUTES_BYTES})
    return None


def depth_error(attributes: bytes) -> FieldError | None:
    """Where attributes are nested too deep, if they are."""
    pointer = too_deep(attributes, MAX_DEPTH)
    return None if pointer is None else FieldError("nested_too_deep", f"{POINTER}{pointer}", {"max": MAX_DEPTH})


def _digits(number: re.Match[bytes]) -> int:
    """Of a number as PostgreSQL writes it: without an exponent."""
    whole, fraction, sign, exponent = number.groups(b"")
    power = 0 if not exponent else int(exponent) if len(exponent) < len(str(_ENDLESS)) else _ENDLESS
    if sign == b"-":
        power = -power
    return max(1, len(whole) + power) + max(0, len(fraction) - power)


def is_readable(text: bytes, levels: int) -> bool:
    """Whether any parser takes this JSON: nested no deeper than `levels`, and no number that Python or JavaScript would
    refuse or cut for its many digits. What an older version stored may be otherwise."""
    if is_deeper(text, levels):
        return False
    if _TOO_LONG not in text.translate(_SHAPE):
        return True
    return all(_TOO_LONG not in token.translate(_SHAPE) for token, _ in walk(text))
