"""Rejected records that were mended and sent again move to a table of their own: what is rejected is what stands open."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"

_COLUMNS = (
    "id, tenant_id, scan_id, record_index, activity_key, code, pointer, errors, original,"
    " kafka_partition, kafka_offset, rejected_at"
)
# The writer may move a rejection, and neither delete nor change one. The function belongs to the tables of its own schema;
# who means others (a session with another search_path) is refused.
_MOVE = f"""
DO $outer$ BEGIN EXECUTE format($text$
CREATE FUNCTION take_rejections(meant regclass, ids bigint[], at_partition int, at_offset bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %I, pg_temp AS $body$
BEGIN
    IF meant <> 'rejected_records'::regclass THEN
        RAISE EXCEPTION 'take_rejections belongs to the tables of another schema' USING ERRCODE = '42P17';
    END IF;
    WITH taken AS (DELETE FROM rejected_records WHERE id = ANY (ids) RETURNING {_COLUMNS})
    INSERT INTO mended_records ({_COLUMNS}, mended_partition, mended_offset)
    SELECT {_COLUMNS}, at_partition, at_offset FROM taken;
END $body$ $text$, current_schema()); END $outer$
"""


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
    op.execute(_MOVE)
    op.execute("REVOKE ALL ON FUNCTION take_rejections FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION take_rejections TO scanline_writer")


def downgrade() -> None:
    op.execute("DROP FUNCTION take_rejections")
    op.drop_index("rejected_records_tenant_id_scan_id_record_index_idx", "rejected_records")
    op.drop_table("mended_records")
