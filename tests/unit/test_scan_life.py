"""A scan's life: what state follows from what was counted, and what is told of it."""

import datetime as dt
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codes import FINAL_STATES, SCAN_STATES
from schemas.errors import FieldError
from schemas.messages import Cancelled, Closed, Opened
from schemas.numbers import number
from schemas.status import Scan, decode_status, encode_status, error_sample, status_message, status_of

NOW = dt.datetime(2026, 11, 24, 3, 0, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(seconds=5)


def scan(**fields: Any) -> Scan:
    made = Scan("tenant-a", "0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11", **fields)
    made.settle(NOW)
    return made


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "queued"),
        ({"records_total": 10}, "queued"),
        ({"records_total": 10, "closed": True}, "queued"),
        ({"records_stored": 1}, "processing"),
        ({"records_stored": 10, "records_total": 10}, "processing"),  # expected, but not closed
        ({"records_stored": 9, "records_total": 10, "closed": True}, "processing"),  # closed before the last record
        ({"records_stored": 10, "records_total": 10, "closed": True}, "completed"),
        ({"records_duplicate": 10, "records_total": 10, "closed": True}, "completed"),
        ({"records_stored": 12, "records_total": 10, "closed": True}, "completed"),
        ({"records_total": 0, "closed": True}, "completed"),
        ({"records_stored": 9, "records_rejected": 1, "records_total": 10, "closed": True}, "completed_with_errors"),
        ({"records_rejected": 10, "records_total": 10, "closed": True}, "completed_with_errors"),
        (
            {"records_stored": 10, "records_total": 10, "closed": True, "messages_unreadable": 1},
            "completed_with_errors",
        ),
        ({"messages_unreadable": 1}, "processing"),
        ({"records_stored": 9, "records_total": 10, "closed": True, "messages_unreadable": 1}, "failed"),
        ({"cancel_reason": "by_request"}, "cancelled"),
        ({"cancel_reason": "by_request", "records_stored": 10, "records_total": 10, "closed": True}, "cancelled"),
    ],
)
def test_the_state_follows_from_the_counts(fields: dict[str, Any], state: str) -> None:
    settled = scan(**fields)
    assert settled.status == state
    assert settled.submitted_at == NOW
    assert (settled.started_at is None) == (state == "queued")
    assert (settled.finished_at is None) == (state not in FINAL_STATES)


def test_a_failed_scan_comes_back_when_the_missing_records_arrive() -> None:
    settled = scan(records_stored=9, records_total=10, closed=True, messages_unreadable=1)
    settled.records_stored = 10
    settled.settle(LATER)
    assert (settled.status, settled.version) == ("completed_with_errors", 2)
    # it ends when it is whole, not when it first seemed lost
    assert (settled.started_at, settled.finished_at) == (NOW, LATER)


def test_a_complete_scan_keeps_its_total() -> None:
    settled = scan(records_stored=10, records_total=10, closed=True)
    assert not settled.take(Closed(20))
    assert settled.take(Closed(10))  # the same again
    settled.settle(LATER)
    assert (settled.status, settled.records_total, settled.finished_at) == ("completed", 10, NOW)


Step = int | Opened | Closed | Cancelled  # records accepted (refused ones are below 0), or a message
_MESSAGES: tuple[Step, ...] = (Opened(records_total=9), 4, -2, Closed(6), Closed(9), Cancelled())


def lives(steps: Sequence[Step]) -> set[tuple[str, ...]]:
    """What is told of the scan after each transaction, for each way of cutting the messages into transactions."""
    found = set()
    for cuts in itertools.product((False, True), repeat=len(steps) - 1):
        lived, pending, told = Scan("tenant-a", "0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11"), 0, []
        for step, cut in zip(steps, (*cuts, True), strict=True):
            if not isinstance(step, int):
                lived.take(step, pending)
            elif step < 0 or lived.cancel_reason is not None:
                lived.records_rejected += abs(step)
            else:
                pending += step
            if cut:
                lived.records_stored += pending
                pending = 0
                lived.settle(NOW)
                told.append(f"{lived.status} of {lived.records_total}")
        found.add(tuple(told))
    return found


@pytest.mark.parametrize("count", range(1, len(_MESSAGES) + 1))
def test_whatever_the_order_complete_is_never_taken_back_and_the_end_is_one(count: int) -> None:
    """Every order of some messages, each cut into transactions in every way."""
    for steps in itertools.permutations(_MESSAGES, count):
        found = lives(steps)
        assert len({told[-1] for told in found}) == 1, steps
        for told in found:
            done = [number for number, each in enumerate(told) if each.startswith("completed")]
            assert not done or len(set(told[done[0] :])) == 1, (steps, told)


_counts = st.integers(0, 30)
_steps = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "records_stored": _counts,
            "records_rejected": _counts,
            "records_duplicate": _counts,
            "messages_unreadable": st.integers(0, 2),
            "closed": st.just(True),
            "records_total": st.integers(0, 60),
            "cancel_reason": st.just("by_request"),
        },
    ),
    max_size=8,
)


@given(_steps)
def test_whatever_happens_the_life_is_a_life(steps: list[dict[str, Any]]) -> None:
    settled = scan()
    for number_of_step, step in enumerate(steps, 2):
        was_cancelled, ended = settled.status == "cancelled", settled.finished_at
        for name, value in step.items():
            before = getattr(settled, name)
            grows = isinstance(before, int) and name not in ("closed", "records_total")
            setattr(settled, name, before + value if grows else value)
        moment = NOW + dt.timedelta(seconds=number_of_step)
        settled.settle(moment)
        assert settled.status in SCAN_STATES
        assert settled.version == number_of_step
        assert 0 <= settled.progress <= 1
        if was_cancelled:
            assert settled.status == "cancelled" and settled.finished_at == ended
        if settled.status in ("completed", "completed_with_errors"):
            assert settled.progress == 1 and settled.closed and settled.accounted >= (settled.records_total or 0)
        assert settled.finished == (settled.finished_at is not None) == (settled.status in FINAL_STATES)
        assert decode_status(encode_status(status_of(settled))) == status_of(settled)


@pytest.mark.parametrize(
    ("stored", "total", "progress"),
    [(0, 10, 0), (5, 10, 0.5), (1, 3, 0.3333), (999_999, 1_000_000, 0.9999), (10, 10, 1), (15, 10, 1), (5, None, 0)],
)
def test_progress_reaches_one_with_the_last_record_and_not_before(
    stored: int, total: int | None, progress: float
) -> None:
    assert scan(records_stored=stored, records_total=total).progress == progress


def test_an_empty_scan_is_wholly_done() -> None:
    assert scan(records_total=0, closed=True).progress == 1


@pytest.mark.parametrize(
    ("value", "vi", "en"),
    [
        (0, "0", "0"),
        (999, "999", "999"),
        (1_000, "1.000", "1,000"),
        (1_234_567, "1.234.567", "1,234,567"),
        (10**10, "10.000.000.000", "10,000,000,000"),
    ],
)
def test_numbers_are_written_as_each_language_does(value: int, vi: str, en: str) -> None:
    assert (number(value, "vi"), number(value, "en")) == (vi, en)


@pytest.mark.parametrize(
    ("fields", "vi", "en"),
    [
        ({}, "Lượt quét đang chờ xử lý.", "The scan is queued."),
        (
            {"records_stored": 1_500},
            "Đang xử lý: 1.500 bản ghi, chưa rõ tổng số.",
            "Processing: 1,500 records, the total is not known yet.",
        ),
        (
            {"records_stored": 1_500, "records_total": 10_000},
            "Đang xử lý: 1.500 trên 10.000 bản ghi.",
            "Processing: 1,500 of 10,000 records.",
        ),
        (
            {"records_stored": 1_500, "records_rejected": 1, "records_total": 1_501, "closed": True},
            "Hoàn tất, có lỗi: đã lưu 1.500 bản ghi, 1 bị từ chối, 0 trùng lặp.",
            "Completed with errors: 1,500 records stored, 1 rejected, 0 duplicates.",
        ),
        (
            {"cancel_reason": "publish_failed", "records_stored": 1_000},
            "Đã hủy: không thể đưa đủ bản ghi vào hàng đợi, hãy gửi lại lượt quét. 1.000 bản ghi đã lưu trước đó "
            "được giữ lại.",
            "Cancelled: not all records could be queued, submit the scan again. The 1,000 records stored before "
            "are kept.",
        ),
    ],
)
def test_the_message_says_where_it_stands(fields: dict[str, Any], vi: str, en: str) -> None:
    assert status_message(scan(**fields)) == {"vi": vi, "en": en}


def test_a_reason_is_reported_as_it_was_given() -> None:
    assert status_of(scan(cancel_reason="publish_failed")).cancel_reason == "publish_failed"
    assert status_of(scan()).cancel_reason is None


def test_a_publishers_own_reason_is_never_shown_as_ours() -> None:
    words = status_message(scan(cancel_reason="0790900{12345}"))
    assert "079" not in words["vi"] + words["en"]


def test_a_sample_of_an_error_counts_from_zero_and_says_from_one() -> None:
    sample = error_sample(16, "crm/1", FieldError("required", "/purpose"))
    assert (sample.index, sample.activity_key, sample.code, sample.pointer) == (16, "crm/1", "required", "/purpose")
    assert "17" in sample.messages["vi"] and "17" in sample.messages["en"]
    assert "Bản ghi bị từ chối" in error_sample(None, None, FieldError("record_not_object")).messages["vi"]
