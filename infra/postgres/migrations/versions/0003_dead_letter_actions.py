"""What was done about dead letters: claimed, sent again, arrived, dropped."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "dead_letter_actions",
        sa.Column("letter_partition", sa.Integer(), nullable=False, comment="where it stands in scan.dlq.v1"),
        sa.Column("letter_offset", sa.BigInteger(), nullable=False),
        sa.Column(
            "failed_at_ms",
            sa.BigInteger(),
            nullable=False,
            comment="tells it from another at the same place, long ago",
        ),
        sa.Column("action", sa.Text(), nullable=False, comment="claimed, sent, arrived (the worker took it), dropped"),
        sa.Column("tenant_id", sa.Text(), nullable=True, comment="as far as the letter tells"),
        sa.Column("scan_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint(
            "letter_partition", "letter_offset", "failed_at_ms", "action", name=("dead_letter_actions_pkey")
        ),
        comment="what was done about dead letters; rows are only added, each action once",
    )
    # nobody takes back what was done: no UPDATE, no DELETE
    op.execute("GRANT SELECT ON dead_letter_actions TO scanline_writer, scanline_reader")
    op.execute("GRANT INSERT ON dead_letter_actions TO scanline_writer")


def downgrade() -> None:
    op.drop_table("dead_letter_actions")
