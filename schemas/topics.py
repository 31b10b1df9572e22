"""Names and limits of what travels through Kafka: CloudEvents 1.0 in binary content mode (Kafka protocol binding)."""

from typing import Final

RECORDS_TOPIC: Final = "scan.records.v1"  # key tenant_id
STATUS_TOPIC: Final = "scan.status.v1"  # key tenant_id/scan_id, compacted
DLQ_TOPIC: Final = "scan.dlq.v1"  # key tenant_id

OPENED: Final = "vn.scanline.scan.opened.v1"
RECORDS: Final = "vn.scanline.scan.records.v1"
CLOSED: Final = "vn.scanline.scan.closed.v1"
CANCELLED: Final = "vn.scanline.scan.cancelled.v1"
MENDED: Final = "vn.scanline.scan.mended.v1"  # records that take the place of rejected ones
MESSAGE_TYPES: Final = frozenset({OPENED, RECORDS, CLOSED, CANCELLED, MENDED})

HEADER_TYPE: Final = "ce_type"
HEADER_SUBJECT: Final = "ce_subject"  # the scan id, a UUID
HEADER_FIRST_INDEX: Final = "ce_firstindex"  # zero-based index within the scan of the message's first record
HEADER_MENDS: Final = "ce_mends"  # of mended records: which rejection each of them takes the place of
HEADER_SPEC_VERSION: Final = "ce_specversion"
HEADER_ID: Final = "ce_id"
HEADER_SOURCE: Final = "ce_source"
HEADER_TIME: Final = "ce_time"
HEADER_TRACEPARENT: Final = "traceparent"  # W3C Trace Context: the sender's, or of a span that the API began for it

DLQ_REASON: Final = "scanline_reason"
DLQ_TOPIC_HEADER: Final = "scanline_topic"
DLQ_PARTITION: Final = "scanline_partition"
DLQ_OFFSET: Final = "scanline_offset"
DLQ_FAILED_AT: Final = "scanline_failed_at"
# Of a message, or of the rest of a compressed batch, that was too large to be kept: the letter has no value. Its bytes as far as
# they were counted, and the last offset that the letter stands for.
DLQ_NOT_KEPT: Final = "scanline_not_kept_bytes"
DLQ_LAST_OFFSET: Final = "scanline_last_offset"
# Of a dead letter that is sent again: which one it was, and how often it has been sent again by now.
RETRY_LETTER: Final = "scanline_dead_letter"
RETRY_COUNT: Final = "scanline_replay_count"

MAX_RECORDS_PER_MESSAGE: Final = 1_000
MAX_MESSAGE_BYTES: Final = 768 * 1024  # of the value; below the broker's default limit of 1 MiB with room for headers
# Of a dead letter. A publisher's compression can bring far more than the records topic's own limit past the broker; whatever
# came in must fit into the dead-letter topic, or its lane would stand still before it.
MAX_DEAD_LETTER_BYTES: Final = 64 * 1024 * 1024
MAX_RECORD_BYTES: Final = 256 * 1024  # of one record's JSON: the largest valid record is under this by far
TENANT_ID_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$"
# The partitioner of the Java clients; librdkafka's default (CRC32) would put the same tenant elsewhere.
PARTITIONER: Final = "murmur2_random"
# How often workers and APIs look whether scan.records.v1 has more partitions, or was made anew: the clients' own five minutes
# would leave what other publishers send there unread for so long.
METADATA_REFRESH_MS: Final = 10_000


def status_key(tenant_id: str, scan_id: str) -> bytes:
    """Key of a scan in the status topic."""
    return f"{tenant_id}/{scan_id}".encode()


def split_status_key(key: bytes) -> tuple[str, str]:
    """The (tenant_id, scan_id) of a status key. Raises ValueError when it has no slash."""
    tenant_id, scan_id = key.decode().split("/", 1)
    return tenant_id, scan_id
