"""A file of records as a stream of NDJSON, whatever it is on disk: NDJSON or a JSON document, compressed by gzip or not."""

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple

from infra.errors import InfraError
from schemas.splitting import split_records

_PIECE: Final = 256 * 1024
_GZIP: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
# a document begins with one of the submission's own fields, which no record has; or it is an array
_DOCUMENT: Final = re.compile(rb'\s*(?:\[|\{\s*"(?:records|source|language|notify)"\s*:)')
_MOST_RECORDS: Final = 2_000_000
_DAMAGES: Final = (OSError, EOFError, zlib.error)
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")


class Details(NamedTuple):
    """What a JSON document says of the scan besides its records."""

    source: str | None = None
    language: str | None = None
    notify: str | None = None


class RecordsFile:
    """A context manager around an open file. `pieces` may be read once."""

    def __init__(self, path: Path) -> None:
        """Raises InfraError where it cannot be opened, or is a JSON document that cannot be read."""
        try:
            self._raw = path.open("rb")
            self.size = path.stat().st_size  # on disk: what progress is measured by
        except OSError as error:
            raise InfraError(
                f"Không mở được tệp {path}: {error.strerror}.", f"The file {path} cannot be opened: {error.strerror}."
            ) from None
        self._path = path
        self.details = Details()
        try:
            compressed = self._raw.read(2) == _GZIP
            self._raw.seek(0)
            # what is read of a compressed file goes through a buffer, so that its beginning can be looked at
            self._content: IO[bytes] = io.BufferedReader(gzip.GzipFile(fileobj=self._raw)) if compressed else self._raw
            head = self._content.peek(4096).removeprefix(_BOM)  # type: ignore[attr-defined]
            self._document = self._read_document() if _DOCUMENT.match(head) else None
        except BaseException as error:
            self._raw.close()
            raise self._damaged(error) from None

    def pieces(self, on_read: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
        """NDJSON, piece by piece; `on_read` is told how many bytes of the file have been read. Raises InfraError."""
        if self._document is not None:
            yield from _as_lines(self._document)
            on_read(self.size)
            return
        while True:
            try:
                piece = self._content.read(_PIECE)
            except _DAMAGES as error:
                raise self._damaged(error) from None
            if not piece:
                break
            yield piece
            on_read(self._raw.tell())
        on_read(self.size)

    def _read_document(self) -> Sequence[bytes]:
        from producer_api.problems import ApiProblem
        from producer_api.submission import read_json
        from schemas.problems import PROBLEMS

        body = self._content.read().removeprefix(_BOM)
        if body.lstrip()[:1] == b"[":
            try:
                return split_records(body)
            except ValueError:
                raise InfraError(
                    f"Tệp {self._path} không phải một mảng JSON trọn vẹn.",
                    f"The file {self._path} is no complete JSON array.",
                ) from None
        try:
            details, records = read_json(body, "vi", _MOST_RECORDS)
        except ApiProblem as problem:
            texts = PROBLEMS[problem.code].detail.fill(problem.params)  # type: ignore[arg-type]
            raise InfraError(f"{self._path}: {texts['vi']}", f"{self._path}: {texts['en']}") from None
        self.details = Details(details.source, details.language, details.notify)
        return [bytes(record) for record in records]

    def _damaged(self, error: BaseException) -> BaseException:
        if not isinstance(error, _DAMAGES):
            return error
        return InfraError(
            f"Không đọc được tệp {self._path}: dữ liệu bị hỏng hoặc bị cắt cụt.",
            f"The file {self._path} cannot be read: it is damaged or cut short.",
        )

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
