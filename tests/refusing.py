"""A table that takes not everything: what the contract's own rules let through, and the database refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from tests.helpers import Database


@contextmanager
def rule(database: Database, tenant: str, kind: str) -> Iterator[None]:
    """The table takes no record of this tenant whose purpose is «cấm», by a constraint or by a trigger."""
    if kind == "constraint":
        make = (
            "ALTER TABLE processing_activities ADD CONSTRAINT none_of_these"
            f" CHECK (tenant_id <> '{tenant}' OR purpose <> 'cấm') NOT VALID"
        )
        drop = "ALTER TABLE processing_activities DROP CONSTRAINT none_of_these"
    else:
        make = f"""
            CREATE FUNCTION none_of_these() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION USING ERRCODE = '22023'; END $$;
            CREATE TRIGGER none_of_these BEFORE INSERT ON processing_activities
                FOR EACH ROW WHEN (NEW.tenant_id = '{tenant}' AND NEW.purpose = 'cấm') EXECUTE FUNCTION none_of_these()"""
        drop = "DROP TRIGGER none_of_these ON processing_activities; DROP FUNCTION none_of_these"
    database.rows(make)
    try:
        yield
    finally:
        database.rows(drop)


@contextmanager
def locked(dsn: str, table: str) -> Iterator[None]:
    """Nobody else can read or write the table."""
    holder: Any = psycopg2.connect(dsn)
    try:
        with holder.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        holder.close()
