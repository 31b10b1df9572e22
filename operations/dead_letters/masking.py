"""A letter's headers and value as they may be shown: by default nothing that could be personal data."""

import hashlib
import re
from typing import Any, Final

from operations.dead_letters.dead_letter import DeadLetter
from schemas import topics
from schemas.dead_letters import REASON_HEADERS, RETRY_HEADERS

# What a header of ours, or of CloudEvents, may say; anything else in it is somebody's own text, and is hidden.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:/+-]{1,120}")
# Of a letter's headers: anybody can write a megabyte of them, a byte or a thousand each.
_MOST_HEADERS: Final = 100
_MOST_CHARACTERS: Final = 1_000  # of a name or a value
_SHOWN: Final = (
    {
        topics.HEADER_TYPE,
        topics.HEADER_FIRST_INDEX,
        topics.HEADER_SPEC_VERSION,
        topics.HEADER_TIME,
        topics.HEADER_TRACEPARENT,
        "content-type",
        "content-encoding",
    }
    | REASON_HEADERS
    | RETRY_HEADERS
)


def hidden(value: bytes | None) -> str:
    """Stands for a value that is not shown."""
    return "∅" if value is None else f"<{len(value)} byte>"


def header_text(name: str, value: bytes | None, letter: DeadLetter, *, reveal: bool) -> str:
    """A header's value, or how long it is."""
    if value is None or reveal:
        return hidden(None) if value is None else escaped(value[: 4 * _MOST_CHARACTERS])
    text = value.decode("ascii", "replace")
    if name == topics.HEADER_SUBJECT and letter.scan_id is not None:
        return text
    return text if name in _SHOWN and _PLAIN.fullmatch(text) else hidden(value)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def escaped(value: bytes) -> str:
    """Bytes as text that no terminal takes for a command: what is not printable is written as an escape."""
    text = value.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def preview(value: bytes | None, most: int) -> list[str]:
    """The first bytes: as text where they are UTF-8, else as 16 bytes a line in hexadecimal and ASCII."""
    head = (value or b"")[:most]
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3 or len(head) == len(value or b""):  # not merely cut within a character
            return [_hex_line(at, head[at : at + 16]) for at in range(0, len(head), 16)]
        head = head[: error.start]
    return [escaped(head)]


def _hex_line(at: int, part: bytes) -> str:
    shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
    return f"{at:08x}  {part.hex(' '):<47}  |{shown}|"


def described(letter: DeadLetter, *, reveal: bool, most: int) -> dict[str, Any]:
    """Everything about a letter but its history, as JSON takes it. With `reveal` also what may be personal data."""
    found: dict[str, Any] = {
        **summary(letter),
        "source": letter.source,
        "key": letter.tenant_id or (hidden(letter.key) if letter.key is None or not reveal else escaped(letter.key)),
        "sha256": hashlib.sha256(letter.value or b"").hexdigest(),
        "headers": [
            [_cut(escaped(name[:_MOST_CHARACTERS].encode())), _cut(header_text(name, value, letter, reveal=reveal))]
            for name, value in letter.headers[:_MOST_HEADERS]
        ],
    }
    if len(letter.headers) > _MOST_HEADERS:
        found["headers_left_out"] = len(letter.headers) - _MOST_HEADERS
    if reveal:
        found["preview"] = preview(letter.value, most)
        found["preview_is_whole"] = letter.size <= most
    return found


def summary(letter: DeadLetter) -> dict[str, Any]:
    """One line about a letter, as JSON takes it."""
    return {
        "id": letter.id.short,
        "failed_at": letter.failed_at.isoformat(timespec="milliseconds"),
        "tenant_id": letter.tenant_id,
        "scan_id": letter.scan_id,
        "reason": letter.reason,
        "bytes": letter.size,
        "retries": letter.replays,
    }
