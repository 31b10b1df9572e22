"""A file of records as a stream of NDJSON, whatever it is on disk: NDJSON or a JSON document, compressed by gzip or
not."""

import gzip
import io
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.errors import InfraError
from schemas.errors import Text
from schemas.first_lines import FirstLines
from schemas.format_mistakes import without_bom
from schemas.problems import PROBLEMS
from schemas.raw_records import split_records
from schemas.submission import SubmissionRefused, read_json

STANDARD_INPUT: Final = Path("-")
_PIECE: Final = 256 * 1024
_LOOK: Final = 4096  # so much of it shows what it is
_GZIP: Final = b"\x1f\x8b"
# a document begins with one of the submission's own fields, which no record has; or it is an array
_DOCUMENT: Final = re.compile(rb'\s*(?:\[|\{\s*"(?:records|source|language|notify|complete)"\s*:)')
_MOST_RECORDS: Final = 2_000_000
_DAMAGES: Final = (OSError, EOFError, zlib.error)
_FOUND_NOTHING: Final = '{"records": [], "complete": true}'
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")


class Details(NamedTuple):
    """The details that a JSON document gives of the scan besides its records."""

    source: str | None = None
    language: str | None = None
    notify: str | None = None


class _Begun(io.RawIOBase):
    """A file from its first byte on, although its beginning was read already: a pipe cannot be wound back."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.taken = 0
        self._file = file
        self._head = file.read(_LOOK)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The beginning as one piece, then what there is."""
        piece = self._head[: len(buffer)] or self._file.read1(len(buffer))
        self._head = self._head[len(piece) :]
        buffer[: len(piece)] = piece
        self.taken += len(piece)
        return len(piece)

    def close(self) -> None:
        """Closes the file, too."""
        self._file.close()
        super().close()


class RecordsFile:
    """A context manager around an open file, or (STANDARD_INPUT) what comes on standard input. `pieces` may be read
    once."""

    def __init__(self, path: Path) -> None:
        """Raises InfraError where it cannot be opened or read, holds no record, or is no file of records."""
        try:
            source: Any = sys.stdin.buffer if path == STANDARD_INPUT else path.open("rb")
            # on disk: what progress is measured by; of what still comes nobody knows it
            self.size = None if path == STANDARD_INPUT else path.stat().st_size
            self._source = _Begun(source)
        except OSError as error:
            raise InfraError.of("file_not_opened", path=path, reason=error.strerror) from None
        self._raw = io.BufferedReader(self._source, _LOOK)
        self._path = path
        self.details = Details()
        try:
            compressed = self._raw.peek(2)[:2] == _GZIP
            # what is read of a compressed file goes through a buffer, so that its beginning can be looked at
            self._content: io.BufferedReader[Any] = (
                io.BufferedReader(gzip.GzipFile(fileobj=self._raw)) if compressed else self._raw
            )
            head = without_bom(self._content.peek(_LOOK))
            self._document = self._read_document() if _DOCUMENT.match(head) else None
            self._begun = [] if self._document is not None else list(self._beginning())
        except BaseException as error:
            self._raw.close()
            raise self._damaged(error) from None

    @property
    def found_nothing(self) -> bool:
        """True for a document without records that calls itself complete."""
        return self._document is not None and not self._document

    def pieces(self, on_read: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
        """NDJSON, piece by piece; `on_read` is called with how many bytes of the file have been read. Raises
        InfraError."""
        if self._document is not None:
            yield from _as_lines(self._document)
            on_read(self._source.taken)
            return
        yield from self._begun
        while True:
            on_read(self._source.taken)  # of what has been yielded: whoever asks for more has taken it
            try:
                piece = self._content.read(_PIECE)
            except _DAMAGES as error:
                raise self._damaged(error) from None
            if not piece:
                break
            yield piece
        on_read(self._source.taken)  # the end of a compressed file is read after its last piece

    def _beginning(self) -> Iterator[bytes]:
        """Reads as much as shows that it is NDJSON."""
        first_lines = FirstLines()
        try:
            while not first_lines.is_ndjson:
                piece = self._content.read(_PIECE)
                if not piece:
                    first_lines.finish()
                first_lines.feed(piece)
                yield piece
        except SubmissionRefused as refused:
            raise self._refused(refused.code, refused.params) from None

    def _read_document(self) -> Sequence[bytes]:
        body = without_bom(self._content.read())
        if body.lstrip()[:1] == b"[":
            try:
                found = split_records(body)
                if found:
                    return found
                raise self._refused("no_records", {})
            except ValueError:
                raise InfraError.of("file_array_incomplete", path=self._path) from None
        try:
            details, records = read_json(body, "vi", _MOST_RECORDS)
        except SubmissionRefused as refused:
            raise self._refused(refused.code, refused.params) from None
        self.details = Details(details.source, details.language, details.notify)
        return [bytes(record) for record in records]

    def _refused(self, code: str, params: Mapping[str, str | int | Text]) -> InfraError:
        """The API's problem with a body, as an error about a file."""
        kind = PROBLEMS[code]
        if code == "no_records":
            return InfraError.of("file_without_records", path=self._path, found_nothing=_FOUND_NOTHING)
        if "format" not in params:
            detail = Text(**kind.detail.fill(params))
            return InfraError.of("file_body_refused", path=self._path, detail=detail)
        name = params["format"]
        which = name if isinstance(name, Text) else Text(str(name), str(name))
        why = Text(*(f"{title} ({of})" if of else title for title, of in zip(kind.title, which, strict=True)))
        return InfraError.of("file_not_sent", path=self._path, why=why)

    def _damaged(self, error: BaseException) -> BaseException:
        if not isinstance(error, _DAMAGES):
            return error
        return InfraError.of("file_damaged", path=self._path)

    def __enter__(self) -> "RecordsFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def _as_lines(records: Sequence[bytes]) -> Iterator[bytes]:
    """A record a line: between the tokens of JSON a line end is as good as a space."""
    lines: list[bytes] = []
    size = 0
    for record in records:
        lines.append(record.translate(_LINE_ENDS))
        size += len(record)
        if size > _PIECE:
            yield b"\n".join(lines) + b"\n"
            lines, size = [], 0
    if lines:
        yield b"\n".join(lines) + b"\n"
