"""Operators' errors: each has a code, and its text in both languages stands in one catalogue."""

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Final, NamedTuple

import pytest

from infra.error_texts import TEXTS
from infra.errors import InfraError, Interrupted
from schemas.errors import Text

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDERS: Final = ("infra", "operations", "trials", "cli")
_CLASSES: Final = {InfraError.__name__, Interrupted.__name__}


class Use(NamedTuple):
    """Where an error of the catalogue is made."""

    where: str
    code: str
    values: frozenset[str]


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def _uses() -> Iterator[Use]:
    for where, call in _calls():
        made = call.func
        if not (isinstance(made, ast.Attribute) and made.attr == "of" and isinstance(made.value, ast.Name)):
            continue
        if made.value.id in _CLASSES:
            codes = [node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant)]
            assert codes, where
            yield from (Use(where, str(code), frozenset(str(each.arg) for each in call.keywords)) for code in codes)


USES: Final = list(_uses())


def _placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def test_every_code_that_is_used_exists_and_every_code_is_used() -> None:
    assert {use.code for use in USES} == set(TEXTS)


@pytest.mark.parametrize("code", TEXTS)
def test_both_texts_say_the_same_things(code: str) -> None:
    vi, en = TEXTS[code]
    assert vi and en
    assert _placeholders(vi) == _placeholders(en)


def test_every_error_is_given_what_its_text_says() -> None:
    assert [use for use in USES if use.values != _placeholders(TEXTS[use.code][1])] == []


def test_no_text_is_written_where_it_is_raised() -> None:
    """Only `publish` adds to a text: to whatever went wrong, how to go on."""
    made = {where for where, call in _calls() if isinstance(call.func, ast.Name) and call.func.id in _CLASSES}
    assert {where.partition(":")[0] for where in made} == {"cli/publish.py"}


def test_a_value_in_both_languages_gives_the_one_that_fits() -> None:
    error = Interrupted.of("publish_interrupted", again=Text("lần nữa", "again"))
    assert (error.vi, error.en) == ("Đã dừng. lần nữa", "Interrupted. again")
    assert error.code == "publish_interrupted"
