"""What the type of a field says is checked, or the type is refused: no rule of a struct can be forgotten."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
import pytest
from msgspec import Meta, Struct, inspect

from schemas.field_checks import Refusal, check_of, may_be_null, texts_of
from schemas.record import Record, decode_record
from schemas.validation import text_is_clean
from tests.unit.examples import FULL, changed, encode


class Open(Struct):
    """Takes fields that it does not know."""

    name: Annotated[str, Meta(min_length=1, max_length=5)]


class Closed(Struct, forbid_unknown_fields=True):
    """Has a text, and one that may be left out."""

    name: Annotated[str, Meta(min_length=1, max_length=5)]
    note: Annotated[str, Meta(min_length=1, max_length=5)] | None = None


class Outer(Struct, forbid_unknown_fields=True):
    """Has texts in every place."""

    code: Literal["a", "b"]
    name: Annotated[str, Meta(min_length=1, max_length=5)]
    names: Annotated[list[Annotated[str, Meta(min_length=1, max_length=5)]], Meta(max_length=3)]
    inner: Closed | None = None


@pytest.mark.parametrize(
    "kind",
    [
        str,
        Annotated[str, Meta(max_length=5)],
        Annotated[str, Meta(min_length=2, max_length=5)],
        Annotated[str, Meta(min_length=1, max_length=5, pattern="a")],
        int,
        Annotated[int, Meta(ge=0)],
        Annotated[int, Meta(ge=0, lt=5)],
        Annotated[int, Meta(ge=0, le=6, multiple_of=2)],
        Annotated[float, Meta(ge=0.5, le=1)],
        list[Literal["a"]],
        Annotated[list[str], Meta(max_length=3)],
        dt.datetime,
        Annotated[dt.datetime, Meta(tz=False)],
        Open,
        bytes,
        bool,
        int | str,
        msgspec.Raw,
    ],
)
def test_a_type_that_says_more_than_a_check_holds_to_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="no check"):
        check_of(inspect.type_info(kind))


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (Annotated[str, Meta(min_length=1, max_length=5)], "đ" * 5, {"text_too_long": "đ" * 6, "text_empty": ""}),
        (Annotated[int, Meta(ge=2, le=5)], 2, {"out_of_range": 1, "wrong_type": 2.0}),
        (Annotated[float, Meta(ge=0, le=5)], 2.5, {"out_of_range": 5.5, "wrong_type": "2"}),
        (Literal["a", "b"], "b", {"unknown_code": "c", "wrong_type": 1}),
        (Annotated[list[Literal["a"]], Meta(min_length=1, max_length=2)], ["a"], {"list_too_short": []}),
        (Closed | None, {"name": "a"}, {"unknown_field": {"name": "a", "x": 1}, "required": {"note": "a"}}),
        (Annotated[dt.date, Meta(description="a day")], "2026-02-28", {"date_invalid": "2026-02-30"}),
    ],
)
def test_a_value_is_held_to_what_the_type_says(kind: Any, right: Any, wrong: Mapping[str, Any]) -> None:
    check = check_of(inspect.type_info(kind))
    assert check(right, "/it") == right
    for code, value in wrong.items():
        with pytest.raises(Refusal) as refused:
            check(value, "/it")
        assert refused.value.error.code == code


def test_null_stands_for_what_is_not_given_where_the_type_has_it() -> None:
    assert may_be_null(inspect.type_info(Closed | None))
    assert not may_be_null(inspect.type_info(Closed))


def test_every_text_of_a_struct_is_found_and_no_code() -> None:
    texts = texts_of(Outer)
    assert sorted(texts(Outer("a", "1", ["2", "3"], Closed("4", "5")))) == ["1", "2", "3", "4", "5"]
    assert sorted(filter(None, texts(Outer("a", "1", [], Closed("4"))))) == ["1", "4"]
    assert texts(Outer("a", "1", [])) == ["1"]


TEXTS: Final = sorted(texts_of(Record)(decode_record(encode(FULL))))


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_of_a_record_is_stored_as_it_came_without_a_look(text: str) -> None:
    """One that is written another way is found wherever it stands."""
    assert text_is_clean(decode_record(encode(FULL)))
    raw = encode(FULL)
    other = raw.replace(encode({"": text})[4:-1], encode({"": text + "e\u0301"})[4:-1])
    assert other != raw
    assert not text_is_clean(decode_record(other))


def test_attributes_are_looked_at_too() -> None:
    assert not text_is_clean(decode_record(encode(changed("/attributes", {"a": ["e\u0301"]}))))
