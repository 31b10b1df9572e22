"""Finds lanes that have work and get nowhere, says so, and starts them again.

A lane that waits for a known reason is left alone. What does not help is not repeated for ever: the worker then ends,
and whoever supervises it starts it again; nothing is lost by that at any moment."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from schemas.exception_summary import stack_of
from schemas.log_lines import about
from stream_app import metrics
from stream_app.lanes.group import Lanes
from stream_app.lanes.lane import Lane
from stream_app.lanes.standstill import Standstills

log = logging.getLogger("scanline.watchdog")
EXIT_STALLED: Final = 70  # EX_SOFTWARE
LOOK_SECONDS: Final = 1.0
_FAREWELL_SECONDS: Final = 5.0  # /healthz says so before the process ends
_LONGEST_STEP: Final = 2.0  # between two looks, as far as it counts: a worker that was frozen did not wait


class WatchdogRules(NamedTuple):
    """The rules of the watchdog; the settings say what each is."""

    stall_seconds: float = 60.0
    restarts: int = 3
    standing_seconds: float = 60.0


class _Watched:
    """What the watchdog remembers of one lane between looks."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.place = self.position
        self.still = 0.0  # seconds without progress

    @property
    def position(self) -> tuple[int | None, int, int]:
        return self.lane.next_offset, *self.lane.signs

    @property
    def moved(self) -> bool:
        before, self.place = self.place, self.position
        return before != self.place


class Watchdog:
    """look() is called on the event loop about once a second; a thread makes sure that it is."""

    def __init__(
        self,
        lanes: Lanes,
        rules: WatchdogRules,
        unread: Callable[[int, int, int], bool],
        ends: Callable[[list[int]], Mapping[int, int]],
        revive: Callable[[int], None],
    ) -> None:
        """`unread(partition, written, end)`: whether there is something to be read between the two. `ends(partitions)`
        asks the broker for the partitions' ends, and blocks; it knows none where the broker is away.
        `revive(partition)` sees to it that the partition is fetched for."""
        self._lanes = lanes
        self._rules = rules
        self._unread = unread
        self._ask_ends = ends
        self._revive = revive
        self._watched: dict[int, _Watched] = {}
        self._in_vain: dict[int, tuple[int | None, int]] = {}  # partition -> offset, restarts at that offset
        self._ends: Mapping[int, int] = {}
        self.standing = Standstills(rules.standing_seconds)
        self._looked = 0  # times
        self._last_look: float | None = None
        self.sick: str | None = None  # why the process is about to end

    def start(self) -> None:
        """Starts the thread."""
        threading.Thread(target=self._keep_watch, name="watchdog", daemon=True).start()

    def look(self) -> None:
        """Counts how long each lane has got nowhere, and starts again what has for too long."""
        now = time.monotonic()
        passed = min(now - self._last_look, _LONGEST_STEP) if self._last_look is not None else 0.0
        self._last_look = now
        self._looked += 1
        lanes = self._lanes.all()
        self._watched = {
            number: known if (known := self._watched.get(number)) and known.lane is lane else _Watched(lane)
            for number, lane in lanes.items()
        }
        worst = 0.0
        for number, watched in self._watched.items():
            if watched.moved or not self._should_move(number, watched.lane, now):
                watched.still = 0.0
            else:
                watched.still += passed
            worst = max(worst, watched.still)
        metrics.PROGRESS_AGE.set(worst)
        self.standing.look(lanes, self._has_work, now)
        for number, watched in list(self._watched.items()):
            if watched.still >= self._rules.stall_seconds and self.sick is None:
                self._start_again(number, watched)

    def _should_move(self, partition: int, lane: Lane, now: float) -> bool:
        """True where the lane has something to do and knows of no reason to wait."""
        caller = lane.caller
        if caller.queued:  # others have the threads; as long as any of those comes back, its turn will come
            return now - self._lanes.returned_at > self._rules.stall_seconds
        if caller.running:
            return True
        return caller.paused is None and self._has_work(partition, lane)

    def _has_work(self, partition: int, lane: Lane) -> bool:
        """True where there is something to write, fetched already or still to be fetched."""
        if lane.busy:
            return True
        end = self._ends.get(partition)
        return end is not None and lane.next_offset is not None and self._unread(partition, lane.next_offset, end)

    def _start_again(self, partition: int, watched: _Watched) -> None:
        offset, doing = watched.lane.next_offset, watched.lane.doing
        at, times = self._in_vain.get(partition, (offset, 0))
        times = times + 1 if at == offset or offset is None else 1
        self._in_vain[partition] = (at if offset is None else offset, times)
        metrics.STALLS.inc()
        log.error(
            "phân vùng %d đứng yên %.0f giây ở offset %s (%s); khởi động lại lần %d, không mất dữ liệu"
            " / partition %d has stood still for %.0f s at offset %s (%s); started again, time %d, nothing is lost",
            *(partition, watched.still, offset, doing, times) * 2,
            extra=about(partition=partition, offset=offset),
        )
        _log_stack(f"partition {partition}", watched.lane.caller.thread)
        if times > self._rules.restarts:
            self._give_up(f"partition {partition} stands still at offset {offset} ({doing})")
            return
        self._revive(partition)
        self._lanes.restart(partition)

    def _give_up(self, why: str) -> None:
        self.sick = why
        log.critical(
            "worker kết thúc với mã %d để được khởi động lại; không mất dữ liệu"
            " / the worker ends with code %d, to be started again; nothing is lost: %s",
            EXIT_STALLED,
            EXIT_STALLED,
            why,
        )

    def _keep_watch(self) -> None:
        """The thread's loop: asks for the partitions' ends, notices an event loop that stands still, and ends the
        process."""
        still = 0.0
        looked = -1
        step = min(LOOK_SECONDS, self._rules.stall_seconds / 4)
        next_ask = 0.0
        while self.sick is None:
            time.sleep(step)
            if self._looked:  # before the first look the worker is starting
                still = still + step if self._looked == looked else 0.0
                looked = self._looked
                if still > 2 * self._rules.stall_seconds:
                    _log_stack("the event loop", threading.main_thread().ident)
                    self._give_up("the event loop stands still")
            if time.monotonic() >= next_ask:
                self._ends = self._ask_ends(list(self._watched))
                next_ask = time.monotonic() + min(10.0, self._rules.stall_seconds / 4)
        time.sleep(_FAREWELL_SECONDS)
        logging.shutdown()
        os._exit(EXIT_STALLED)


def _log_stack(what: str, thread: int | None) -> None:
    """Says where the thread hangs."""
    if thread is not None:
        log.error("%s hangs in %s", what, stack_of(sys._current_frames().get(thread)))
