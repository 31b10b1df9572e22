"""Database, roles and tables: made and brought up to date. Safe to run again."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from typing import Any

import psycopg2
from alembic import command
from alembic.config import Config
from psycopg2 import sql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from infra.errors import InfraError
from infra.postgres import role_settings
from infra.postgres.cluster import DATABASE, PostgresCluster, Urls
from infra.postgres.routines import LET_THE_MONITOR_READ

_MAY_CONNECT = """
GRANT CONNECT, TEMPORARY ON DATABASE {database} TO scanline_writer;
GRANT CONNECT ON DATABASE {database} TO scanline_reader
"""
_MONITOR_MAY_CONNECT = "GRANT CONNECT ON DATABASE {database} TO scanline_monitor"


def prepare(cluster: PostgresCluster) -> None:
    """Makes the roles and the database on a cluster of our own, then migrates."""
    _make_all(cluster.superuser_dsn("postgres"), cluster.urls)
    upgrade(cluster.urls.migrate)
    _let_the_monitor_read(cluster.urls.migrate)


def prepare_foreign(urls: Urls, admin_url: str | None = None) -> None:
    """Makes what is missing on a server we did not start, and migrates. Raises InfraError when it cannot be reached.

    With `admin_url` all roles and the database; without it all but the migrator, which must then be allowed to make
    them (CREATEROLE)."""
    owner = make_url(urls.migrate)
    given = (urls.write, urls.read, urls.monitor, urls.migrate if admin_url is not None else None)
    for url in filter(None, given):
        _role_of(url)  # before anything is made
    try:
        if admin_url is not None:
            _make_all(_dsn(admin_url), urls)
        else:
            with _connected(_dsn(urls.migrate)) as cursor:
                make_service_roles(cursor, owner.database or DATABASE, urls)
    except psycopg2.OperationalError as error:
        raise _unreachable(admin_url or urls.migrate, error) from None
    upgrade(urls.migrate)
    _let_the_monitor_read(urls.migrate)


def _make_all(dsn: str, urls: Urls) -> None:
    database = make_url(urls.migrate).database or DATABASE
    with _connected(dsn) as cursor:
        make_role(cursor, urls.migrate)
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
        if cursor.fetchone() is None:
            make = sql.SQL("CREATE DATABASE {} OWNER {}")
            cursor.execute(make.format(sql.Identifier(database), sql.Identifier(_role_of(urls.migrate))))
        make_service_roles(cursor, database, urls)


@contextmanager
def _connected(dsn: str) -> Iterator[Any]:
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def make_service_roles(cursor: Any, database: str, urls: Urls) -> None:
    """The writer and the reader, and the monitor where it has a URL, with the passwords of their URLs and the settings of
    their sessions."""
    for url in (urls.write, urls.read):
        make_role(cursor, url)
    role_settings.give(cursor, "scanline_writer")
    role_settings.give(cursor, "scanline_reader")
    cursor.execute(sql.SQL(_MAY_CONNECT).format(database=sql.Identifier(database)))
    if urls.monitor is not None:
        make_role(cursor, urls.monitor)
        role_settings.give(cursor, "scanline_monitor")
        cursor.execute(sql.SQL(_MONITOR_MAY_CONNECT).format(database=sql.Identifier(database)))
        with suppress(psycopg2.errors.InsufficientPrivilege):  # from PostgreSQL 16 on it takes a superuser
            cursor.execute("GRANT pg_monitor TO scanline_monitor")


def _let_the_monitor_read(url: str) -> None:
    """A role that came after its migration. `url`: of the migrator, whose tables they are."""
    with _connected(_dsn(url)) as cursor:
        cursor.execute(LET_THE_MONITOR_READ)


def make_role(cursor: Any, url: str) -> None:
    """Makes the URL's role, or sets its password."""
    role, password = _role_of(url), make_url(url).password
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    statement = ("CREATE" if cursor.fetchone() is None else "ALTER") + " ROLE {} LOGIN PASSWORD {}"
    cursor.execute(sql.SQL(statement).format(sql.Identifier(role), sql.Literal(str(password))))


def _role_of(url: str) -> str:
    """Raises InfraError where the URL names none."""
    where = make_url(url)
    if not where.username:
        raise InfraError.of("role_without_name", host=where.host or "localhost", database=where.database)
    return where.username


def alembic_config(url: str) -> Config:
    """Alembic's settings, without a file of its own."""
    config = Config()
    config.set_main_option("script_location", str(files("infra.postgres").joinpath("migrations")))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Brings the database behind the URL (of the migrator role) up to date. Raises InfraError when it cannot be
    reached."""
    try:
        command.upgrade(alembic_config(url), revision)
    except ArgumentError:
        raise InfraError.of("postgres_url_invalid", name="SCANLINE_POSTGRES_MIGRATE_URL") from None
    except OperationalError as error:
        raise _unreachable(url, error.orig) from None


def roles_behind(url: str, own: Iterable[str]) -> list[str]:
    """Gives the roles their settings, where `url` (the migrator's) or their `own` may do that. Returns those that lack some
    still."""
    logins = {}
    for each in own:
        with suppress(ArgumentError, InfraError):  # who needs that URL will say what is wrong with it
            logins[_role_of(each)] = _dsn(each)
    return role_settings.bring_up_to_date(_dsn(url), logins)


def current_revision(url: str) -> str | None:
    """The newest migration the database has; None where there is none yet."""
    with _connected(_dsn(url)) as cursor:
        cursor.execute("SELECT to_regclass('alembic_version')")
        if cursor.fetchone() == (None,):
            return None
        cursor.execute("SELECT version_num FROM alembic_version")
        row = cursor.fetchone()
        return str(row[0]) if row else None


def _dsn(url: str) -> str:
    """Turns SQLAlchemy's URL into what libpq takes."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _unreachable(url: str, reason: BaseException | None) -> InfraError:
    where, what = make_url(url), str(reason).strip()
    address = f"{where.host}:{where.port or 5432}/{where.database}"
    return InfraError.of("postgres_unusable", address=address, reason=what)
