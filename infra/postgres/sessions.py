"""A look at what a session gets behind a URL: which server, whether a pooler stands between, and the role's settings."""

from contextlib import closing
from typing import NamedTuple

import psycopg2
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from infra.errors import InfraError
from infra.postgres.poolers import is_pooled
from schemas.session_settings import AT_REST, NAMES, Settings, lacking

_SECONDS = 5


class SessionLook(NamedTuple):
    """What was found. `lacks`: settings of the role that the session did not begin with, as they were found."""

    version: str
    role: str
    pooled: bool
    lacks: Settings


def look(url: str, name: str) -> SessionLook:
    """Logs in once. `name`: the setting with the URL. Raises InfraError where that cannot be done."""
    try:
        where = make_url(url)
        dsn = where.set(drivername="postgresql").render_as_string(hide_password=False)
    except ArgumentError:
        raise InfraError.of("postgres_url_invalid", name=name) from None
    try:
        with closing(psycopg2.connect(dsn, connect_timeout=_SECONDS)) as connection, connection.cursor() as cursor:
            cursor.execute(AT_REST, (NAMES,))
            [(role, backend, found)] = cursor.fetchall()
            version = connection.info.parameter_status("server_version") or "?"
            return SessionLook(version, role, is_pooled(connection, backend), lacking(role, found))
    except psycopg2.Error as error:
        address = f"{where.host}:{where.port or 5432}/{where.database}"
        reason = str(error).strip().replace("\n", " ")
        raise InfraError.of("postgres_unusable", address=address, reason=reason) from None
