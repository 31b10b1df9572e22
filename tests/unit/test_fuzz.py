"""Whatever bytes come from outside, no reader breaks its promise: a short look in every run; `make fuzz` looks longer."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.run import SHARES
from tests.fuzz.seeds import FOUND, changed, seeds
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_right_and_what_was_once_found_break_no_promise(target: str) -> None:
    for data in seeds(target):
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=100, deadline=None)
@given(number=st.integers(0, 2**32), at=st.integers(0, 10))
def test_changed_input_breaks_no_promise(target: str, number: int, at: int) -> None:
    known = seeds(target)
    TARGETS[target](changed(known[at % len(known)], random.Random(number)))


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_break_no_promise(target: str, data: bytes) -> None:
    TARGETS[target](data)


def test_every_target_has_its_share_of_the_long_run() -> None:
    assert set(SHARES) == set(TARGETS)
    assert {folder.name for folder in FOUND.iterdir()} <= set(TARGETS)
