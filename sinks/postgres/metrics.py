"""Metrics of the sink and of the write pool, each with what to do about it."""

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import REGISTRY, Collector
from sqlalchemy.engine import Engine

RECORDS = Counter(
    "scanline_sink_records_total",
    "Records that reached their end, by outcome (stored, rejected, duplicate). Many rejected: look at the scans' errors.",
    ["outcome"],
)
BATCHES = Counter(
    "scanline_sink_batches_total",
    "Micro-batches committed, by way (direct COPY, or staged after a conflict or bad data). Much staged: publishers resend.",
    ["way"],
)
BYTES = Counter("scanline_sink_copy_bytes_total", "Bytes handed to COPY.")
SECONDS = Histogram(
    "scanline_sink_write_seconds",
    "One micro-batch from formatting to commit. Growing: look at PostgreSQL's disk, locks and checkpoints.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
ERRORS = Counter(
    "scanline_sink_errors_total",
    "Attempts that failed, by SQLSTATE class. 53: out of disk, memory or connections; 08 and 57: the server is away.",
    ["sqlstate_class"],
)
FENCED = Counter(
    "scanline_sink_fenced_total",
    "Micro-batches refused because the offset had moved. Some at a rebalance are normal; many mean two groups on one pipeline.",
)
PART_BYTES = Gauge(
    "scanline_sink_part_bytes",
    "Most bytes of one statement, learnt from a slow link; 0: the link is not slow. Above 0 for long: look at the network to"
    " PostgreSQL.",
)
CHECKOUT = Histogram(
    "scanline_pool_checkout_seconds",
    "Time a lane waits for a write connection. Growing: more lanes than connections.",
    ["pool"],
    buckets=(0.0001, 0.001, 0.01, 0.1, 0.5, 1, 5, 30),
)


class PoolCollector(Collector):
    """Live numbers of a SQLAlchemy pool, read when they are asked for."""

    def __init__(self, pool: str, engine: Engine) -> None:
        self._pool = pool
        self._engine = engine

    def collect(self) -> list[GaugeMetricFamily]:
        pool = self._engine.pool
        connections = GaugeMetricFamily(
            "scanline_pool_connections_count",
            "Connections by state. All in use for long: raise the pool's size or lower the load.",
            labels=["pool", "state"],
        )
        connections.add_metric([self._pool, "in_use"], pool.checkedout())
        connections.add_metric([self._pool, "idle"], pool.checkedin())
        limit = GaugeMetricFamily("scanline_pool_limit_count", "Most connections the pool may open.", labels=["pool"])
        limit.add_metric([self._pool], pool.size() + pool._max_overflow)
        return [connections, limit]


def watch_pool(pool: str, engine: Engine) -> PoolCollector:
    """Registers the pool; unregister the returned collector when the engine is disposed of."""
    collector = PoolCollector(pool, engine)
    REGISTRY.register(collector)
    return collector
