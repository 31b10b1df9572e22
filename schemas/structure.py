"""JSON text looked at by its brackets, strings and numbers alone: how deep it is nested, and where in it something stands.

No parser is asked, because each has a depth of its own at which it gives up. Any bytes may come in.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

_NAME_CHARACTERS: Final = 80  # of a name from outside that a pointer shows
_POINTER_CHARACTERS: Final = 200  # beyond that a pointer names what encloses the place: it is shown to people
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"?'
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
_TOKENS: Final = re.compile(_STRING + rb"|[\[\]{},]|-?[0-9][0-9.eE+-]*+", re.DOTALL)
_BRACKETS: Final = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_ALL_BUT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_OPENING: Final = b"[{"

Path = Sequence[bytes | int]  # names as they are written, with their quotes, and places in lists


def pointer_part(name: str) -> str:
    """A name from outside as a JSON pointer's part (RFC 6901), cut short: it is shown to people."""
    printable = "".join(character if character.isprintable() else "\ufffd" for character in name[:_NAME_CHARACTERS])
    return printable.replace("~", "~0").replace("/", "~1")


def pointer_to(path: Path, base: str = "") -> str:
    """The JSON pointer of a path below `base`; where it would be too long, that of the nearest enclosing place."""
    for step in path:
        longer = f"{base}/{step if isinstance(step, int) else pointer_part(_name(step))}"
        if len(longer) > _POINTER_CHARACTERS:
            break
        base = longer
    return base


def _name(written: bytes) -> str:
    try:
        return str(msgspec.json.decode(written))
    except (msgspec.MsgspecError, UnicodeDecodeError):  # half a character, say
        return written[1:-1].decode("utf-8", "replace")


def walk(text: bytes) -> Iterator[tuple[bytes, Path]]:
    """Each opening bracket and each number, with the path that leads to it. The path is valid until the next step."""
    path: list[bytes | int] = []
    for found in _TOKENS.finditer(text):
        token = found[0]
        kind = token[:1]
        if kind == b'"':
            if path and not isinstance(path[-1], int):
                path[-1] = token  # a name; or a value, behind which only a name can come
        elif kind == b",":
            if path and isinstance(path[-1], int):
                path[-1] += 1
        elif kind in (b"]", b"}"):
            if path:
                path.pop()
        else:
            yield token, path
            if kind == b"[":
                path.append(0)
            elif kind == b"{":
                path.append(b'""')


def is_deeper(text: bytes, most: int) -> bool:
    """Whether more than `most` brackets are open at the same time."""
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    depth = 0
    for bracket in _STRINGS.sub(b"", text).translate(None, _ALL_BUT_BRACKETS):
        depth += 1 if bracket in _OPENING else -1
        if depth > most:
            return True
    return False


def too_deep(text: bytes, most: int) -> str | None:
    """The pointer to the first object or list that is nested deeper than `most`, if one is."""
    if not is_deeper(text, most):
        return None
    return next(pointer_to(path) for token, path in walk(text) if token in (b"[", b"{") and len(path) >= most)


def flattened(text: bytes, most: int) -> bytes:
    """The same text, with everything left out that is nested deeper than `most`: so that the rest can be read."""
    parts: list[bytes] = []
    depth = kept = 0
    for found in _BRACKETS.finditer(text):
        bracket = found[0]
        if bracket in (b"[", b"{"):
            depth += 1
            if depth == most + 1:
                parts.append(text[kept : found.end()])
        elif bracket in (b"]", b"}"):
            if depth == most + 1:
                kept = found.start()
            depth -= 1
    return b"".join((*parts, text[kept:] if depth <= most else b""))
