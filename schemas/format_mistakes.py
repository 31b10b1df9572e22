"""The usual mistakes of those who send JSON or NDJSON, told from its bytes. Pure: bytes in, a code out.

Only what cannot be read is looked at, so nothing that is right is ever taken for a mistake. The codes are those of
schemas.problems; two of them have a twin in schemas.errors, for a record among others.
"""

import json
import re
from itertools import pairwise
from typing import Final, NamedTuple

from schemas.errors import Text

BOM: Final = b"\xef\xbb\xbf"
WHITE_SPACE: Final = b" \t\r\n"


class Mistake(NamedTuple):
    """What is wrong. `name` says which, where a code stands for several: the charset, the compression, the format.

    `is_certain`: nothing that follows can be right. Else the line may be the only one that is wrong.
    """

    code: str
    name: str | Text = ""
    is_certain: bool = False


def _compressed(name: str | Text, code: str = "compression_unsupported") -> Mistake:
    return Mistake(code, name, True)


def _charset(name: str | Text, is_certain: bool = True) -> Mistake:
    return Mistake("charset_unsupported", name, is_certain)


_CSV: Final = Text("CSV hoặc bảng văn bản", "CSV or another table of text")
FORM: Final = Text("dữ liệu biểu mẫu (form)", "form data")
_BINARY: Final = Text("tệp nhị phân", "a binary file")
OTHER_CHARSET: Final = Text(
    "một bảng mã khác (chẳng hạn windows-1258), hoặc là tệp nhị phân",
    "another charset (windows-1258, perhaps), or is no text at all",
)
_ZIP: Final = Text("ZIP (cũng là dạng của tệp Office)", "ZIP (which Office files are, too)")
_UTF_BOMS: Final = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
# How files begin that are no text.
_MAGIC: Final = (
    (b"\x1f\x8b", _compressed("gzip", "compression_undeclared")),
    (b"\x28\xb5\x2f\xfd", _compressed("zstd", "compression_undeclared")),
    (b"PK\x03\x04", _compressed(_ZIP)),
    (b"PK\x05\x06", _compressed(_ZIP)),
    (b"BZh", _compressed("bzip2")),
    (b"\xfd7zXZ\0", _compressed("xz")),
    (b"7z\xbc\xaf\x27\x1c", _compressed("7-Zip")),
    (b"\x04\x22\x4d\x18", _compressed("LZ4")),
    (b"%PDF-", Mistake("format_unsupported", "PDF")),
    (b"PAR1", Mistake("format_unsupported", "Parquet")),
    (b"Obj\x01", Mistake("format_unsupported", "Avro")),
    (b"SQLite format 3\0", Mistake("format_unsupported", "SQLite")),
)
_UNPRINTABLE: Final = re.compile(rb"[\0-\x08\x0e-\x1f]")
_MULTIPART: Final = re.compile(rb"--[-'()+_,./:=?]*+[0-9A-Za-z][0-9A-Za-z'()+_,./:=?-]{5,}\Z")
_URLENCODED: Final = re.compile(rb"[\w.%+*\[\]-]+=[\w.%+*~-]*(?:&|\Z)")
_TABLE: Final = re.compile(rb"[^,;\t{}\[\]]+([,;\t])[^{}\[\]]*\1")  # two separators of one kind, and no brackets before
_SPACE: Final = rb"[ \t\r\n]*+"
# the beginning of a submission as one JSON document: no record has a field `records`
_DOCUMENT: Final = re.compile(
    rb"\{#(?:\"(?:source|language|notify|complete)\"#:#(?:\"(?:[^\"\\]++|\\.)*+\"|[a-z]+)#,#)*+\"records\"#:".replace(
        b"#", _SPACE
    )
)
_LOOKED_AT: Final = 512 * 1024  # of a document: more than one record takes
_NOT_FINITE: Final = re.compile(rb"NaN|Infinity")
_OPEN_ENDED: Final = (b"{", b"[", b",", b":")


def without_bom(text: bytes) -> bytes:
    """The text without the mark that some editors put before UTF-8."""
    return text.removeprefix(BOM)


def is_utf8(text: bytes, *, cut_short: bool = False) -> bool:
    """Whether the text is UTF-8; its last character may be cut off where it is `cut_short`."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return cut_short and error.start > len(text) - 4
    return True


def _wide_characters(head: bytes) -> str | None:
    """UTF-16 or UTF-32 by its zero bytes: JSON begins with two characters of ASCII. Parts of a character, too, since lines
    are cut at the byte of a line end."""
    head = head[:4]
    zeros = head.count(0)
    if zeros == 0:
        return None
    if zeros * 4 >= len(head) * 3 and len(head) > 1:
        return "UTF-32"
    by_turns = all((a == 0) != (b == 0) for a, b in pairwise(head))
    return "UTF-16" if by_turns else None


def wrong_bytes(text: bytes) -> Mistake | None:
    """What is no UTF-8 text at all: other charsets, compressed data, binary files."""
    for mark, charset in _UTF_BOMS:
        if text.startswith(mark):
            return _charset(charset)
    for magic, mistake in _MAGIC:
        if text.startswith(magic):
            return mistake
    wide = _wide_characters(text)
    if wide is not None:
        return _charset(wide)
    if not text.startswith((b"{", b"[")) and _UNPRINTABLE.search(text):
        return Mistake("format_unsupported", _BINARY)
    return None


def _wrong_text(line: bytes) -> Mistake | None:
    """What is text, and no JSON."""
    if line.startswith(b"<"):
        return Mistake("format_unsupported", "XML/HTML")
    if _MULTIPART.match(line):  # the lines between two boundaries may be right ones
        return Mistake("format_unsupported", FORM, is_certain=True)
    if _URLENCODED.match(line):
        return Mistake("format_unsupported", FORM)
    if _TABLE.match(line):
        return Mistake("format_unsupported", _CSV)
    return None


def wrong_value(text: str) -> str | None:
    """What is wrong with one record that is no JSON: `several_in_line`, `number_not_finite`, or None where it is neither."""
    text = text.lstrip(" \t\r\n\ufeff")
    constants: list[str] = []
    try:
        value, end = json.JSONDecoder(parse_constant=constants.append).raw_decode(text)
    except (ValueError, RecursionError):
        return None
    rest = text[end:].lstrip(" \t\r\n,")
    if isinstance(value, dict) and rest.startswith("{"):
        return "several_in_line"
    return "number_not_finite" if constants and not rest else None


def is_document(line: bytes) -> bool:
    """Whether a line is the beginning of a submission as one JSON document, or all of it."""
    return _DOCUMENT.match(line) is not None


def wrong_line(line: bytes, *, cut_short: bool = False) -> Mistake | None:
    """What is wrong with the first line of NDJSON, which is no JSON object; without white space around it and a UTF-8 BOM."""
    found = wrong_bytes(line)
    if found is not None:
        return found
    is_object = line.startswith(b"{")
    if line.startswith(b"[") or is_document(line) or (is_object and not cut_short and line.endswith(_OPEN_ENDED)):
        return Mistake("json_not_ndjson", is_certain=True)
    code = wrong_value(line.decode("utf-8", "replace"))
    if code is not None:
        return Mistake(code)
    if is_object and cut_short:
        return None
    return _wrong_text(line) if is_utf8(line, cut_short=cut_short) else _charset(OTHER_CHARSET, is_certain=False)


def wrong_document(body: bytes, position: int) -> Mistake | None:
    """What is wrong with a body that should be one JSON document and could not be read beyond a place."""
    beginning = without_bom(body[:_LOOKED_AT].lstrip(WHITE_SPACE))
    found = wrong_bytes(beginning[:1024])
    if found is not None:
        return found
    if wrong_value(beginning.decode("utf-8", "replace")) == "several_in_line":
        return Mistake("ndjson_not_json")
    if _NOT_FINITE.match(body, position):
        return Mistake("number_not_finite")
    if not is_utf8(beginning, cut_short=len(body) > _LOOKED_AT):
        return _charset(OTHER_CHARSET, is_certain=False)
    return _wrong_text(beginning.split(b"\n", 1)[0].rstrip(WHITE_SPACE))
