"""The first lines of NDJSON: whether they are NDJSON at all, before anything of the scan is published."""

from typing import Final

from schemas.arrays import KEPT_OF_LONG, is_one_value
from schemas.format_mistakes import WHITE_SPACE, Mistake, is_document, is_utf8, without_bom, wrong_line
from schemas.submission import SubmissionRefused

_LINES: Final = 20


class FirstLines:
    """Takes the body as it comes. `is_ndjson` once a line was a JSON object: from then on every line is judged by itself.

    Until then a mistake that is certain ends the body at once; any other when the body ends, or when 20 lines or 256 KiB were
    no better. What is found depends on the lines alone, never on the pieces they came in.
    """

    def __init__(self) -> None:
        self.is_ndjson = False
        self._line = bytearray()
        self._lines = 0
        self._seen = 0  # bytes of these lines
        self._first: Mistake | None = None  # what is wrong with the first

    def feed(self, piece: bytes) -> None:
        """Raises SubmissionRefused."""
        at = 0
        while not self.is_ndjson and at < len(piece):
            end = piece.find(b"\n", at)
            self._line += piece[at : end if end >= 0 else None]
            at = end + 1 if end >= 0 else len(piece)
            if end >= 0 or len(self._line) >= KEPT_OF_LONG:
                self._look(ended=end >= 0)

    def finish(self) -> None:
        """The body has ended. Raises SubmissionRefused."""
        self._look(ended=True)
        if not self.is_ndjson:
            raise self._refused() if self._lines else SubmissionRefused("no_records")

    def _look(self, *, ended: bool) -> None:
        line = bytes(self._line.lstrip(WHITE_SPACE))
        too_long = len(line) >= KEPT_OF_LONG
        if not ended and not too_long:
            self._line = bytearray(line)
            return
        self._line.clear()
        line = without_bom(line[:KEPT_OF_LONG].rstrip(WHITE_SPACE)).lstrip(WHITE_SPACE)
        if line and not self.is_ndjson:
            self._judge(line, too_long)

    def _judge(self, line: bytes, too_long: bool) -> None:
        is_object = line.startswith(b"{") and not is_document(line)
        if is_object and not too_long and is_utf8(line) and is_one_value(line):
            self.is_ndjson = True
            return
        mistake = wrong_line(line, cut_short=too_long)
        if is_object and too_long and mistake is None:
            self.is_ndjson = True  # one record, rejected alone for its length
            return
        self._lines += 1
        self._seen += len(line)
        if self._lines == 1:
            self._first = mistake
        if self._lines >= _LINES or self._seen >= KEPT_OF_LONG or (self._first is not None and self._first.is_certain):
            raise self._refused()

    def _refused(self) -> SubmissionRefused:
        mistake = self._first or Mistake("ndjson_malformed")
        return SubmissionRefused(mistake.code, format=mistake.name)
