"""`python -m stream_app`, also `scanline worker`: runs one worker until SIGTERM or SIGINT."""

import datetime as dt
import gc
import logging
import logging.config
import os
import signal
import sys
import threading
from typing import Any, Final

import faust

from schemas.health_server import serve
from schemas.log_lines import config
from schemas.process_start import exit_without_port, settings_or_exit
from stream_app.app import build_app, build_lanes
from stream_app.faust_bridge.log_filter import Repeats
from stream_app.lanes.group import Lanes
from stream_app.lanes.standstill import Standstills
from stream_app.lanes.watchdog import Watchdog
from stream_app.settings import WorkerSettings

log = logging.getLogger("scanline.worker")
_CLIENTS: Final = ("aiokafka", "faust", "mode", "opentelemetry")


def _ready(lanes: Lanes, standing: Standstills) -> tuple[bool, dict[str, Any]]:
    paused, stands = lanes.paused, standing.too_long
    assigned = lanes.assigned_at is not None
    now = dt.datetime.now(dt.UTC)
    return assigned and not paused and not stands, {
        "assigned": assigned,
        "standing": {str(partition): stand.described(partition, now) for partition, stand in stands.items()},
        "paused_partitions": list(paused),
        "paused_reasons": {str(partition): reason for partition, reason in paused.items()},
    }


def _alive(watchdog: Watchdog) -> tuple[bool, dict[str, Any]]:
    return watchdog.sick is None, {} if watchdog.sick is None else {"stalled": watchdog.sick}


def _end_within(seconds: float) -> None:
    """A stop that hangs, with the broker or the database away, is cut short: at no moment would that lose anything."""

    def end() -> None:
        log.warning(
            "không dừng xong trong %.0f giây, kết thúc ngay; không mất dữ liệu"
            " / not stopped within %.0f s, ending at once; nothing is lost",
            seconds,
            seconds,
        )
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


class ScanlineWorker(faust.Worker):
    """Faust's worker without its banner; SIGTERM finishes running micro-batches and leaves the group at once."""

    def __init__(self, *args: Any, lanes: Lanes, shutdown_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spinner = None  # it shows the cursor again at the end, also where that goes into a file
        self._lanes = lanes
        self._shutdown_seconds = shutdown_seconds

    def _schedule_shutdown(self, sig: signal.Signals) -> None:
        _end_within(self._shutdown_seconds)
        super()._schedule_shutdown(sig)

    async def on_stop(self) -> None:
        await self._lanes.revoke()
        await super().on_stop()

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        await self._lanes.close()


def main() -> None:
    """Reads the settings, starts the worker, and does not return."""
    settings = settings_or_exit(WorkerSettings)
    level = settings.log_level.upper()
    logging.config.dictConfig(config(level, settings.log_format))
    for handler in logging.getLogger().handlers:
        handler.addFilter(Repeats(_CLIENTS))
    for noisy in _CLIENTS:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    lanes = build_lanes(settings)
    app = build_app(settings, lanes)
    host, port = settings.worker_metrics_host, settings.worker_metrics_port
    try:
        server = serve(host, port, lambda: _ready(lanes, app.watchdog.standing), lambda: _alive(app.watchdog))
    except OSError as error:
        exit_without_port(host, port, "SCANLINE_WORKER_METRICS_PORT", error)
    log.info("worker metrics on port %d", server.server_port)
    # Records are plain trees: nothing in them needs the cycle collector, which would walk them all again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    worker = ScanlineWorker(
        app,
        lanes=lanes,
        shutdown_seconds=settings.shutdown_seconds,
        loglevel=level,
        override_logging=False,
        redirect_stdouts=False,
        quiet=True,
    )
    try:
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, {signal.SIGINT}
        )  # `scanline worker` holds Ctrl-C back while this loads
        worker.execute_from_commandline()
    except KeyboardInterrupt:  # before the worker listens to it
        sys.exit(130)


if __name__ == "__main__":
    main()
