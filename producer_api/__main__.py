"""`python -m producer_api`, also `scanline api`: serves HTTP until SIGTERM or SIGINT."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from producer_api.settings import ApiSettings
from schemas.log_lines import config
from schemas.process_start import settings_or_exit

_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


def main() -> None:
    """Reads the settings and serves. With several processes they share the port, and /metrics adds them up."""
    settings = settings_or_exit(ApiSettings)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # `scanline api` holds Ctrl-C back while this loads
        with _metrics_folder(settings.api_processes):
            _serve(settings)
    except KeyboardInterrupt:  # before uvicorn listens to it
        sys.exit(130)


@contextmanager
def _metrics_folder(processes: int) -> Iterator[None]:
    """Makes the folder in which several processes count together: prometheus-client sums them up through files. It must
    be known before that is imported. Taken away at the end, unless it was given from outside."""
    if processes == 1 or _FOLDER in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="scanline-api-", ignore_cleanup_errors=True) as folder:
        os.environ[_FOLDER] = folder
        yield


def _serve(settings: ApiSettings) -> None:
    level = settings.log_level.upper()
    uvicorn.run(
        "producer_api.app:build_app",
        factory=True,
        host=settings.api_host,
        port=settings.api_port,
        workers=settings.api_processes if settings.api_processes > 1 else None,
        loop="uvloop",
        http="producer_api.http.connections:BoundedProtocol",
        ws="none",  # whatever happens to be installed: an offered upgrade is ignored
        access_log=False,
        log_config=config(level, settings.log_format),  # uvicorn sets it up in each process
        log_level=level.lower(),
        timeout_graceful_shutdown=settings.api_shutdown_seconds,
        timeout_keep_alive=settings.api_keep_alive_seconds,
    )


if __name__ == "__main__":
    main()
