"""What text may be: strict UTF-8, NFC (Unicode Standard Annex #15), no invisible or dangerous characters.

Three ways in, from fast to thorough: `is_plain` looks at the bytes of a whole message, `is_clean` at decoded text,
`normalise` mends or refuses one text.
"""

import re
import unicodedata
from typing import Final

# Bytes of JSON that cannot need any care: printable ASCII but the backslash, white space between tokens, and the lead
# bytes of Latin-1, Latin Extended-A and -B and Latin Extended Additional, whose characters are all NFC as they stand.
# That is all that Vietnamese in NFC consists of.
PLAIN_BYTES: Final = bytes(
    sorted(({*range(0x20, 0x7F), 0x09, 0x0A, 0x0D} - {0x5C}) | {*range(0x80, 0xC0), 0xC3, 0xC4, 0xC5, 0xC6, 0xE1})
)
_NOT_VIETNAMESE_E1: Final = re.compile(rb"\xe1[^\xba\xbb]")

ZERO_WIDTH: Final = "\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
BIDI_CONTROLS: Final = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_CONTROLS: Final = "\x00-\x08\x0b-\x1f\x7f-\x9f"  # tab and line feed are allowed
_UNCLEAN: Final = re.compile(f"[{_CONTROLS}{ZERO_WIDTH}{BIDI_CONTROLS}\ud800-\udfff]")
_CONTROL: Final = re.compile(f"[{_CONTROLS}]")
_BIDI: Final = re.compile(f"[{BIDI_CONTROLS}]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_STRIP: Final = {ord(character): None for character in ZERO_WIDTH}


class TextRefused(ValueError):
    """A text holds a character that is refused; `code` is the error's code in schemas.errors."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def is_plain(blob: bytes) -> bool:
    """True when no text inside this JSON can need normalising, refusing or escaping. False says nothing."""
    return not blob.translate(None, PLAIN_BYTES) and (b"\xe1" not in blob or _NOT_VIETNAMESE_E1.search(blob) is None)


def is_clean(text: str) -> bool:
    """True when the decoded text is in NFC and holds nothing to strip or to refuse."""
    return _UNCLEAN.search(text) is None and unicodedata.is_normalized("NFC", text)


def normalise(text: str) -> str:
    """The text as it is measured, compared and stored: zero-width characters stripped, NFC. Raises TextRefused."""
    text = unicodedata.normalize("NFC", text.translate(_STRIP))
    if "\x00" in text:
        raise TextRefused("text_nul")
    if _SURROGATE.search(text):
        raise TextRefused("text_surrogate")
    if _BIDI.search(text):
        raise TextRefused("text_bidi")
    if _CONTROL.search(text):
        raise TextRefused("text_control")
    return text
