"""Cursors of lists: opaque to callers, checked on the way back."""

import base64
import binascii
import re
from typing import Final, TypeVar

import msgspec

from producer_api.http.problems import ApiProblem

CURSOR_PATTERN: Final = "^[A-Za-z0-9_-]{1,2000}$"
Place = TypeVar("Place")
_CURSOR: Final = re.compile(CURSOR_PATTERN)


def cursor_of(place: object) -> str:
    """A place in a list as text for a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str, kind: type[Place]) -> Place:
    """The place a cursor stands for. Raises ApiProblem cursor_invalid."""
    if _CURSOR.fullmatch(cursor) is None:
        raise ApiProblem("cursor_invalid")
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=kind)
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError):
        raise ApiProblem("cursor_invalid") from None
