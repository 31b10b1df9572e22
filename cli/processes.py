"""`scanline api`, `worker` and `exporter`: one process in the foreground."""

import os
import signal
import sys


def _become(module: str) -> None:
    """The process itself, not a child of ours: signals and exit codes are its own. A Ctrl-C that comes while it still loads
    waits until it listens."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.execv(sys.executable, [sys.executable, "-m", module])


def api() -> None:
    """Chạy API. / Run the API."""
    _become("producer_api")


def worker() -> None:
    """Chạy một tiến trình xử lý. / Run a worker."""
    _become("stream_app")


def exporter() -> None:
    """Chạy tiến trình cung cấp chỉ số của máy chủ và độ trễ. / Run the exporter: lag and servers, for Prometheus."""
    _become("operations.exporter")
