"""The tables, in SQLAlchemy: the one source for migrations, for the sink and for the reads."""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

HASH_PARTITIONS = 16  # of processing_activities, by tenant_id
ALL_CATEGORIES: Final = "all"  # in tenant_day_counts: no category, each record once

metadata = MetaData(naming_convention={"pk": "%(table_name)s_pkey", "ix": "%(table_name)s_%(column_0_N_name)s_idx"})
_time = DateTime(timezone=True)

processing_activities = Table(
    "processing_activities",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("scan_id", Uuid, nullable=False),
    Column("activity_key", Text, nullable=False),
    Column("record_index", Integer, comment="zero-based within the scan, where the publisher numbered it"),
    Column("name", Text, nullable=False),
    Column("source_system", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("data_fields", ARRAY(Text), nullable=False),
    Column("data_categories", ARRAY(Text), nullable=False),
    Column("data_subjects", ARRAY(Text), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("legal_basis", Text, nullable=False),
    Column("controller_role", Text),
    Column("recipients", ARRAY(Text), nullable=False),
    Column("storage_country", Text, nullable=False),
    Column("provider_country", Text),
    Column("transfer", JSONB),
    Column("retention_days", Integer),
    Column("subject_count", BigInteger),
    Column("confidence", Double),
    Column("discovered_at", _time, nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("sensitive", Boolean, nullable=False),
    Column("cross_border", Boolean, nullable=False),
    Column("stored_at", _time, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant_id", "scan_id", "activity_key"),
    postgresql_partition_by="HASH (tenant_id)",
)
# What a sink writes of a row: the others PostgreSQL fills in by itself.
WRITTEN_COLUMNS: Final = tuple(column for column in processing_activities.c if column.server_default is None)

scans = Table(
    "scans",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("scan_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("source", Text),
    Column("language", Text, nullable=False),
    Column("notify", Text),
    Column("request_digest", Text),
    Column("records_total", BigInteger),
    Column("closed", Boolean, nullable=False),
    Column("cancel_reason", Text),
    Column("records_stored", BigInteger, nullable=False),
    Column("records_rejected", BigInteger, nullable=False),
    Column("records_duplicate", BigInteger, nullable=False),
    Column("records_sensitive", BigInteger, nullable=False),
    Column("records_cross_border", BigInteger, nullable=False),
    Column("messages_unreadable", BigInteger, nullable=False),
    Column("errors_sample", JSONB, nullable=False),
    Column("submitted_at", _time),
    Column("started_at", _time),
    Column("finished_at", _time),
    Column("version", BigInteger, nullable=False),
    Column("kafka_partition", Integer, nullable=False, comment="whose lane touched it last and tells its status"),
    Column("updated_at", _time, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant_id", "scan_id"),
    Index(None, "kafka_partition", "updated_at"),
)

scan_messages = Table(
    "scan_messages",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("scan_id", Uuid, nullable=False),
    Column("first_index", Integer, nullable=False),
    Column("records", Integer, nullable=False),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "scan_id", "first_index"),
    comment="arrays already counted: the same one sent again counts nothing",
)

rejected_records = Table(
    "rejected_records",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("scan_id", Uuid, nullable=False),
    Column("record_index", Integer, comment="zero-based within the scan, where known"),
    Column("activity_key", Text),
    Column("code", Text, nullable=False),
    Column("pointer", Text, nullable=False),
    Column("errors", JSONB, nullable=False, comment="every reason: code, pointer, params"),
    Column("original", LargeBinary, nullable=False, comment="the record's bytes as they came"),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    Column("rejected_at", _time, nullable=False, server_default=func.now()),
    Index(None, "tenant_id", "scan_id", "id"),
    Index(None, "tenant_id", "scan_id", "record_index"),
)

mended_records = Table(
    "mended_records",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="that it had in rejected_records"),
    Column("tenant_id", Text, nullable=False),
    Column("scan_id", Uuid, nullable=False),
    Column("record_index", Integer),
    Column("activity_key", Text),
    Column("code", Text, nullable=False),
    Column("pointer", Text, nullable=False),
    Column("errors", JSONB, nullable=False),
    Column("original", LargeBinary, nullable=False),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    Column("rejected_at", _time, nullable=False),
    Column("mended_partition", Integer, nullable=False, comment="where the mended record stands in Kafka"),
    Column("mended_offset", BigInteger, nullable=False),
    Column("mended_at", _time, nullable=False, server_default=func.now()),
    Index(None, "tenant_id", "scan_id"),
    comment="rejections that a mended record took the place of, kept as they were",
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", _time, nullable=False, server_default=func.now()),
    Column("tenant_id", Text, nullable=False),
    Column("scan_id", Uuid),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("details", JSONB, nullable=False),
    Column("message", JSONB, nullable=False, comment="{vi, en}"),
    Index(None, "tenant_id", "at"),
)

tenant_day_counts = Table(
    "tenant_day_counts",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("day", Date, nullable=False, comment="of stored_at, in Vietnam"),
    Column("category", Text, nullable=False, comment="one of data_categories; all: each record once"),
    Column("kafka_partition", Integer, nullable=False, comment="whose lane counted: lanes do not wait for each other"),
    Column("stored", BigInteger, nullable=False),
    Column("sensitive", BigInteger, nullable=False, comment="of these, with sensitive data of any category"),
    Column("cross_border", BigInteger, nullable=False, comment="of these, across the border"),
    PrimaryKeyConstraint("tenant_id", "day", "category", "kafka_partition"),
    Index(None, "day"),  # sums over all tenants; what is updated stands in no index
    comment="records stored, counted in the transaction that stored them",
    postgresql_with={"fillfactor": 50},  # rows are updated in place, by the micro-batch
)

stream_offsets = Table(
    "stream_offsets",
    metadata,
    Column("pipeline", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("owner", Text, nullable=False, comment="the worker that wrote last; for people, nothing relies on it"),
    Column("updated_at", _time, nullable=False, server_default=func.now()),
    Column("topic_id", Text, comment="Kafka's, of the topic whose messages next_offset counts; null: not known yet"),
    PrimaryKeyConstraint("pipeline", "topic", "partition"),
)

dead_letter_allowances = Table(
    "dead_letter_allowances",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column(
        "before_offset", BigInteger, nullable=False, comment="messages below it may go to scan.dlq.v1, however many"
    ),
    Column("actor", Text, nullable=False),
    Column("at", _time, nullable=False, server_default=func.now()),
    Index(None, "pipeline", "topic", "partition"),
    comment="what operators let pass that the dead-letter limit held back; rows are only added",
)

dead_letter_actions = Table(
    "dead_letter_actions",
    metadata,
    Column("letter_partition", Integer, nullable=False, comment="where it stands in scan.dlq.v1"),
    Column("letter_offset", BigInteger, nullable=False),
    Column("failed_at_ms", BigInteger, nullable=False, comment="tells it from another at the same place, long ago"),
    Column("action", Text, nullable=False, comment="claimed, sent, arrived (the worker took it), dropped"),
    Column("tenant_id", Text, comment="as far as the letter tells"),
    Column("scan_id", Uuid),
    Column("actor", Text, nullable=False),
    Column("details", JSONB, nullable=False),
    Column("at", _time, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("letter_partition", "letter_offset", "failed_at_ms", "action"),
    comment="what was done about dead letters; rows are only added, each action once",
)
