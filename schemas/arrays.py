"""Lines of NDJSON and items of JSON arrays, as elements of the arrays that are published. Pure: bytes in, bytes out."""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from schemas.format_mistakes import WHITE_SPACE, without_bom
from schemas.raw_records import split_records
from schemas.topics import MAX_MESSAGE_BYTES, MAX_RECORD_BYTES, MAX_RECORDS_PER_MESSAGE

_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
# Half a character as an escape is within JSON's grammar, but no parser here reads it. Escaped backslashes are stepped over.
# So are whole characters, two halves long.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
KEPT_OF_LONG: Final = MAX_RECORD_BYTES + 64  # of a line that is too long: enough that the worker finds it too long
MOST_GATHERED: Final = KEPT_OF_LONG + MAX_MESSAGE_BYTES  # a line and a message, neither of them complete


class Array(NamedTuple):
    """The value of one message, and the index within the scan of its first record."""

    first_index: int
    records: int
    value: bytes


def without_half_characters(text: bytes) -> bytes:
    """The same JSON, byte for byte as long, with NUL, which is refused as well, for half characters: to find its structure."""
    return _ESCAPE.sub(lambda match: b"\\u0000" if len(match[0]) == 6 else match[0], text)


def is_one_value(line: bytes) -> bool:
    """Whether the line is exactly one JSON value."""
    try:
        _decode_raw(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        if b"\\u" not in line:
            return False
        try:
            _decode_raw(without_half_characters(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
    except RecursionError:
        return _is_one_by_its_brackets(line)
    return True


def _is_one_by_its_brackets(line: bytes) -> bool:
    """Of what is nested beyond any use: whether the worker can tell it from its neighbours, and reject it for that."""
    try:
        return split_records(b"[" + line + b"]") == [line]
    except ValueError:
        return False


def as_text_element(line: bytes, fits: int) -> bytes:
    """A line that is no JSON as a JSON string of at most `fits` bytes, so that the worker rejects it under its number."""
    text = line.decode("utf-8", "replace")
    encoded = msgspec.json.encode(text)
    while len(encoded) > fits:
        text = text[: max(1, len(text) * (fits - 16) // len(encoded))]
        encoded = msgspec.json.encode(text)
    return encoded


def element_of(line: bytes) -> bytes:
    """What is published for a line: itself, or its text where it is no JSON value."""
    return line if is_one_value(line) else as_text_element(line, MAX_RECORD_BYTES)


class Lines:
    """Cuts a stream into lines, as elements. Blank lines are not records. Line ends may be LF or CRLF; a UTF-8 BOM may stand
    before each line, as where files were put together.

    A line over MAX_RECORD_BYTES is not collected: its first part is published as text just long enough that the worker rejects
    that one record with record_too_large.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False  # inside a line that is too long

    @property
    def size(self) -> int:
        """Bytes of the line begun."""
        return len(self._rest)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The elements that this piece completes."""
        at = 0
        while (
            end := piece.find(b"\n", at)
        ) >= 0:  # not split at once: the lines of a piece may take many times its memory
            yield from self._end_line(piece[at:end])
            at = end + 1
        if self._skipping:
            return
        self._rest = (self._rest + piece[at:]).lstrip(WHITE_SPACE)
        if len(self._rest) >= KEPT_OF_LONG:
            yield self._too_long(self._rest)
            self._skipping = True
            self._rest = b""

    def finish(self) -> Iterator[bytes]:
        """The last line, where it had no end."""
        yield from self._end_line(b"")

    def _end_line(self, line: bytes) -> Iterator[bytes]:
        if self._skipping:
            self._skipping = False
            return
        line = (self._rest + line).lstrip(WHITE_SPACE)
        self._rest = b""
        if len(line) > MAX_RECORD_BYTES + len(WHITE_SPACE):
            yield self._too_long(line)
            return
        line = without_bom(line.rstrip(WHITE_SPACE)).lstrip(WHITE_SPACE)
        if line:
            yield element_of(line)

    def _too_long(self, line: bytes) -> bytes:
        # what is kept depends on the line's bytes alone, never on the pieces it came in: a resend must give the same arrays
        return as_text_element(line[:KEPT_OF_LONG].ljust(KEPT_OF_LONG, b" "), MAX_MESSAGE_BYTES // 2)


class Arrays:
    """Gathers elements into messages: as many as fit by count and by bytes, so the same elements make the same messages."""

    def __init__(self) -> None:
        self._elements: list[bytes] = []
        self.size = 2  # of the message begun
        self.count = 0  # elements taken in all

    def add(self, element: bytes) -> Array | None:
        """Takes an element; returns the message that was full before it."""
        full = None
        if len(self._elements) == MAX_RECORDS_PER_MESSAGE or self.size + len(element) > MAX_MESSAGE_BYTES:
            full = self.flush()
        self._elements.append(element)
        self.size += len(element) + 1
        self.count += 1
        return full

    def flush(self) -> Array | None:
        """The message begun, if any."""
        if not self._elements:
            return None
        array = Array(self.count - len(self._elements), len(self._elements), b"[" + b",".join(self._elements) + b"]")
        self._elements = []
        self.size = 2
        return array


def cut(items: Sequence[msgspec.Raw] | Sequence[bytes]) -> list[Array]:
    """The messages for a list of records, cut like Arrays does, without touching each record where it can be avoided."""
    if len(items) <= MAX_RECORDS_PER_MESSAGE:
        value = b"[" + b",".join(items) + b"]"
        if len(value) < MAX_MESSAGE_BYTES:
            return [Array(0, len(items), value)] if items else []
    arrays = Arrays()
    found = [array for item in items if (array := arrays.add(item)) is not None]
    last = arrays.flush()
    return [*found, last] if last else found
