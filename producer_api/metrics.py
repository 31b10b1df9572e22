"""Metrics of the API, each with what to do about it. Routes are templates and tenants never a label: series stay
bounded."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.exposition import exposition

disable_created_metrics()  # a second series for each, that nobody asks for
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1, 2.5, 5, 10, 30)

SUBMISSIONS = Counter(
    "scanline_api_submissions_total",
    "Scans submitted, by outcome: accepted, replayed, refused (the sender's fault), unavailable (ours), aborted (broke off).",
    ["outcome"],
)
for _outcome in ("accepted", "replayed", "refused", "unavailable", "aborted"):
    SUBMISSIONS.labels(_outcome)  # 0 from the start: an alert cannot compare with what is not there
RECORDS = Counter(
    "scanline_api_records_total",
    "Records accepted and acknowledged by Kafka. None while scans are submitted: look at scanline_api_submissions_total.",
)
MENDED = Counter(
    "scanline_api_mended_total",
    "Corrections accepted and acknowledged by Kafka. Far below the rejected: tell the tenants of scanline errors and mend.",
)
BYTES_IN = Counter(
    "scanline_api_received_bytes",
    "Body bytes received, as sent. Near what the network carries: have scanners compress.",
)
INFLATED = Counter(
    "scanline_api_inflated_bytes",
    "Body bytes after decompression. Hundreds of times those received: somebody sends bombs, see SCANLINE_API_INFLATION_RATIO.",
)
REQUESTS = Histogram(
    "scanline_api_request_seconds",
    "Requests from first byte to last. p99 of POST /scans above 0.2 s: look at publish seconds, then at the processor.",
    ["route", "method", "status"],
    buckets=_BUCKETS,
)
IN_FLIGHT = Gauge(
    "scanline_api_requests_in_flight_count",
    "Requests being answered, event streams included. Near SCANLINE_API_CONNECTIONS: add API processes.",
    multiprocess_mode="livesum",
)
BACKLOG = Gauge(
    "scanline_api_backlog_messages",
    "Messages that wait for a worker. Above SCANLINE_API_BACKLOG_MESSAGES submissions get 503: add workers, look at the sink.",
    multiprocess_mode="livemax",
)
BUFFERED = Gauge(
    "scanline_api_buffered_bytes",
    "Bodies held, against SCANLINE_API_BUFFER_BYTES."
    " Near it for long: uploads wait for each other; more API processes, or Kafka is slow.",
    multiprocess_mode="livesum",
)
PUBLISH = Histogram(
    "scanline_api_publish_seconds",
    "From handing a message to librdkafka to its acknowledgement. Growing: look at the brokers' disks and network.",
    buckets=_BUCKETS,
)
PUBLISH_FAILURES = Counter(
    "scanline_api_publish_failures_total", "Messages Kafka did not acknowledge in time. Any: look at the brokers."
)
FOLLOWED = Gauge(
    "scanline_status_scans_count",
    "Scans in the follower's memory. Growing without end: look at scanline_status_kept_bytes.",
    multiprocess_mode="livemax",
)
KEPT = Gauge(
    "scanline_status_kept_bytes",
    "Memory that these scans' statuses take, about. Every process holds all of them for good: mind it where memory is limited.",
    multiprocess_mode="livemax",
)
FOLLOWER_LAG = Gauge(
    "scanline_status_lag_seconds",
    "Age of the last status when it was read. Growing: the follower is behind, or clocks differ.",
    multiprocess_mode="livemax",
)
FOLLOWER_MESSAGES = Counter(
    "scanline_status_followed_total",
    "Statuses and tombstones read from scan.status.v1. None while workers publish: look at scanline_status_lag_seconds.",
)


def render(accept: str) -> tuple[bytes, str]:
    """The exposition and its content type; of all processes where there are several."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return exposition(_WithMemory(REGISTRY, {os.getpid()}), accept)
    living = _forget_the_dead(Path(folder))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return exposition(_WithMemory(registry, living), accept)


class _WithMemory(Collector):
    """A registry, and the memory of these processes: of several, prometheus-client tells none."""

    def __init__(self, registry: Collector, pids: set[int]) -> None:
        self._registry = registry
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        yield from self._registry.collect()
        memory = GaugeMetricFamily(
            "scanline_process_resident_bytes",
            "Memory of each process of the API, by process id. Growing without end: restart it, and look at"
            " scanline_status_kept_bytes and scanline_api_buffered_bytes.",
            labels=["process"],
        )
        for pid in sorted(self._pids):
            with suppress(psutil.Error):  # it has just ended
                memory.add_metric([str(pid)], psutil.Process(pid).memory_info().rss)
        yield memory


def _forget_the_dead(folder: Path) -> set[int]:
    """Removes what ended processes held; what they counted stays. Returns those that live."""
    living = set()
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}:
        try:
            os.kill(pid, 0)
            living.add(pid)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another process is asked in the same moment
                mark_process_dead(pid, str(folder))
        except PermissionError:
            living.add(pid)
    return living


class Timing:
    """ASGI middleware: counts and times each request by its route's template."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = "499"  # the client went away before there was an answer
        started = time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, noting)
        finally:
            IN_FLIGHT.dec()
            REQUESTS.labels(route_of(scope), method_of(scope), status).observe(time.perf_counter() - started)


def route_of(scope: Any) -> str:
    """With the prefix under which the route is included, which is not the route's own."""
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return getattr(route, "path", "other")


def method_of(scope: Any) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
