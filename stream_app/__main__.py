"""`python -m stream_app`, also `scanline worker`: runs one worker until SIGTERM or SIGINT."""

import gc
import logging
import sys
from typing import Any

import faust
from pydantic import ValidationError

from stream_app.app import build_app, build_lanes
from stream_app.health import serve
from stream_app.lanes import Lanes
from stream_app.settings import WorkerSettings


def _ready(lanes: Lanes) -> tuple[bool, dict[str, Any]]:
    paused = lanes.paused
    assigned = lanes.assigned_at is not None
    return assigned and not paused, {"assigned": assigned, "paused_partitions": paused}


class ScanlineWorker(faust.Worker):
    """Faust's worker without its banner; SIGTERM finishes running micro-batches and leaves the group at once."""

    def __init__(self, *args: Any, lanes: Lanes, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lanes = lanes

    async def on_stop(self) -> None:
        await self._lanes.revoke()
        await super().on_stop()

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        await self._lanes.close()


def main() -> None:
    """Reads the settings, starts the worker, and does not return."""
    try:
        settings = WorkerSettings()  # type: ignore[call-arg]
    except ValidationError as error:
        names = ", ".join(f"SCANLINE_{'_'.join(map(str, part['loc']))}".upper() for part in error.errors())
        sys.exit(f"Thiếu hoặc sai cấu hình: {names}. / Settings missing or wrong: {names}. See `scanline doctor`.")
    level = settings.log_level.upper()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    lanes = build_lanes(settings)
    app = build_app(settings, lanes)
    server = serve(
        settings.worker_metrics_host, settings.worker_metrics_port, lambda: _ready(lanes), lambda: (True, {})
    )
    logging.getLogger("scanline.worker").info("worker metrics on port %d", server.server_port)
    # Records are plain trees: nothing in them needs the cycle collector, which would walk them all again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    worker = ScanlineWorker(
        app, lanes=lanes, loglevel=level, override_logging=False, redirect_stdouts=False, quiet=True
    )
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
