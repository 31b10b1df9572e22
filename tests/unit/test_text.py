"""Text in its stored form."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.text import BIDI_CONTROLS, ZERO_WIDTH, TextRefused, is_clean, normalise

_any_text = st.text(
    st.characters(exclude_categories=()) | st.sampled_from(ZERO_WIDTH + "e\u0301\u0323\u0958"), max_size=40
)


@settings(max_examples=500)
@given(_any_text)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    try:
        once = normalise(text)
    except TextRefused:
        assert not is_clean(text)
        return
    assert normalise(once) == once
    assert is_clean(once)
    assert is_clean(text) == (once == text)


@pytest.mark.parametrize("character", list(ZERO_WIDTH))
def test_what_has_no_width_is_stripped(character: str) -> None:
    assert normalise(f"a{character}b{character}") == "ab"
    assert not is_clean(f"a{character}b")


@pytest.mark.parametrize("character", list(BIDI_CONTROLS))
def test_what_turns_the_reading_direction_is_refused(character: str) -> None:
    with pytest.raises(TextRefused) as refused:
        normalise(f"a{character}b")
    assert refused.value.code == "text_bidi"


def test_only_tab_and_line_feed_of_the_controls_are_text() -> None:
    controls = [chr(point) for point in range(0x110000) if unicodedata.category(chr(point)) == "Cc"]
    allowed = [character for character in controls if is_clean(character)]
    assert allowed == ["\t", "\n"]
    for character in set(controls) - {"\t", "\n"}:
        with pytest.raises(TextRefused) as refused:
            normalise(character)
        assert refused.value.code == ("text_nul" if character == "\x00" else "text_control")


def test_a_mark_across_a_stripped_character_still_composes() -> None:
    assert normalise("e\u200b\u0301") == "é"


def test_nfc_leaves_both_spellings_of_hoa_and_the_letter_d_alone() -> None:
    assert normalise("hòa") != normalise("hoà")
    assert normalise("Đđ") == "Đđ" and unicodedata.normalize("NFD", "Đ") == "Đ"


def test_text_that_copy_must_escape_is_text_all_the_same() -> None:
    assert normalise("\\N\t\\.\n\\") == "\\N\t\\.\n\\"
    assert normalise("👩🏽 và 🇻🇳") == "👩🏽 và 🇻🇳"
