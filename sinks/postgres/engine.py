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
    schema: str | None = None,
    application: str = "scanline-worker",
) -> Engine:
    """An engine of at most `connections` (1..50) connections that never waits longer than `deadline_seconds` for an answer.
    With `schema` (lower-case letters, digits, underscores) its sessions see no tables but those.

    tcp_user_timeout notices a network that swallows packets; statement_timeout a server that does not come back; both are
    within the deadline of one statement. The sink reads the deadline off the engine. Transactions commit asynchronously
    unless they say otherwise (see sink.py).
    """
    if not 1 <= connections <= MAX_CONNECTIONS:
        raise ValueError(f"the write pool takes 1 to {MAX_CONNECTIONS} connections, not {connections}")
    milliseconds = int(deadline_seconds * 1000)
    arguments: dict[str, Any] = {
        "connect_timeout": max(2, int(deadline_seconds / 3)),
        "tcp_user_timeout": milliseconds,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": application,
        "options": f"-c synchronous_commit=off -c statement_timeout={milliseconds} -c lock_timeout={milliseconds} "
        # a server whose client is gone must not go on waiting for locks, with the locks it has
        "-c client_connection_check_interval=2s "
        f"-c idle_in_transaction_session_timeout={milliseconds} -c timezone=UTC -c jit=off"
        + ("" if schema is None else f" -c search_path={schema}"),
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
