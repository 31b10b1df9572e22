"""Measures how long each lane has had work and stood on one offset, whatever the reason: paused, slow, queued or not
known."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from schemas.errors import Text
from stream_app import metrics
from stream_app.lanes.lane import Lane

_LONGEST_STEP: Final = 2.0  # between two looks, as far as it counts: a worker that was frozen did not wait
_TEXT: Final = Text(
    "Phân vùng {partition} đứng ở offset {offset} từ {seconds} giây nay ({doing}); không mất dữ liệu.",
    "Partition {partition} has stood at offset {offset} for {seconds} s ({doing}); nothing is lost.",
)


class Standstill(NamedTuple):
    """One lane's standstill. `offset` is None while the lane has not learnt it yet."""

    offset: int | None
    seconds: float
    doing: str

    def described(self, partition: int, now: dt.datetime) -> dict[str, Any]:
        """The standstill as /readyz shows it."""
        seconds = round(self.seconds)
        facts = {"partition": partition, "offset": self.offset, "seconds": seconds, "doing": self.doing}
        return {
            "offset": self.offset,
            "since": (now - dt.timedelta(seconds=seconds)).isoformat(timespec="seconds"),
            "seconds": seconds,
            "doing": self.doing,
            "message": {"vi": _TEXT.vi.format(**facts), "en": _TEXT.en.format(**facts)},
        }


class Standstills:
    """Measures the standstill of every lane. Called about once a second, on the event loop. A lane that was started
    again in the same place has stood there all the time."""

    def __init__(self, most_seconds: float) -> None:
        """Longer than `most_seconds` is too long."""
        self._most = most_seconds
        self._standstills: dict[int, Standstill] = {}
        self._looked: float | None = None

    @property
    def too_long(self) -> Mapping[int, Standstill]:
        """The lanes that stand too long, by partition."""
        return {number: stand for number, stand in self._standstills.items() if stand.seconds >= self._most}

    def look(self, lanes: Mapping[int, Lane], has_work: Callable[[int, Lane], bool], now: float) -> None:
        """`now` is of time.monotonic. Sets the metrics, and lets each lane know whether it stands too long."""
        passed = 0.0 if self._looked is None else min(now - self._looked, _LONGEST_STEP)
        self._looked = now
        self._standstills = {
            number: self._moved_on(self._standstills.get(number), lane, passed)
            for number, lane in lanes.items()
            if has_work(number, lane)
        }
        too_long = self.too_long
        metrics.STANDING_SECONDS.set(max((stand.seconds for stand in self._standstills.values()), default=0.0))
        metrics.STANDING_LANES.set(len(too_long))
        for number, lane in lanes.items():
            lane.stand(too_long=number in too_long)

    @staticmethod
    def _moved_on(before: Standstill | None, lane: Lane, passed: float) -> Standstill:
        """A lane that reads its offset again has not moved by that."""
        offset = lane.next_offset
        if before is None or (offset is not None and before.offset is not None and offset != before.offset):
            return Standstill(offset, 0.0, lane.doing)
        return Standstill(before.offset if offset is None else offset, before.seconds + passed, lane.doing)
