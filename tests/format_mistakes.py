"""Bodies as people send them by mistake, and what each is answered."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from typing import Final, NamedTuple

import zstandard

from trials import generator

LINES: Final = generator.records(40, 7)
STREAM: Final = generator.ndjson(LINES)
DOCUMENT: Final = generator.body(LINES)
OBJECTS: Final = [json.loads(line) for line in LINES]
BOM: Final = b"\xef\xbb\xbf"


class Mistaken(NamedTuple):
    """A body, and the problem's code where it is sent as NDJSON and as JSON; None where it is right that way."""

    body: bytes
    as_ndjson: str | None
    as_json: str | None


def _both(body: bytes, code: str) -> Mistaken:
    return Mistaken(body, code, code)


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("scan.ndjson", STREAM)
    return packed.getvalue()


def zstd_with_window(log: int, body: bytes = STREAM) -> bytes:
    """As `zstd --long=<log>` makes it of a stream."""
    packer = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=log)
    ).compressobj()
    return packer.compress(body) + packer.flush()


_PRETTY: Final = json.dumps({"source": "x", "records": OBJECTS}, ensure_ascii=False, indent=2).encode()
_JOINED: Final = b"".join(LINES)
_CSV: Final = "khóa,tên,hệ thống\n".encode() + b"a,b,c\n" * 40
_MULTIPART: Final = (
    b'--------------------------9051914041544843365972754266\r\nContent-Disposition: form-data; name="f"\r\n\r\n'
)

MISTAKES: Final[dict[str, Mistaken]] = {
    "nothing": _both(b"", "no_records"),
    "white space": _both(b" \r\n\t\n" * 300, "no_records"),
    "much white space": _both(b" " * 600_000, "no_records"),
    "a BOM alone": _both(BOM, "no_records"),
    "a BOM and a line end": _both(BOM + b"\r\n", "no_records"),
    "an empty list": Mistaken(b'{"records": []}', "json_not_ndjson", "no_records"),
    "an empty list that is not complete": Mistaken(b'{"records":[],"complete":false}', "json_not_ndjson", "no_records"),
    "UTF-16 with a BOM": _both(STREAM.decode().encode("utf-16"), "charset_unsupported"),
    "UTF-16 with a BOM, big-endian": _both(b"\xfe\xff" + STREAM.decode().encode("utf-16-be"), "charset_unsupported"),
    "UTF-16, little-endian": _both(STREAM.decode().encode("utf-16-le"), "charset_unsupported"),
    "UTF-16, big-endian": _both(STREAM.decode().encode("utf-16-be"), "charset_unsupported"),
    "UTF-16 after a blank line": _both(b"\n\0" + STREAM.decode().encode("utf-16-le"), "charset_unsupported"),
    "UTF-16, pretty": _both(_PRETTY.decode().encode("utf-16-le"), "charset_unsupported"),
    "UTF-16, pretty, big-endian": _both(_PRETTY.decode().encode("utf-16-be"), "charset_unsupported"),
    "UTF-32 with a BOM": _both(STREAM.decode().encode("utf-32"), "charset_unsupported"),
    "UTF-32, little-endian": _both(STREAM.decode().encode("utf-32-le"), "charset_unsupported"),
    "UTF-32, big-endian": _both(STREAM.decode().encode("utf-32-be"), "charset_unsupported"),
    "windows-1252": Mistaken(b'{"name":"kh\xe1ch"}\n{"name":"kh\xe1ch"}\n', "charset_unsupported", "ndjson_not_json"),
    "windows-1252, a document": Mistaken(
        b'{"records":[{"name":"kh\xe1ch"},{"name":"kh\xe1ch"}]}', "json_not_ndjson", "charset_unsupported"
    ),
    "gzip": _both(gzip.compress(STREAM), "compression_undeclared"),
    "zstd": _both(zstandard.compress(STREAM), "compression_undeclared"),
    "zip": _both(_zip(), "compression_unsupported"),
    "bzip2": _both(bz2.compress(STREAM), "compression_unsupported"),
    "xz": _both(lzma.compress(STREAM), "compression_unsupported"),
    "a picture": Mistaken(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1" + bytes(range(256)) * 40, "charset_unsupported", "format_unsupported"
    ),
    "a database": _both(b"SQLite format 3\0" + bytes(4_096), "format_unsupported"),
    "a program": _both(b"\x7fELF\2\1\1\0" + bytes(range(256)) * 40, "format_unsupported"),
    "CSV": _both(_CSV, "format_unsupported"),
    "one line of CSV": _both(b"activity_key;name;asset", "format_unsupported"),
    "HTML": _both(b"<!doctype html>\n<title>502</title>\n", "format_unsupported"),
    "a form": _both(b"records=%5B%7B%7D%5D&source=x", "format_unsupported"),
    "a form in parts": _both(_MULTIPART + STREAM, "format_unsupported"),
    "words": Mistaken(b"xin ch\xc3\xa0o\n" * 30, "ndjson_malformed", "json_malformed"),
    "what Python prints": Mistaken(b"{'activity_key': 'a'}\n" * 30, "ndjson_malformed", "json_malformed"),
    "numbers": Mistaken(b"1\n2\n3\n", "ndjson_malformed", "request_invalid"),
    "several in a line": Mistaken(_JOINED, "several_in_line", "ndjson_not_json"),
    "two in a line": Mistaken(b'{"a":1}{"b":2}', "several_in_line", "ndjson_not_json"),
    "several with spaces": Mistaken(b" ".join(LINES), "several_in_line", "ndjson_not_json"),
    "several with commas": Mistaken(b",".join(LINES), "several_in_line", "ndjson_not_json"),
    "far too many in a line": Mistaken(_JOINED * 40, "several_in_line", "ndjson_not_json"),
    "an array": Mistaken(generator.array(LINES), "json_not_ndjson", "request_invalid"),
    "a large array": Mistaken(generator.array(LINES * 30), "json_not_ndjson", "request_invalid"),
    "an array of lines": Mistaken(b"[\n" + b",\n".join(LINES) + b"\n]\n", "json_not_ndjson", "request_invalid"),
    "a pretty array": Mistaken(
        json.dumps(OBJECTS, ensure_ascii=False, indent=2).encode(), "json_not_ndjson", "request_invalid"
    ),
    "a pretty record": Mistaken(json.dumps(OBJECTS[0], indent=2).encode(), "json_not_ndjson", "request_invalid"),
    "a document": Mistaken(DOCUMENT, "json_not_ndjson", None),
    "a large document": Mistaken(generator.body(LINES * 30), "json_not_ndjson", None),
    "a document of lines": Mistaken(b'{"records": [\n' + b",\n".join(LINES) + b"]}", "json_not_ndjson", None),
    "a pretty document": Mistaken(_PRETTY, "json_not_ndjson", None),
    "a pretty document with a BOM": Mistaken(BOM + _PRETTY, "json_not_ndjson", None),
    "NDJSON": Mistaken(STREAM, None, "ndjson_not_json"),
    "NDJSON with a BOM": Mistaken(BOM + STREAM, None, "ndjson_not_json"),
    "long NDJSON": Mistaken(STREAM * 40, None, "ndjson_not_json"),
    "NaN": Mistaken(b'{"records": [{"confidence": NaN}]}', "json_not_ndjson", "number_not_finite"),
    "Infinity": Mistaken(b'{"records": [{"confidence": -Infinity}]}', "json_not_ndjson", "number_not_finite"),
    "NaN in every line": Mistaken(b'{"confidence": NaN}\n' * 50, "number_not_finite", "ndjson_not_json"),
}
