"""Cursors of lists: opaque to callers, checked on the way back."""

import base64
import binascii
from typing import TypeVar

import msgspec

from producer_api.problems import ApiProblem

Place = TypeVar("Place")


def cursor_of(place: object) -> str:
    """A place in a list as text for a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str, kind: type[Place]) -> Place:
    """The place a cursor stands for. Raises ApiProblem cursor_invalid."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=kind)
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError, UnicodeDecodeError):
        raise ApiProblem("cursor_invalid") from None
