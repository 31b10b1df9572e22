"""A letter on which our own code fails is named as such, and the letters after it are looked at all the same."""

import datetime as dt
from typing import Any, Final, NamedTuple

import pytest

from cli.dlq import today
from operations.dead_letters.dead_letter import DeadLetter, letter_of
from operations.dead_letters.plan import RetryPlan, RetryRules
from schemas import decoder
from trials import generator

SCAN: Final = b"11111111-1111-4111-8111-111111111111"
LINE: Final = generator.records(1, 1)[0]
SECRET: Final = "0987 654 321"
NOW: Final = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
ERRORS: Final = [
    ValueError(SECRET),
    KeyError(SECRET),
    RecursionError(SECRET),
    AssertionError(SECRET),
    UnicodeEncodeError("utf-8", SECRET, 0, 1, SECRET),
]


class Message(NamedTuple):
    """As confluent-kafka has it."""

    place: int
    broken: bool = False

    def headers(self) -> Any:
        if self.broken:
            raise SystemError("returned a result with an exception set")
        return [("ce_type", b"vn.scanline.scan.records.v1"), ("ce_subject", SCAN), ("scanline_reason", b"type_unknown")]

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_790_000_000_000

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.place

    def key(self) -> bytes:
        return b"tenant"

    def value(self) -> bytes:
        return LINE


def letters(broken: int) -> list[DeadLetter]:
    return [letter_of(Message(place, place == broken)) for place in range(3)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("stage", ["read_envelope", "is_plain", "_read_records"])
def test_a_letter_that_fails_is_named_and_the_next_is_judged(
    stage: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(decoder, stage)
    first = True

    def raising(*args: Any) -> Any:
        nonlocal first
        if first:
            first = False
            raise error
        return original(*args)

    plan, found = RetryPlan(RetryRules()), letters(broken=-1)
    with monkeypatch.context() as patch:
        patch.setattr(decoder, stage, raising)
        for letter in found:
            plan.add(letter, "open", NOW)
    outcomes = {(group.outcome, group.becomes): sums.letters for group, sums in plan.groups.items()}
    assert outcomes == {("unreadable", "processing_failed"): 1, ("sent", "records"): 2}
    first = True
    monkeypatch.setattr(decoder, stage, raising)
    shown = [today(letter) for letter in found]
    assert shown[0].startswith("processing_failed: ") and f"({type(error).__name__} at " in shown[0]
    assert SECRET not in shown[0]
    assert [each.startswith("đọc được: 1") for each in shown] == [False, True, True]


def test_a_letter_whose_headers_the_client_cannot_read_is_listed() -> None:
    found = letters(broken=1)
    assert [(letter.offset, letter.tenant_id, letter.reason) for letter in found] == [
        (0, "tenant", "type_unknown"),
        (1, "tenant", "unknown"),
        (2, "tenant", "type_unknown"),
    ]
