"""One record that cannot be read takes no other with it."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import raw_records
from schemas.raw_records import is_array, split_records
from schemas.validation import examine
from tests.unit.examples import FULL, MINIMAL, NOW, changed, encode

GOOD = encode(MINIMAL)
BROKEN = {
    "text_surrogate": encode(changed("/name", "a\ud800")),
    "nested_too_deep": encode(FULL).replace(b"2.5", b"[" * 5_000 + b"]" * 5_000),
    "encoding_invalid": encode(FULL).replace(b"varchar", b"\x80"),
    "record_not_object": encode(FULL).replace(b"365", b"007"),
}


@pytest.mark.parametrize("code", BROKEN)
@pytest.mark.parametrize("space", [b"", b" \n\t\r "])
def test_the_good_neighbours_of_a_broken_record_stay(code: str, space: bytes) -> None:
    parts = [GOOD, BROKEN[code], encode(FULL)]
    split = split_records(space + b"[" + space + (space + b"," + space).join(parts) + space + b"]" + space)
    assert split == parts
    outcomes = [examine(part, NOW) for part in split]
    assert [outcome.errors[0].code if outcome.errors else None for outcome in outcomes] == [None, code, None]


@pytest.mark.parametrize("code", ["text_surrogate", "nested_too_deep", "encoding_invalid"])
def test_a_single_record_with_a_fault_of_its_own_is_a_record(code: str) -> None:
    assert split_records(BROKEN[code]) == [BROKEN[code]]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"null",
        b"x",
        b"{",
        b"[",
        b"[1,",
        b'["',
        b'["\\',
        b"[1]x",
        b"[1]]",
        b"[1}",
        b"{}x",
        b'{"a":1',
        b'[{"a":"}]',
        b"\xff\xfe",
    ],
)
def test_what_cannot_be_told_apart_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        split_records(value)


_values = st.recursive(
    st.none() | st.integers() | st.text(st.characters(exclude_categories=()) | st.sampled_from('[]{},"\\'), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a",[]{}\\', max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_values, min_size=1, max_size=5), st.booleans())
def test_any_array_is_split_into_its_items(items: list[object], ascii_only: bool) -> None:
    parts = [json.dumps(item, ensure_ascii=ascii_only).encode("utf-8", "backslashreplace") for item in items]
    assert split_records(b"[" + b" , ".join(parts) + b"]") == parts


def test_an_empty_array_has_no_records() -> None:
    assert split_records(b" [ ] ") == []


class Counted(bytes):
    """Counts the bytes that were cut out of it."""

    cut = 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        if isinstance(found, bytes):
            self.cut += len(found)
        return found


class CountedPattern:
    """Counts the bytes of what was found with it."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        self.matched = 0

    def finditer(self, value: bytes) -> Iterator[re.Match[bytes]]:
        for found in self._pattern.finditer(value):
            self.matched += len(found[0])
            yield found


HOSTILE: Final = {
    "strings that never close": b'[{"\\ud800":1},' + b'"\\"' * 50_000,
    "brackets that never close": b"[" * 100_000,
    "a string of quotes": b'["' + b'\\"' * 70_000,
    "an array that never closes": b'[{"a":"\\ud800"},' + b"[]," * 50_000,
    "nothing between commas": b'["\\ud800"' + b"," * 100_000,
    "arrays that close at once": b"[]" * 70_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_of_hostile_input_no_byte_is_looked_at_again_and_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value, pattern = Counted(HOSTILE[name]), CountedPattern(raw_records._STRUCTURE)
    monkeypatch.setattr(raw_records, "_STRUCTURE", pattern)
    with pytest.raises(ValueError, match=r".+"):
        split_records(value)
    assert value.cut + pattern.matched <= 2 * len(value) + 100


def test_what_finds_the_structure_never_goes_back() -> None:
    """A token is there at each of the bytes that begin one, whatever follows, and its repetitions give nothing back."""
    text = raw_records._STRUCTURE.pattern.replace(b"[^", b"").replace(b"\\\\", b"")
    assert re.findall(rb"(?<![*+?])[*+?]+", text.replace(b"(?:", b"(")) == [b"++", b"*+", b"?"]
    for first in b'"[]{},':
        for rest in (b"", b"\\", b'\\"', b"x" * 50, b'"', b"\\\\"):
            assert raw_records._STRUCTURE.match(bytes([first]) + rest) is not None


def test_an_array_is_known_by_its_bracket() -> None:
    assert is_array(b" \r\n\t[") and not is_array(b"{") and not is_array(b"")
