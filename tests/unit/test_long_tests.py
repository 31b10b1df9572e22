"""`make test` holds every promise: whatever is left to `make test-long` has a shorter test of the same promise beside it."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import COLLECTED

TESTS: Final = Path(__file__).resolve().parents[1]
_FILE: Final = re.compile(r"`(?:tests/)?((?:[a-z]+/)?test_\w+\.py)")


@pytest.fixture
def collected(request: pytest.FixtureRequest) -> tuple[set[str], set[str]]:
    """The files with long tests, and those with others."""
    found: list[pytest.Item] = request.config.stash[COLLECTED]
    files: dict[bool, set[str]] = {True: set(), False: set()}
    for item in found:
        files[item.get_closest_marker("long") is not None].add(item.path.relative_to(TESTS).as_posix())
    if not {name.partition("/")[0] for name in files[False]} >= {"api", "faults", "pipeline", "unit"}:
        pytest.skip("only of all tests can be said where each promise is held")
    return files[True], files[False]


def _rows(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def _files(cell: str) -> set[str]:
    """Those it names; one without a folder is in the folder of the one before."""
    found, folder = set(), ""
    for name in _FILE.findall(cell):
        folder = name.rpartition("/")[0] or folder
        found.add(name if "/" in name else f"{folder}/{name}")
    return found


def test_every_long_test_stands_beside_a_short_one_of_its_promise(collected: tuple[set[str], set[str]]) -> None:
    long, short = collected
    named: set[str] = set()
    for promise, held, added in _rows((TESTS / "README.md").read_text().partition("## What runs when")[2]):
        assert _files(held), promise
        assert _files(held) <= short, promise
        named |= _files(added) or _files(held)
    assert named >= long
    assert len(long) > 20, "hardly any test is long: are they read at all?"


def test_every_promise_is_held_by_a_test_that_is_short(collected: tuple[set[str], set[str]]) -> None:
    text = (TESTS.parent / "docs" / "reliability.md").read_text()
    promises = _rows(text.partition("## What is promised")[2].partition("\n\nWhat users")[0])
    assert len(promises) > 10
    assert [promise for promise, tests, *_ in promises if not _files(tests) & collected[1]] == []
