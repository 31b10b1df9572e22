"""The worker, with a consumer that stops delivering when it is told to: `python -m tests.stopping_worker`.

Everything is as in `python -m stream_app`, but on SIGUSR1 the state behind the lanes' backs is changed into one that Faust's
consumers have been seen in: alive, in the group, and without deliveries. SCANLINE_TEST_WAY says which.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from typing import Any, Final

from faust.types import TP
from prometheus_client import REGISTRY

from stream_app import __main__ as worker
from stream_app import app as app_module
from stream_app.lanes.group import Lanes
from stream_app.settings import WorkerSettings

WAY_VARIABLE: Final = "SCANLINE_TEST_WAY"
CHANGED: Final = "the consumer's state is changed"
log = logging.getLogger("scanline.stopping_worker")


def _paused(app: Any) -> None:
    """Faust believes that somebody asked not to fetch these."""
    app.consumer.pause_partitions(app.consumer.assignment())


def _buffer_full(app: Any) -> None:
    """Faust believes that the stream's buffers have no room, and nobody tells it otherwise."""
    for tp in app.consumer.assignment():
        app.consumer.on_buffer_full(TP(tp.topic, tp.partition))


def _wrong_place(app: Any) -> None:
    """The consumer reads on far beyond the end: it waits there for messages, and none come."""
    thread = app.consumer._thread

    async def seek() -> None:
        for tp in thread._consumer.assignment():
            thread._consumer.seek(tp, 1 << 40)
            thread._consumer.pause(tp)

    asyncio.run_coroutine_threadsafe(seek(), thread.thread_loop)


def _flow_stopped(app: Any) -> None:
    """A rebalance that stopped the flow and was never finished: no lane can mend that."""
    app.consumer.stop_flow()


def _dropping(app: Any) -> None:
    """Until a lane asks again, what was fetched never reaches any: as when Faust's flow stops between the two."""
    lanes, before = app.consumer.lanes, _rewinds()
    deliver = lanes.deliver

    async def drop(partition: int, piece: Any) -> None:
        if _rewinds() > before:
            await deliver(partition, piece)

    lanes.deliver = drop


def _rewinds() -> float:
    return REGISTRY.get_sample_value("scanline_stream_rewinds_total") or 0.0


WAYS: Final[dict[str, Callable[[Any], None]]] = {
    "paused": _paused,
    "buffer full": _buffer_full,
    "wrong place": _wrong_place,
    "flow stopped": _flow_stopped,
    "dropping": _dropping,
}


def _build_app(settings: WorkerSettings, lanes: Lanes) -> Any:
    app = app_module.build_app(settings, lanes)

    @app.task
    async def on_signal() -> None:
        way = os.environ[WAY_VARIABLE]

        def change() -> None:
            WAYS[way](app)
            log.warning(CHANGED)

        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, change)

    return app


if __name__ == "__main__":
    worker.build_app = _build_app
    worker.main()
