"""What operators let pass that the dead-letter limit held back."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "dead_letter_allowances",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column(
            "before_offset",
            sa.BigInteger(),
            nullable=False,
            comment="messages below it may go to scan.dlq.v1, however many",
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="dead_letter_allowances_pkey"),
        comment="what operators let pass that the dead-letter limit held back; rows are only added",
    )
    op.create_index(
        "dead_letter_allowances_pipeline_topic_partition_idx",
        "dead_letter_allowances",
        ["pipeline", "topic", "partition"],
    )
    op.execute("GRANT SELECT ON dead_letter_allowances TO scanline_writer, scanline_reader")
    op.execute("GRANT INSERT ON dead_letter_allowances TO scanline_writer")


def downgrade() -> None:
    op.drop_table("dead_letter_allowances")
