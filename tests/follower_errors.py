"""One message on which our own code fails keeps the API from nothing else: statuses are followed on, the backlog is
asked again.

Run by tests/unit/test_follower.py in a process of its own: API and worker have metrics of the same names.
"""

import datetime as dt
from typing import Any, Final, NamedTuple

import pytest

from producer_api.kafka import backlog, follower
from producer_api.kafka.status_messages import Head, StatusMessage
from producer_api.kafka.statuses import StatusStore
from producer_api.settings import ApiSettings
from tests.helpers import wait_for

SECRET: Final = "0987 654 321"
ERRORS: Final = [
    ValueError(SECRET),
    KeyError(SECRET),
    RecursionError(SECRET),
    UnicodeEncodeError("utf-8", SECRET, 0, 1, SECRET),
    MemoryError(),
]


class Raising(NamedTuple):
    """A message of the status topic whose reading raises."""

    error: Exception

    def key(self) -> bytes:
        return b"tenant/scan"

    def headers(self) -> Any:
        raise self.error

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 7


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_status_that_cannot_be_read_is_named_and_passed_over(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert follower._read_status(Raising(error)) is None  # type: ignore[arg-type]
    assert f"scan.status.v1-3, offset 7: {type(error).__name__} at " in caplog.text
    assert SECRET not in caplog.text


class Odd(dt.datetime):
    """A time that is none."""

    def timestamp(self) -> float:
        raise OverflowError(SECRET)


async def test_a_status_that_cannot_be_kept_takes_no_other_along(caplog: pytest.LogCaptureFixture) -> None:
    store = StatusStore(60)
    heads = [Head("completed"), Head("completed", submitted_at=Odd(2026, 1, 1, tzinfo=dt.UTC)), Head("completed")]
    batch = [StatusMessage(("tenant", str(at)), b"{}", head, False, 0, at, 1.0) for at, head in enumerate(heads)]
    store.apply(batch, {0: 3})
    assert [store.get(("tenant", str(at))) is not None for at in range(3)] == [True, False, True]
    assert store.has_read({0: 3})
    assert "partition 0, offset 1: OverflowError at " in caplog.text and SECRET not in caplog.text


def test_the_backlog_is_asked_again_whatever_was_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([5, *ERRORS, 7])

    def measure(_: Any) -> int:
        answer = next(answers, 7)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(backlog, "_measure", measure)
    settings = ApiSettings(
        postgres_read_url="postgresql://127.0.0.1:1/none",  # type: ignore[arg-type]
        kafka_bootstrap="127.0.0.1:1",
        api_backlog_messages=6,
        api_backlog_poll_seconds=0.01,
    )
    asking = backlog.Backlog(settings)
    try:
        wait_for(lambda: asking.too_long, "the last answer counts")
    finally:
        asking.close()
