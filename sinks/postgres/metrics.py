"""Metrics of the sink, each with what to do about it. Those of its pool are in schemas.pool_metrics."""

from prometheus_client import Counter, Gauge, Histogram

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
