"""A lane's calls to the sink and to Kafka: in threads, until they succeed, and never given up."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from schemas.log_lines import about
from schemas.status import PAUSES, PauseReason
from sinks.protocol import Unavailable
from stream_app import metrics
from stream_app.lanes.backoff import Backoff
from stream_app.lanes.dead_letter_limit import LimitReached
from stream_app.lanes.writers import Writers
from stream_app.publisher import DeadLetterFailed

log = logging.getLogger("scanline.lane")
Result = TypeVar("Result")
_STEP: Final = 0.1  # seconds until a sleeping lane notices that it is to stop


class StoreCalls:
    """Makes the calls of one lane, and knows what it is doing and why it waits. Belongs to the event loop."""

    def __init__(
        self,
        partition: int,
        writers: Writers,
        backoff: Backoff,
        probe_seconds: float,
        probe: Callable[[], None],
        look: Callable[[], Any],
        on_paused: Callable[[], None],
    ) -> None:
        """`probe` raises Unavailable while the store cannot take writes. `look` asks again whether what the dead-letter limit
        holds may pass. `on_paused` is called when a pause begins and at every probe."""
        self._partition = partition
        self._about = about(partition=partition)  # of each line in the log
        self._writers = writers
        self._backoff = backoff
        self._probe_seconds = probe_seconds
        self._probe = probe
        self._look = look
        self._on_paused = on_paused
        self.paused: PauseReason | None = None
        self.doing = "waiting"
        self.stopping = False
        self.signs = 0  # of life: calls that came back, naps between probes
        self.running = False  # a call is under way, or waits for its slot or its thread
        self.thread: int | None = None  # which one is in the call

    @property
    def queued(self) -> bool:
        """A call has not begun: other lanes' calls have the slots or the threads."""
        return self.running and self.thread is None

    async def insist(self, doing: str, call: Callable[[], Result]) -> Result | None:
        """Calls in a thread until it succeeds: a few attempts with backoff, then a pause with probes, then again.

        Returns None only when the lane is being stopped. Raises what the call raises, but for what is known to pass.
        """
        attempt = 0
        self.doing = doing
        try:
            while True:
                attempt += 1
                try:
                    return await self._in_thread(call)
                except (Unavailable, DeadLetterFailed) as error:
                    log.warning(
                        "partition %d: attempt %d failed: %s", self._partition, attempt, error, extra=self._about
                    )
                    reason: PauseReason = "database" if isinstance(error, Unavailable) else "dead_letter_topic"
                except LimitReached as reached:
                    await self.wait_for_operator(
                        "dead_letter_limit", str(reached), self._look, "dead letters were allowed"
                    )
                    attempt = 0
                    if self.stopping:
                        return None
                    continue
                if self.stopping:
                    return None
                if attempt < self._backoff.attempts:
                    metrics.RETRIES.inc()
                    await self.nap(self._backoff.delay(attempt))
                else:
                    await self._wait_until_well(reason)
                    attempt = 0
                if self.stopping:
                    return None
        finally:
            self.doing = "waiting"
            self.set_paused(None)

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        def noted() -> Result:
            self.thread = threading.get_ident()
            try:
                return call()
            finally:
                self.thread = None

        self.running = True
        try:
            return await self._writers.call(noted)
        finally:
            self.running = False
            self.signs += 1

    async def _wait_until_well(self, reason: PauseReason) -> None:
        """Paused: nothing is dropped or skipped. The sink is probed until it can take writes again; the dead-letter topic is
        simply tried again."""
        self.set_paused(reason)
        while not self.stopping:
            await self.nap(self._probe_seconds)
            if reason == "dead_letter_topic":
                return
            try:
                await self._in_thread(self._probe)
                log.info("partition %d: the database is back, going on", self._partition, extra=self._about)
                return
            except Unavailable:
                self._on_paused()

    async def wait_for_operator(self, reason: PauseReason, details: str, look: Callable[[], Any], decided: str) -> None:
        """Paused until `look`, which may raise Unavailable, finds that an operator has decided (`decided`, for the log)."""
        self.set_paused(reason, details)
        while not self.stopping:
            await self.nap(self._probe_seconds)
            try:
                if await self._in_thread(look):
                    log.info("partition %d: %s, going on", self._partition, decided, extra=self._about)
                    return
            except Unavailable as error:
                log.warning(
                    "partition %d: could not ask whether to go on: %s", self._partition, error, extra=self._about
                )
            self._on_paused()

    def set_paused(self, reason: PauseReason | None, details: str = "") -> None:
        """Says in the metric, and once in the log, why the lane waits; None: it does not any more."""
        if reason == self.paused:
            return
        if self.paused is not None:
            metrics.PAUSED.labels(self.paused).dec()
        self.paused = reason
        if reason is None:
            return
        metrics.PAUSED.labels(reason).inc()
        text = PAUSES[reason]
        log.error(
            "phân vùng %d tạm dừng: %s / partition %d is paused: %s%s",
            self._partition,
            text.vi,
            self._partition,
            text.en,
            f" ({details})" if details else "",
            extra=self._about,
        )
        self._on_paused()

    async def nap(self, seconds: float) -> None:
        """Sleeps, but no longer than until the lane is stopped."""
        deadline = time.monotonic() + seconds
        while not self.stopping and (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _STEP))
            self.signs += 1
