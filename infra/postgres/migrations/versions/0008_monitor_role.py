"""The monitor role, where there is one, reads what the exporter tells: offsets, what was done about dead letters, and a day's
counts, which get an index."""

from alembic import op

from infra.postgres.routines import LET_THE_MONITOR_READ

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("tenant_day_counts_day_idx", "tenant_day_counts", ["day"], unique=False)
    op.execute(LET_THE_MONITOR_READ)


def downgrade() -> None:
    op.drop_index("tenant_day_counts_day_idx")
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'scanline_monitor') THEN"
        " REVOKE ALL ON stream_offsets, dead_letter_actions, tenant_day_counts FROM scanline_monitor; END IF; END $$"
    )
