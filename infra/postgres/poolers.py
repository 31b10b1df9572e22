"""Whether a pooler stands between us and PostgreSQL, and who cannot work through one."""

from typing import Any

from infra.errors import InfraError


def is_pooled(connection: Any, backend: int) -> bool:
    """True where the process id that psycopg2's connection was told at its start is not that of the server's process, which
    pg_backend_pid() says: a pooler gives its clients ids of its own, to cancel by."""
    return bool(connection.info.backend_pid != backend)


def refuse_pooler(connection: Any, name: str) -> None:
    """Raises InfraError behind a pooler: what takes a session's lock, or its tables from its startup, would share both with
    strangers. `name`: the setting with the URL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [(backend,)] = cursor.fetchall()
    connection.rollback()
    if is_pooled(connection, backend):
        raise InfraError.of("postgres_pooled", name=name)
