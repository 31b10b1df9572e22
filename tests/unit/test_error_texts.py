"""Every text in both languages, saying the same things, in the words the product uses."""

import re
import string
from collections.abc import Iterator

import pytest

from schemas import errors, field_texts, status
from schemas.errors import MESSAGE_ERRORS, RECORD_ERRORS, FieldError, Text, describe, field_name
from schemas.problems import PROBLEMS, REQUEST_ERRORS


def _catalogues() -> Iterator[tuple[str, Text]]:
    for name, texts in (
        ("record", RECORD_ERRORS),
        ("message", MESSAGE_ERRORS),
        ("type", errors.TYPE_WORDS),
        ("state", status._STATE_TEXTS),
        ("cancel", status.CANCEL_REASONS),
        ("request", REQUEST_ERRORS),
        ("problem title", {code: problem.title for code, problem in PROBLEMS.items()}),
        ("problem detail", {code: problem.detail for code, problem in PROBLEMS.items()}),
    ):
        for key, text in texts.items():
            yield f"{name} {key}", text
    yield "of another version", errors.OF_ANOTHER_VERSION
    for struct, (about, fields) in field_texts.STRUCTS.items():
        yield struct, about
        for key, text in fields.items():
            yield f"{struct}.{key}", text


TEXTS = dict(_catalogues())


def _placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("key", TEXTS)
def test_both_languages_say_the_same_things(key: str) -> None:
    text = TEXTS[key]
    assert text.vi.strip() and text.en.strip() and text.vi != text.en
    assert _placeholders(text.vi) == _placeholders(text.en)


@pytest.mark.parametrize("key", TEXTS)
def test_nobody_is_addressed_as_ban_and_the_words_are_the_laws(key: str) -> None:
    vietnamese = TEXTS[key].vi.lower()
    # «bạn» alone; the word may only stand inside another
    assert not re.search(r"(?<!\w)bạn(?!\w)", vietnamese)
    assert "ra nước ngoài" not in vietnamese
    assert "gdpr" not in vietnamese and "13/2023" not in vietnamese


def test_no_placeholder_could_carry_a_refused_value() -> None:
    names = set().union(*(_placeholders(text.vi) for text in TEXTS.values()))
    limits = {"min", "max", "max_bytes", "minutes", "year", "sqlstate", "limit", "seconds", "position"}
    ours = {
        "field",
        "expected",
        "allowed",
        "encoding",
        "format",
        "scans_url",
        "address",
        "items",
    }  # names of ours, and addresses we made
    sentences = {"reason"}  # another text of these catalogues
    counts = {"done", "total", "stored", "rejected", "duplicate", "unreadable", "mended", "taken"}
    assert names <= limits | ours | sentences | counts


def test_a_problem_is_a_http_error_with_a_title_and_whole_sentences() -> None:
    for code, problem in PROBLEMS.items():
        assert 400 <= problem.status < 600
        for title in problem.title:
            assert not title.endswith(".") and not _placeholders(title), code
        assert all(detail.endswith(".") for detail in problem.detail), code


def test_a_code_belongs_to_one_catalogue() -> None:
    assert not RECORD_ERRORS.keys() & MESSAGE_ERRORS.keys()


@pytest.mark.parametrize("code", MESSAGE_ERRORS)
def test_a_message_error_is_a_whole_sentence(code: str) -> None:
    words = describe(code, "", {"max_bytes": 1, "max": 1})
    assert all(text.endswith(".") and "{" not in text for text in words.values())


def test_the_tone_of_the_examples() -> None:
    assert FieldError("required", "/purpose").messages_for(16) == {
        "vi": "Bản ghi thứ 17 bị từ chối: thiếu trường bắt buộc «purpose».",
        "en": "Record 17 was rejected: the required field «purpose» is missing.",
    }
    assert (
        FieldError("required", "/purpose").messages_for(None)["vi"]
        == "Bản ghi bị từ chối: thiếu trường bắt buộc «purpose»."
    )


def test_types_are_named_in_the_readers_language() -> None:
    words = describe("wrong_type", "/retention_days", {"expected": "integer"})
    assert words == {
        "vi": "trường «retention_days» phải là số nguyên",
        "en": "the field «retention_days» must be a whole number",
    }


def test_an_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        describe("no_such_code")


@pytest.mark.parametrize("stored", [FieldError("gone_since", "/name"), FieldError("nested_too_deep")])
def test_an_error_that_another_version_stored_can_be_read(stored: FieldError) -> None:
    words = stored.messages_for(0)
    assert all(stored.code in text and "{" not in text for text in words.values())


def test_a_pointer_is_shown_as_people_read_it() -> None:
    assert field_name("/transfer/country") == "transfer/country"
    assert field_name("/a~1b~0c~01") == "a/b~c~1"
