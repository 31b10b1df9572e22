"""The fast way and the thorough way agree: what the first accepts, the second accepts unchanged."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.attributes import attributes_are_right
from schemas.record import EARLIEST, decode_record
from schemas.text import PLAIN_BYTES, is_clean, is_plain, normalise
from schemas.validation import time_error
from tests.fuzz import targets
from tests.unit.examples import FULL, MINIMAL, NOW, changed, encode, sample_lines

_letters = st.characters(exclude_categories=()) | st.sampled_from(
    'aăâđêôơưạảấầẩẫậ\u0300\u0301\u0309\u200b\u202e\x00\t\n\\"😀\u0958\ud800\u1e9b\u212b'
)
_texts = st.text(_letters, max_size=12)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_paths = st.sampled_from(
    [f"/{name}" for name in FULL]
    + [f"/transfer/{name}" for name in FULL["transfer"]]
    + ["/data_fields/0", "/data_categories/0", "/data_subjects/0", "/recipients/0", "/attributes/column_type", "/extra"]
)
_likely = (
    _texts
    | st.integers(-1, 36_501)
    | st.floats(0, 1)
    | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())
    | st.dates().map(str)
    | st.sampled_from(["VN", "SG", "consent", "basic_name", "", {}, [], ["basic_name", "sensitive_bank"]])
)


@settings(max_examples=400, deadline=None)
@given(path=_paths, value=_likely | _json, escaped=st.booleans())
def test_a_changed_record_is_judged_alike(path: str, value: Any, escaped: bool) -> None:
    record = changed(path, value)
    targets.record(json.dumps(record).encode() if escaped else encode(record))


@settings(max_examples=400, deadline=None)
@given(position=st.integers(0, 2_000), patch=st.binary(max_size=4), cut=st.integers(0, 3))
@example(position=encode(FULL).index(b"varchar"), patch=b"\x80", cut=0)
@example(position=encode(FULL).index(b"varchar"), patch=b"\xe1\xba", cut=1)
@example(position=encode(FULL).index(b"varchar"), patch=b"\\ud8", cut=0)
@example(position=encode(FULL).index(b'{"column'), patch=b"null,", cut=0)
def test_damaged_bytes_are_judged_alike(position: int, patch: bytes, cut: int) -> None:
    raw = encode(FULL)
    position %= len(raw)
    targets.record(raw[:position] + patch + raw[position + cut :])


def test_the_real_scans_take_the_fast_way_and_agree() -> None:
    lines = sample_lines()
    assert len(lines) == 3_658
    for line in lines:
        assert is_plain(line)
        assert targets.fast(line) is not None
        targets.record(line)


@settings(max_examples=300, deadline=None)
@given(
    st.text(
        st.characters(codec="utf-8") | st.sampled_from('aĐđẠạẾếỹỹỘộ ~\\"\x7f\u1e00\u1eff\u1f00\u01bf\u01c0\u0300'),
        max_size=30,
    )
)
def test_plain_bytes_hold_only_clean_text_that_needs_no_escape(text: str) -> None:
    raw = encode(MINIMAL | {"name": text or "x"})
    if is_plain(raw):
        name = json.loads(raw)["name"]
        assert is_clean(name)
        assert not set(name) & set("\\\t\n\r\x00")


def test_every_plain_character_is_in_its_stored_form() -> None:
    # all of them are starters that compose with nothing before them, so what holds for one holds for a text of them
    for point in [*range(0x20, 0x250), *range(0x1E00, 0x2000), *range(0x300, 0x370)]:
        character = chr(point)
        if set(character.encode()) <= set(PLAIN_BYTES) and is_plain(b'"' + character.encode() + b'"'):
            assert normalise(character) == character
            assert normalise("a" + character) == "a" + character
            assert normalise(character + "\u1ea1") == character + "\u1ea1"


def test_vietnamese_is_plain() -> None:
    letters = "aáàảãạăắằẳẵặâấầẩẫậbcdđeéèẻẽẹêếềểễệghiíìỉĩịklmnoóòỏõọôốồổỗộơớờởỡợpqrstuúùủũụưứừửữựvxyýỳỷỹỵ"
    assert is_plain(f'"{letters}{letters.upper()}"'.encode())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_attributes_that_are_right_are_utf8(raw: bytes) -> None:
    if attributes_are_right([b"{" + raw]):
        raw.decode()


def test_clock_and_age_are_looked_at_in_any_offset() -> None:
    for text, code in (
        ("0001-01-01T00:00:00+14:00", "datetime_too_old"),
        ("9999-12-31T23:59:59-14:00", "datetime_future"),
    ):
        record = decode_record(encode(changed("/discovered_at", text)))
        error = time_error(record.discovered_at, NOW)
        assert error is not None and error.code == code
    assert time_error(EARLIEST, NOW) is None
