"""Metrics of the lanes, each with what to do about it."""

from typing import get_args

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from schemas.errors import MESSAGE_ERRORS
from schemas.status import PauseReason

disable_created_metrics()  # a second series for each, that nobody asks for

MESSAGES = Counter(
    "scanline_stream_messages_total",
    "Messages read from scan.records.v1, by type. Unreadable ones: look at scanline_stream_dead_letters_total.",
    ["type"],
)
RECORDS = Counter(
    "scanline_stream_records_total",
    "Records decoded. None while messages wait: look at scanline_stream_paused_lanes_count and scanline_stream_stalls_total.",
)
BYTES = Counter(
    "scanline_stream_bytes_total",
    "Bytes of message values decoded. Divided by records: how large they are; growing: look at what scanners put into them.",
)
SLICES = Counter(
    "scanline_stream_slices_total",
    "Slices (what one fetch brought of one partition) handed to lanes. None while messages wait: look at the brokers.",
)
CAREFUL = Counter(
    "scanline_stream_careful_messages_total",
    "Messages that took the careful way: escapes, other scripts, errors. All of them: a publisher escapes non-ASCII text.",
)
DECODE_SECONDS = Histogram(
    "scanline_stream_decode_seconds",
    "Decoding and validating one micro-batch. Above the time of its write: the processor is the limit, add workers.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 1, 5),
)
BATCH_ROWS = Histogram(
    "scanline_stream_batch_rows",
    "Records per micro-batch. Small while messages wait: publishers send single records, or SCANLINE_STREAM_WINDOW_ROWS or"
    " SCANLINE_STREAM_LANE_BYTES are low.",
    buckets=(1, 10, 100, 500, 1000, 2000, 3000, 4000, 5000),
)
END_TO_END = Histogram(
    "scanline_stream_end_to_end_seconds",
    "From the broker's append of a slice's first message to the commit of its last. Growing: if scanline_stream_lag_messages"
    " grows too, add workers or look at the sink; otherwise clocks differ.",
    buckets=(0.05, 0.2, 0.5, 1, 5, 10, 30, 60, 300),
)
OLDEST_IN_HAND = Gauge(
    "scanline_stream_oldest_in_hand_seconds",
    "Age, since the broker's append, of the oldest message fetched and not yet committed; 0: there is none. Growing second"
    " by second: a lane is paused or hangs, /readyz says which.",
)
LAG_SECONDS = Gauge(
    "scanline_stream_lag_seconds",
    "Age, since the broker's append, of the message that the lane waits to commit; 0: it has none in hand. Growing: look at"
    " scanline_stream_paused_lanes_count, then at the sink.",
    ["partition"],
)
LAG = Gauge(
    "scanline_stream_lag_messages",
    "Messages behind the end of the partition, by PostgreSQL's offset. Growing: add workers, or look at the sink.",
    ["partition"],
)
LANES = Gauge(
    "scanline_stream_lanes_count", "Partitions this worker owns. 0 for long: it is not in the group, or one too many."
)
BUFFERED = Gauge(
    "scanline_stream_buffered_bytes",
    "Fetched and not yet written, all lanes. At lanes times SCANLINE_STREAM_LANE_BYTES: the sink is slower than what comes.",
)
PAUSED = Gauge(
    "scanline_stream_paused_lanes_count",
    "Lanes that wait, by reason. database: look at scanline_sink_errors_total; dead_letter_limit,"
    " log_replaced: an operator must look.",
    ["reason"],
)
for _reason in get_args(PauseReason):
    PAUSED.labels(_reason)  # 0 from the start: an alert cannot compare with what is not there
STALLS = Counter(
    "scanline_stream_stalls_total",
    "Lanes started again because they had work and got nowhere. Any: the log names partition, offset and what it was doing.",
)
PROGRESS_AGE = Gauge(
    "scanline_stream_progress_age_seconds",
    "Of the lane that waits longest without a known reason: since it last got on. At SCANLINE_STREAM_STALL_SECONDS it is"
    " started again.",
)
STANDING_SECONDS = Gauge(
    "scanline_stream_standing_seconds",
    "Of the lane that has had work and stood on one offset longest, for whatever reason: since it came there. /readyz names"
    " those above SCANLINE_STREAM_STANDING_SECONDS.",
)
STANDING_LANES = Gauge(
    "scanline_stream_standing_lanes_count",
    "Lanes with work that have stood on one offset longer than SCANLINE_STREAM_STANDING_SECONDS. Above 0: /readyz says where,"
    " since when and doing what.",
)
LIMITS = Counter(
    "scanline_stream_dead_letter_limits_total",
    "Times a lane stopped because too many messages could not be read. Any: scanline dlq, then repair or allow.",
)
RETRIES = Counter(
    "scanline_stream_retries_total",
    "Micro-batches tried again after a passing error. Growing: look at scanline_sink_errors_total.",
)
REWINDS = Counter(
    "scanline_stream_rewinds_total",
    "Slices fetched again because offsets were missing before them. Growing: look at scanline_stream_gap_offsets_total.",
)
GAPS = Counter(
    "scanline_stream_gap_offsets_total",
    "Offsets that do not exist (compaction, aborted transactions, retention). Many: the topic is compacted, which it must"
    " not be, or scanline_stream_lost_offsets_total says more.",
)
LOST = Counter(
    "scanline_stream_lost_offsets_total",
    "Of these, offsets that retention deleted before they were read. Any: data is lost; keep the topic longer, add workers.",
)
REBALANCES = Counter(
    "scanline_stream_rebalances_total",
    "Assignments received. Growing while no worker comes or goes: workers are missed, raise SCANLINE_SESSION_TIMEOUT_SECONDS.",
)
DEAD_LETTERS = Counter(
    "scanline_stream_dead_letters_total",
    "Messages sent to scan.dlq.v1, by reason. Any: scanline dlq list, then repair and send again, or drop.",
    ["reason"],
)
for _code in MESSAGE_ERRORS:
    DEAD_LETTERS.labels(_code)
STATUSES = Counter(
    "scanline_status_published_total",
    "Statuses delivered to scan.status.v1. None while records are stored: look at the brokers.",
)
STATUS_FAILURES = Counter(
    "scanline_status_publish_failures_total",
    "Statuses not delivered; they are read from PostgreSQL and published again. Growing: look at the brokers.",
)
STATUS_DELAY = Histogram(
    "scanline_status_delay_seconds",
    "From the commit of a micro-batch to the broker's acknowledgement of each status of it. Growing: look at the brokers.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 5, 10),
)
