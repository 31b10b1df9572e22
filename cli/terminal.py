"""Standard input, output and error, whatever they are: a terminal that knows ASCII alone, a pipe, or nothing at all."""

import codecs
import os
import sys
import unicodedata
from typing import Final, TextIO

_PLAIN: Final = "scanline-plain"
# What has no letter of ASCII in it. One character for one, so that columns stay where they are.
_SIGNS: Final = dict(zip("đĐ✓✗→…·«»–—∑×≤≥∅█━•│", 'dDvx>.-""--S*<>-#-*|', strict=True))


def prepare() -> None:
    """Makes the three streams fit to be used: what they cannot show is shown in plain letters, never as an error."""
    codecs.register_error(_PLAIN, _plainly)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout = _fit(sys.stdout, 1)
    sys.stderr = _fit(sys.stderr, 2)


def _fit(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        return open(number, "w", encoding="utf-8", errors=_PLAIN, closefd=False)
    if isinstance(stream, codecs.StreamWriter) or not hasattr(stream, "reconfigure"):
        return stream  # somebody's own, as in tests
    stream.reconfigure(errors=_PLAIN)
    return stream


def leave_output() -> None:
    """Makes sure that nothing more is written: not by the interpreter at its end, either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def takes_every_letter(stream: TextIO) -> bool:
    """True where the stream's encoding has all of Unicode."""
    return (stream.encoding or "utf-8").lower().startswith("utf")


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(letter: str) -> str:
    if letter in _SIGNS:
        return _SIGNS[letter]
    if unicodedata.combining(letter):
        return ""
    if "\ud800" <= letter <= "\udfff":  # half a character: a byte of a path that is no UTF-8
        return f"\\u{ord(letter):04x}"
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?"
