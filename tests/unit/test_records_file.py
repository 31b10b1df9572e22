"""A file that is no file of records is said to be what it is, before anything of it is sent."""

import gzip
from pathlib import Path

import pytest

from infra.errors import InfraError
from operations.records_file import RecordsFile
from tests.format_mistakes import BOM, LINES, MISTAKES

# a file may be either, and says by its beginning which; gzip is unpacked, and a large one may be a document
TAKEN = {name for name, each in MISTAKES.items() if None in (each.as_ndjson, each.as_json)} | {
    "gzip",
    "an array",
    "a large array",
    "an array of lines",
    "a pretty array",
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", sorted(MISTAKES.keys() - TAKEN))
def test_what_is_no_file_of_records_is_refused(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / "scan.ndjson"
    path.write_bytes(gzip.compress(MISTAKES[name].body) if packed else MISTAKES[name].body)
    with pytest.raises(InfraError) as refused:
        RecordsFile(path)
    for text in (refused.value.vi, refused.value.en):
        assert str(path) in text and "Content-" not in text and "{format" not in text
    if MISTAKES[name].as_ndjson == "no_records":
        assert "nothing was sent" in refused.value.en


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_what_is_one_is_sent_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / "scan"
    path.write_bytes(MISTAKES[name].body)
    with RecordsFile(path) as opened:
        found = b"".join(opened.pieces()).removeprefix(BOM).splitlines()
    assert len(found) >= len(LINES) and len(found) % len(LINES) == 0


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("length", [1, 250_000, 300_000, 1_100_000], ids=str)
@pytest.mark.parametrize("document", [False, True], ids=["lines", "array"])
def test_all_of_a_file_that_was_sent_has_been_read(tmp_path: Path, packed: bool, length: int, document: bool) -> None:
    """The bar of `scanline publish` ends full."""
    line = b'{"activity_key": "k", "purpose": "' + b"x" * 900 + b'"}'
    lines = [line] * (length // len(line) + 1)
    body = b"[" + b",".join(lines) + b"]" if document else b"\n".join(lines)
    path = tmp_path / "scan"
    path.write_bytes(gzip.compress(body) if packed else body)
    read: list[int] = []
    with RecordsFile(path) as opened:
        for _ in opened.pieces(read.append):
            pass
        assert read == sorted(read) and read[-1] == opened.size
