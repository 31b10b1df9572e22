"""Beside each offset the id of the topic whose messages it counts: a topic made anew under the same name has another."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "stream_offsets",
        sa.Column(
            "topic_id",
            sa.Text(),
            nullable=True,
            comment="Kafka's, of the topic whose messages next_offset counts; null: not known yet",
        ),
    )


def downgrade() -> None:
    op.drop_column("stream_offsets", "topic_id")
