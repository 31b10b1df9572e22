"""Cursors of lists: opaque to callers, checked on the way back."""

import base64
import binascii
import re
from typing import Final, TypeVar

import msgspec

from producer_api.http.problems import ApiProblem

CURSOR_PATTERN: Final = "^[A-Za-z0-9_-]{1,2000}$"
SortKey = TypeVar("SortKey")
_CURSOR: Final = re.compile(CURSOR_PATTERN)


def cursor_of(key: object) -> str:
    """The sort key of a list's row, behind which the next page begins, as text for a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def key_of(cursor: str, kind: type[SortKey]) -> SortKey:
    """The sort key that a cursor stands for. Raises ApiProblem cursor_invalid."""
    if _CURSOR.fullmatch(cursor) is None:
        raise ApiProblem("cursor_invalid")
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=kind)
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError):
        raise ApiProblem("cursor_invalid") from None
