"""The operators' overview: gathered by one loop a process while somebody looks, and for some minutes after, and handed to
every viewer as the same bytes. A viewer more costs neither Kafka nor PostgreSQL anything."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from kafka_client.lag import Pace
from producer_api.kafka.follower import Follower
from producer_api.kafka.statuses import Counts, StatusStore
from producer_api.overview.servers import Servers, ServersLook
from producer_api.overview.snapshot import document
from producer_api.reads import DatabaseReader
from producer_api.settings import ApiSettings
from schemas.exception_summary import described

log = logging.getLogger("scanline.overview")
_EVERY: Final = 2.0  # seconds between two looks
_POINTS: Final = 300  # of the charts: ten minutes
_LINGER_SECONDS: Final = 600.0  # so that who comes back finds the charts filled
# Unix milliseconds, records and rejections a second, messages that wait, age of the oldest; None: not known
Point = tuple[int, float | None, float | None, int | None, float | None]


class Overview:
    """Belongs to the event loop that made it."""

    def __init__(
        self, settings: ApiSettings, statuses: StatusStore, follower: Follower, reader: DatabaseReader
    ) -> None:
        self._settings = settings
        self._statuses = statuses
        self._follower = follower
        self._reader = reader
        self._viewers: set[Viewer] = set()
        self._left_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._points: deque[Point] = deque(maxlen=_POINTS)
        self._servers: ServersLook | None = None
        self._pace: Pace | None = None
        self._counted: tuple[float, Counts] | None = None  # when, and how many records there were
        self.event = b""  # the newest; empty: there is none yet

    @property
    def full(self) -> bool:
        """True where as many look as the settings allow."""
        return len(self._viewers) >= self._settings.api_ops_viewers

    @contextmanager
    def viewer(self) -> Iterator["Viewer"]:
        """Somebody who looks, while the block lasts."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        viewer = Viewer(self)
        self._viewers.add(viewer)
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            self._left_at = time.monotonic()

    @property
    def history(self) -> bytes:
        """The points of the charts so far, as an event."""
        return b"event: history\ndata: %b\n\n" % msgspec.json.encode(list(self._points))

    async def close(self) -> None:
        """Ends the loop."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, "overview")  # of its own: clients are closed after the look that they may be in
        try:
            servers = await loop.run_in_executor(thread, Servers, self._settings, self._reader)
            looking = loop.create_task(self._look(servers, thread))
            try:
                while self._viewers or time.monotonic() - self._left_at < _LINGER_SECONDS:
                    self._tell()
                    await asyncio.sleep(_EVERY)
            finally:
                looking.cancel()
                thread.submit(servers.close)
        finally:
            thread.shutdown(wait=False)
            self._points.clear()
            self._servers = self._pace = self._counted = None
            self.event = b""

    async def _look(self, servers: Servers, thread: ThreadPoolExecutor) -> None:
        """Beside what is told from memory, which goes on while a server is slow."""
        while True:
            try:
                seen = await asyncio.get_running_loop().run_in_executor(thread, servers.look)
                before = None if self._servers is None else self._servers.lag
                self._pace = None if before is None or seen.lag is None else Pace.between(before, seen.lag)
                self._servers = seen
            except Exception as error:  # without a word of the servers the page still tells of the scans
                log.error("no look at the servers: %s", described(error))
            await asyncio.sleep(_EVERY)

    def _tell(self) -> None:
        try:
            point = self._point()
            shown = document(
                self._statuses,
                ready=self._follower.ready,
                servers=self._servers,
                pace=self._pace,
                pool=self._reader.pool_use,
            )
        except Exception as error:
            log.error("no overview: %s", described(error))
            return
        self._points.append(point)
        self.event = b"event: overview\ndata: %b\n\n" % msgspec.json.encode({**shown, "point": point})
        for viewer in self._viewers:
            viewer.changed.set()

    def _point(self) -> Point:
        now = time.monotonic()
        total = self._statuses.total
        counted, self._counted = self._counted, (now, total) if self._follower.ready else None
        rates: tuple[float | None, float | None] = (None, None)
        if counted is not None and self._counted is not None:
            seconds = now - counted[0]
            rates = (
                round((total.accounted - counted[1].accounted) / seconds, 1),
                round((total.rejected - counted[1].rejected) / seconds, 1),
            )
        lag = None if self._servers is None else self._servers.lag
        waiting = (None, None) if lag is None else (lag.lag, lag.lag_seconds)
        return (round(time.time() * 1000), *rates, waiting[0], None if waiting[1] is None else round(waiting[1], 1))


class Viewer:
    """One page that is kept up to date. Who reads slowly misses looks, not the newest."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        self.changed = asyncio.Event()
        if overview.event:
            self.changed.set()

    async def next(self) -> bytes:
        """The newest event that this viewer has not had."""
        await self.changed.wait()
        self.changed.clear()
        return self._overview.event
