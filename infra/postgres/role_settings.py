"""Settings of the roles (schemas.session_settings), given to those that lack them."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

import psycopg2
from psycopg2 import sql

from schemas.session_settings import OF_ROLES, Settings

_GIVEN: Final = """
SELECT rolname, coalesce(setconfig, '{}') FROM pg_roles
LEFT JOIN pg_db_role_setting ON setrole = pg_roles.oid AND setdatabase = 0 WHERE rolname = ANY (%s)
"""


def give(cursor: Any, role: str) -> None:
    """All settings of the role, again or for the first time. Raises psycopg2's InsufficientPrivilege."""
    for name, value in OF_ROLES[role].items():
        statement = sql.SQL("ALTER ROLE {} SET {} = {}")
        cursor.execute(statement.format(sql.Identifier(role), sql.Identifier(name), sql.Literal(value)))


def given(cursor: Any) -> dict[str, Settings]:
    """What each role that is there was given."""
    cursor.execute(_GIVEN, (list(OF_ROLES),))
    return {role: dict(each.split("=", 1) for each in settings) for role, settings in cursor.fetchall()}


def bring_up_to_date(dsn: str, own: Mapping[str, str]) -> list[str]:
    """Gives the roles that are there what they lack, by the rights of whoever connects with `dsn`, else by their own: a role may
    set what is its own. `own`: libpq's URLs of roles, by role. Returns those that lack something still."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            behind = _behind(cursor)
            for role in behind:
                _give_somehow(cursor, role, own.get(role))
            return _behind(cursor)


def _behind(cursor: Any) -> list[str]:
    return [role for role, settings in given(cursor).items() if not OF_ROLES[role].items() <= settings.items()]


def _give_somehow(cursor: Any, role: str, own: str | None) -> None:
    try:
        give(cursor, role)
    except psycopg2.errors.InsufficientPrivilege:
        if own is None:
            return
        try:
            connection = psycopg2.connect(own, connect_timeout=10)
        except psycopg2.OperationalError:
            return
        with closing(connection), connection, connection.cursor() as itself:
            itself.execute("SET TRANSACTION READ WRITE")
            give(itself, role)
