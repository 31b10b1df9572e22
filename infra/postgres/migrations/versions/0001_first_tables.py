"""The first tables, the hash partitions of processing_activities, and who may do what."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_HASH_PARTITIONS = 16
_TABLES = (
    "audit_log",
    "processing_activities",
    "rejected_records",
    "scan_messages",
    "scans",
    "stream_offsets",
)


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("scan_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("message", postgresql.JSONB(), nullable=False, comment="{vi, en}"),
        sa.PrimaryKeyConstraint("id", name=("audit_log_pkey")),
    )
    op.create_index(("audit_log_tenant_id_at_idx"), "audit_log", ["tenant_id", "at"], unique=False)
    op.create_table(
        "processing_activities",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("activity_key", sa.Text(), nullable=False),
        sa.Column(
            "record_index",
            sa.Integer(),
            nullable=True,
            comment="zero-based within the scan, where the publisher numbered it",
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source_system", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("data_fields", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("data_categories", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("data_subjects", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Text(), nullable=False),
        sa.Column("controller_role", sa.Text(), nullable=True),
        sa.Column("recipients", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("storage_country", sa.Text(), nullable=False),
        sa.Column("provider_country", sa.Text(), nullable=True),
        sa.Column("transfer", postgresql.JSONB(), nullable=True),
        sa.Column("retention_days", sa.Integer(), nullable=True),
        sa.Column("subject_count", sa.BigInteger(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("discovered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attributes", postgresql.JSONB(), nullable=False),
        sa.Column("sensitive", sa.Boolean(), nullable=False),
        sa.Column("cross_border", sa.Boolean(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "scan_id", "activity_key", name=("processing_activities_pkey")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "rejected_records",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("record_index", sa.Integer(), nullable=True, comment="zero-based within the scan, where known"),
        sa.Column("activity_key", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("pointer", sa.Text(), nullable=False),
        sa.Column("errors", postgresql.JSONB(), nullable=False, comment="every reason: code, pointer, params"),
        sa.Column("original", sa.LargeBinary(), nullable=False, comment="the record's bytes as they came"),
        sa.Column("kafka_partition", sa.Integer(), nullable=False),
        sa.Column("kafka_offset", sa.BigInteger(), nullable=False),
        sa.Column("rejected_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=("rejected_records_pkey")),
    )
    op.create_index(
        ("rejected_records_tenant_id_scan_id_id_idx"), "rejected_records", ["tenant_id", "scan_id", "id"], unique=False
    )
    op.create_table(
        "scan_messages",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("first_index", sa.Integer(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("kafka_partition", sa.Integer(), nullable=False),
        sa.Column("kafka_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "scan_id", "first_index", name=("scan_messages_pkey")),
        comment="arrays already counted: the same one sent again counts nothing",
    )
    op.create_table(
        "scans",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("notify", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=True),
        sa.Column("records_total", sa.BigInteger(), nullable=True),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("records_stored", sa.BigInteger(), nullable=False),
        sa.Column("records_rejected", sa.BigInteger(), nullable=False),
        sa.Column("records_duplicate", sa.BigInteger(), nullable=False),
        sa.Column("records_sensitive", sa.BigInteger(), nullable=False),
        sa.Column("records_cross_border", sa.BigInteger(), nullable=False),
        sa.Column("messages_unreadable", sa.BigInteger(), nullable=False),
        sa.Column("errors_sample", postgresql.JSONB(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column(
            "kafka_partition", sa.Integer(), nullable=False, comment="whose lane touched it last and tells its status"
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "scan_id", name=("scans_pkey")),
    )
    op.create_index(("scans_kafka_partition_updated_at_idx"), "scans", ["kafka_partition", "updated_at"], unique=False)
    op.create_table(
        "stream_offsets",
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column(
            "owner", sa.Text(), nullable=False, comment="the worker that wrote last; for people, nothing relies on it"
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("pipeline", "topic", "partition", name=("stream_offsets_pkey")),
    )
    for number in range(_HASH_PARTITIONS):
        op.execute(
            f"CREATE TABLE processing_activities_{number:02} PARTITION OF processing_activities"
            f" FOR VALUES WITH (MODULUS {_HASH_PARTITIONS}, REMAINDER {number})"
        )
    _grant()


def _grant() -> None:
    """The writer adds and changes, but cannot take an audit row back; the reader reads, and never for long."""
    op.execute("GRANT USAGE ON SCHEMA public TO scanline_writer, scanline_reader")
    op.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    for table in _TABLES:
        op.execute(f"GRANT SELECT ON {table} TO scanline_writer, scanline_reader")
        op.execute(f"GRANT INSERT ON {table} TO scanline_writer")
    for table in ("scans", "stream_offsets"):
        op.execute(f"GRANT UPDATE ON {table} TO scanline_writer")


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
