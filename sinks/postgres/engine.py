"""The write engine: SQLAlchemy over psycopg2, every wait bounded."""

from typing import Any, Final

from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

MAX_CONNECTIONS: Final = 50  # of the write pool, per worker
DEADLINE: Final = "scanline_deadline_seconds"  # of the engine's execution options


def write_engine(
    url: str,
    *,
    connections: int,
    deadline_seconds: float,
    application: str = "scanline-worker",
) -> Engine:
    """An engine of at most `connections` (1..50) connections that never waits longer than `deadline_seconds` for an answer.

    tcp_user_timeout notices a network that swallows packets. What the server holds itself to, each transaction of the sink
    says for itself, with the deadline that it reads off the engine (decision 0015).
    """
    if not 1 <= connections <= MAX_CONNECTIONS:
        raise ValueError(f"the write pool takes 1 to {MAX_CONNECTIONS} connections, not {connections}")
    arguments: dict[str, Any] = {
        "connect_timeout": max(2, int(deadline_seconds / 3)),
        "tcp_user_timeout": int(deadline_seconds * 1000),
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": application,
    }
    return create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=deadline_seconds,
        pool_reset_on_return=None,  # the sink ends its transactions itself
        connect_args=arguments,
        execution_options={DEADLINE: deadline_seconds},
    )
