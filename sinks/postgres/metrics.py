"""Metrics of the sink, each with what to do about it. Those of its pool are in schemas.pool_metrics."""

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from schemas.errors import RECORD_ERRORS

disable_created_metrics()  # a second series for each, that nobody asks for

RECORDS = Counter(
    "scanline_sink_records_total",
    "Records that reached their end, by outcome (stored, rejected, duplicate). Many rejected: look at the scans' errors.",
    ["outcome"],
)
for _outcome in ("stored", "rejected", "duplicate"):
    RECORDS.labels(_outcome)  # 0 from the start: an alert cannot compare with what is not there
BATCHES = Counter(
    "scanline_sink_batches_total",
    "Micro-batches committed, by way (direct COPY, or staged after a conflict or bad data). Much staged: publishers resend.",
    ["way"],
)
for _way in ("direct", "staged"):
    BATCHES.labels(_way)
REJECTS = Counter(
    "scanline_sink_rejects_total",
    "Records rejected, by the code of their first error. One code growing: a scanner sends something wrong, see the scans'"
    " errors; database_refused: our rules and the table's disagree.",
    ["code"],
)
for _code in RECORD_ERRORS:
    REJECTS.labels(_code)
BYTES = Counter(
    "scanline_sink_copy_bytes_total",
    "Bytes handed to COPY, again where an attempt is repeated. Of one row much more than usual: look at attributes.",
)
ROWS = Counter(
    "scanline_sink_copy_rows_total",
    "Rows handed to COPY, again where an attempt is repeated. Well above the records stored: look at"
    " scanline_sink_batches_total and scanline_sink_errors_total.",
)
COPY_SECONDS = Histogram(
    "scanline_sink_copy_seconds",
    "One COPY alone, also one that failed. Most of scanline_sink_write_seconds: look at PostgreSQL's disk, WAL and"
    " checkpoints; little of it: at locks and at the commit.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30),
)
BATCH_BYTES = Histogram(
    "scanline_sink_batch_bytes",
    "Bytes of message values in one micro-batch. Small while messages wait: look at SCANLINE_STREAM_WINDOW_BYTES, and at"
    " scanline_sink_part_bytes.",
    buckets=(1024, 10_240, 102_400, 512_000, 1_048_576, 2_097_152, 4_194_304, 8_388_608),
)
SECONDS = Histogram(
    "scanline_sink_write_seconds",
    "One micro-batch from formatting to commit. Growing: look at PostgreSQL's disk, locks and checkpoints; above 5 s most"
    " often at a lock.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30),
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
NATIVE = Gauge(
    "scanline_sink_native_reader_up",
    "1 where compiled code reads the records, 0 where Python does, which takes several times the processor: scanline doctor"
    " says what is missing.",
)
NATIVE_RECORDS = Counter(
    "scanline_sink_native_records_total",
    "Records that compiled code read. Far below scanline_stream_records_total: publishers escape their texts, or look at"
    " scanline_sink_native_reader_up.",
)
TENANT_RECORDS = Counter(
    "scanline_tenant_records_total",
    "Records that reached their end, of the SCANLINE_METRICS_TENANTS tenants that sent most lately; all others are «other»."
    " One far above the rest: talk to it, or give it partitions of its own.",
    ["tenant"],
)
