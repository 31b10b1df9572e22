"""What is no NDJSON is known by its first lines, the same way however it arrives; what is right is never refused."""

import json
import random
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.arrays import Lines
from schemas.first_lines import FirstLines
from schemas.problems import PROBLEMS
from schemas.submission import SubmissionRefused, read_json
from tests.format_mistakes import BOM, LINES, MISTAKES

SIZES: Final = [1, 3, 4_096, 262_208, 1 << 30]


def cut(body: bytes, size: int) -> Iterator[bytes]:
    """In pieces of one size at first, and much larger ones after that."""
    at = 0
    while at < len(body):
        step = size if at < 2_000 else size * 999
        yield body[at : at + step]
        at += step


def verdict(pieces: Iterator[bytes]) -> str | None:
    """The code of what is wrong; None where it is NDJSON."""
    first_lines = FirstLines()
    try:
        for piece in pieces:
            first_lines.feed(piece)
        first_lines.finish()
    except SubmissionRefused as refused:
        assert not first_lines.is_ndjson
        return refused.code
    assert first_lines.is_ndjson
    return None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_answered_the_same_way_in_pieces_of_every_size(name: str, size: int) -> None:
    mistaken = MISTAKES[name]
    assert verdict(cut(mistaken.body, size)) == mistaken.as_ndjson


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_reported_of_a_document(name: str) -> None:
    mistaken = MISTAKES[name]
    try:
        read_json(mistaken.body, "vi", 10_000)
        code = None
    except SubmissionRefused as refused:
        code = refused.code
        PROBLEMS[code].detail.fill(refused.params)  # type: ignore[arg-type]
    assert code == mistaken.as_json


_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=10,
)
_NAMES: Final = st.text(max_size=9) | st.sampled_from(["activity_key", "attributes", "name", "NaN", "a,b;c", "x=1&"])
_RECORDS: Final = st.dictionaries(_NAMES, _VALUES, max_size=5)
_SPACES: Final = st.text("\r\t ", max_size=3).map(str.encode)


@st.composite
def _lines(draw: Any) -> bytes:
    text = json.dumps(
        draw(_RECORDS), ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (" , ", " : ")]))
    )
    bom = BOM if draw(st.integers(0, 4)) == 0 else b""
    return draw(_SPACES) + bom + draw(_SPACES) + text.encode() + draw(_SPACES)


@settings(max_examples=100, deadline=None)
@given(st.lists(_lines() | _SPACES, max_size=6), _lines(), st.booleans(), st.randoms(use_true_random=False))
def test_what_is_right_is_never_refused(others: list[bytes], one: bytes, ended: bool, chance: random.Random) -> None:
    lines = [*others, one]
    chance.shuffle(lines)
    body = b"\n".join(lines) + (b"\n" if ended else b"")
    at, pieces = 0, []
    while at < len(body):
        pieces.append(body[at : at + chance.choice((1, 1, 2, 50, 10_000))])
        at += len(pieces[-1])
    assert verdict(iter(pieces)) is None
    assert verdict(cut(body, 1)) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(_RECORDS, min_size=1, max_size=5), st.sampled_from([None, 1, 4]), st.booleans(), st.booleans())
def test_a_document_that_is_right_is_read(records: list[Any], indent: int | None, bom: bool, complete: bool) -> None:
    document = {"source": "x", "records": records, "complete": complete}
    body = json.dumps(document, ensure_ascii=True, indent=indent).encode()
    _, found = read_json(BOM + body if bom else body, "vi", 10)
    assert [json.loads(bytes(each)) for each in found] == records


@pytest.mark.parametrize(
    "wrong", [b"# made by hand", b'{"cut": "off', b"a,b,c", b'{"a":1}{"b":2}', b'{"x": NaN}', b"\xff"]
)
@pytest.mark.parametrize("size", SIZES)
def test_wrong_lines_before_a_right_one_are_judged_by_themselves(wrong: bytes, size: int) -> None:
    assert verdict(cut(b"\n".join([*[wrong] * 19, LINES[0]]), size)) is None
    assert verdict(cut(b"\n".join([*[wrong] * 20, LINES[0]]), size)) is not None


@pytest.mark.parametrize("size", SIZES)
def test_a_record_that_is_too_long_is_rejected_alone(size: int) -> None:
    """Also where what is looked at of it ends within a character, or as a line of a pretty document would."""
    for filler in (b"x", "ế".encode(), b"[", b'","'):
        long = b'{"name":"' + filler * (300_000 // len(filler)) + b'"}'
        assert verdict(cut(long + b"\n" + LINES[0], size)) is None


def test_a_bom_before_each_line_is_no_part_of_it() -> None:
    lines = Lines()
    stream = b"".join(BOM + line + b"\r\n" for line in LINES)
    found = [element for piece in cut(stream, 5) for element in lines.feed(piece)] + list(lines.finish())
    assert found == LINES
