"""Database, roles and tables: made and brought up to date. Safe to run again."""

from contextlib import closing
from importlib.resources import files
from typing import Any

import psycopg2
from alembic import command
from alembic.config import Config
from infra.postgres.cluster import DATABASE, PostgresCluster, Urls
from psycopg2 import sql
from sqlalchemy.engine import make_url


_DATABASE_SETTINGS = """
ALTER ROLE scanline_reader SET default_transaction_read_only = on;
ALTER ROLE scanline_reader SET statement_timeout = '30s';
GRANT CONNECT, TEMPORARY ON DATABASE {database} TO scanline_writer;
GRANT CONNECT ON DATABASE {database} TO scanline_reader
"""


def prepare(cluster: PostgresCluster) -> None:
    """Makes the roles and the database on a cluster of our own, then migrates."""
    with closing(psycopg2.connect(cluster.superuser_dsn("postgres"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            make_role(cursor, cluster.urls.migrate)
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER scanline_migrator").format(sql.Identifier(DATABASE)))
            make_service_roles(cursor, DATABASE, cluster.urls)
    upgrade(cluster.urls.migrate)


def prepare_foreign(urls: Urls) -> None:
    """Makes the writer and the reader on a server we did not start, and migrates; `urls.migrate` must be allowed to."""
    owner = make_url(urls.migrate)
    dsn = owner.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            make_service_roles(cursor, owner.database or DATABASE, urls)
    upgrade(urls.migrate)


def make_service_roles(cursor: Any, database: str, urls: Urls) -> None:
    """The writer and the reader, with the passwords of their URLs."""
    for url in (urls.write, urls.read):
        make_role(cursor, url)
    cursor.execute(sql.SQL(_DATABASE_SETTINGS).format(database=sql.Identifier(database)))


def make_role(cursor: Any, url: str) -> None:
    """Makes the URL's role, or sets its password."""
    role = make_url(url)
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role.username,))
    statement = ("CREATE" if cursor.fetchone() is None else "ALTER") + " ROLE {} LOGIN PASSWORD {}"
    cursor.execute(sql.SQL(statement).format(sql.Identifier(role.username), sql.Literal(str(role.password))))


def alembic_config(url: str) -> Config:
    """Alembic's settings, without a file of its own."""
    config = Config()
    config.set_main_option("script_location", str(files("infra.postgres").joinpath("migrations")))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Brings the database behind the URL (of the migrator role) up to date."""
    command.upgrade(alembic_config(url), revision)
