"""Rejected records that were mended and sent again move to a table of their own: what is rejected is what stands open."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from infra.postgres.routines import CLOSE_TAKE_REJECTIONS, TAKE_REJECTIONS

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "mended_records",
        sa.Column("id", sa.BigInteger(), nullable=False, comment="that it had in rejected_records"),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("record_index", sa.Integer(), nullable=True),
        sa.Column("activity_key", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("pointer", sa.Text(), nullable=False),
        sa.Column("errors", postgresql.JSONB(), nullable=False),
        sa.Column("original", sa.LargeBinary(), nullable=False),
        sa.Column("kafka_partition", sa.Integer(), nullable=False),
        sa.Column("kafka_offset", sa.BigInteger(), nullable=False),
        sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mended_partition", sa.Integer(), nullable=False, comment="where the mended record stands in Kafka"),
        sa.Column("mended_offset", sa.BigInteger(), nullable=False),
        sa.Column("mended_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=("mended_records_pkey")),
        comment="rejections that a mended record took the place of, kept as they were",
    )
    op.create_index(("mended_records_tenant_id_scan_id_idx"), "mended_records", ["tenant_id", "scan_id"], unique=False)
    op.create_index(
        ("rejected_records_tenant_id_scan_id_record_index_idx"),
        "rejected_records",
        ["tenant_id", "scan_id", "record_index"],
        unique=False,
    )
    op.execute("GRANT SELECT ON mended_records TO scanline_writer, scanline_reader")
    op.execute(TAKE_REJECTIONS)
    op.execute(CLOSE_TAKE_REJECTIONS)
    op.execute("GRANT EXECUTE ON FUNCTION take_rejections TO scanline_writer")


def downgrade() -> None:
    op.execute("DROP FUNCTION take_rejections")
    op.drop_index("rejected_records_tenant_id_scan_id_record_index_idx", "rejected_records")
    op.drop_table("mended_records")
