"""`python -m producer_api`, also `scanline api`: serves HTTP until SIGTERM or SIGINT."""

import os
import sys
import tempfile
from typing import Any

import uvicorn
from pydantic import ValidationError

from producer_api.settings import ApiSettings


def _logging(level: str) -> dict[str, Any]:
    """For logging.config: uvicorn's lines and ours alike. Uvicorn sets it up in each process, also where there are several."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "root": {"level": level, "handlers": ["stderr"]},
    }


def main() -> None:
    """Reads the settings and serves. With several processes they share the port, and /metrics adds them up."""
    try:
        settings = ApiSettings()  # type: ignore[call-arg]
    except ValidationError as error:
        names = ", ".join(f"SCANLINE_{'_'.join(map(str, part['loc']))}".upper() for part in error.errors())
        sys.exit(f"Thiếu hoặc sai cấu hình: {names}. / Settings missing or wrong: {names}. See `scanline doctor`.")
    level = settings.log_level.upper()
    if settings.api_processes > 1:
        # prometheus-client sums processes up through files; its folder must be known before it is imported
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="scanline-api-"))
    uvicorn.run(
        "producer_api.app:build_app",
        factory=True,
        host=settings.api_host,
        port=settings.api_port,
        workers=settings.api_processes if settings.api_processes > 1 else None,
        loop="uvloop",
        http="producer_api.connections:BoundedProtocol",
        ws="none",  # whatever happens to be installed: an offered upgrade is ignored
        access_log=False,
        log_config=_logging(level),
        log_level=level.lower(),
        timeout_graceful_shutdown=settings.api_shutdown_seconds,
        timeout_keep_alive=settings.api_keep_alive_seconds,
    )


if __name__ == "__main__":
    main()
