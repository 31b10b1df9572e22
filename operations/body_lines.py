"""Cuts a body that comes in pieces into lines."""

from collections.abc import Iterable, Iterator


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Gives the lines without their ends. Only line feeds end one: what else ends a line of text (U+2028, U+2029) may
    stand in a value."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest
