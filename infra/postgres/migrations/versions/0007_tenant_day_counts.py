"""Records of each tenant by day and category, counted from now on by the transaction that stores them; what is stored is
counted here.

Workers must be stopped, as for every migration that a sink depends on: what they store in between would not be counted."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_DAY = "(stored_at AT TIME ZONE 'Asia/Ho_Chi_Minh')::date"
_COUNTS = "count(*), count(*) FILTER (WHERE sensitive), count(*) FILTER (WHERE cross_border)"


def upgrade() -> None:
    op.create_table(
        "tenant_day_counts",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="of stored_at, in Vietnam"),
        sa.Column("category", sa.Text(), nullable=False, comment="one of data_categories; all: each record once"),
        sa.Column(
            "kafka_partition",
            sa.Integer(),
            nullable=False,
            comment="whose lane counted: lanes do not wait for each other",
        ),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column(
            "sensitive", sa.BigInteger(), nullable=False, comment="of these, with sensitive data of any category"
        ),
        sa.Column("cross_border", sa.BigInteger(), nullable=False, comment="of these, across the border"),
        sa.PrimaryKeyConstraint("tenant_id", "day", "category", "kafka_partition", name=("tenant_day_counts_pkey")),
        comment="records stored, counted in the transaction that stored them",
        postgresql_with={"fillfactor": 50},
    )
    op.execute("GRANT SELECT ON tenant_day_counts TO scanline_writer, scanline_reader")
    op.execute("GRANT INSERT, UPDATE (stored, sensitive, cross_border) ON tenant_day_counts TO scanline_writer")
    # -1 is no partition: what was there before anybody counted
    op.execute(
        f"""
        INSERT INTO tenant_day_counts
        SELECT tenant_id, {_DAY}, 'all', -1, {_COUNTS} FROM processing_activities GROUP BY 1, 2
        UNION ALL
        SELECT tenant_id, {_DAY}, category, -1, {_COUNTS}
        FROM processing_activities, LATERAL (SELECT DISTINCT unnest(data_categories)) AS one (category)
        GROUP BY 1, 2, 3
        """
    )


def downgrade() -> None:
    op.drop_table("tenant_day_counts")
