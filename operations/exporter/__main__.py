"""`python -m operations.exporter`, also `scanline exporter`: runs until SIGTERM or SIGINT."""

import logging
import logging.config
import signal
import threading
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, disable_created_metrics

from operations.exporter.kafka import Kafka
from operations.exporter.machine import Machine
from operations.exporter.postgres import Postgres, bound_answers
from operations.exporter.settings import ExporterSettings
from operations.exporter.sources import Source, Told, Watch
from schemas.health_server import serve
from schemas.log_lines import config
from schemas.process_start import exit_without_port, settings_or_exit

log = logging.getLogger("scanline.exporter")


def _watches(settings: ExporterSettings) -> list[Watch]:
    answer, interval = settings.exporter_answer_seconds, settings.exporter_interval_seconds
    url = settings.postgres_monitor_url.get_secret_value()
    files = [Path(each.strip()) for each in (settings.exporter_certificates or "").split(",") if each.strip()]
    folders = {"kafka": settings.exporter_kafka_dir, "postgres": settings.exporter_postgres_dir}
    sources: list[Source] = [
        Kafka(settings.kafka_bootstrap, settings.stream_pipeline, url, answer),
        Postgres(url, answer),
        Machine(folders, files),
    ]
    return [Watch(source, interval, interval + 2 * answer) for source in sources]


def main() -> None:
    """Reads the settings and serves until a signal."""
    settings = settings_or_exit(ExporterSettings)
    level = settings.log_level.upper()
    logging.config.dictConfig(config(level, settings.log_format))
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # `scanline exporter` holds it back while this loads
    bound_answers(settings.exporter_answer_seconds)
    disable_created_metrics()
    watches = _watches(settings)
    REGISTRY.register(Told(watches))

    def ready() -> tuple[bool, dict[str, Any]]:
        """A source that is away is what this process is there to tell."""
        return all(watch.looked for watch in watches), {watch.name: watch.samples is not None for watch in watches}

    host, port = settings.exporter_host, settings.exporter_port
    try:
        server = serve(host, port, ready, lambda: (True, {}))
    except OSError as error:
        exit_without_port(host, port, "SCANLINE_EXPORTER_PORT", error)
    log.info("exporter metrics on port %d", server.server_port)
    for watch in watches:
        watch.start()
    stopping.wait()
    for watch in watches:
        watch.stop()
    server.shutdown()


if __name__ == "__main__":
    main()
