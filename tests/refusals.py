"""A table that takes not everything: what the contract's own rules let through, and the database refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from tests.helpers import Database, array, changed
from tests.poisoned_worker import SECRET
from trials import generator


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


@contextmanager
def raising(database: Database, table: str, when: str, sqlstate: str) -> Iterator[None]:
    """PostgreSQL refuses rows of that table, and repeats a value that no log may have."""
    database.rows(
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}', MESSAGE = '{SECRET}'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()"""
    )
    try:
        yield
    finally:
        database.rows(f"DROP TRIGGER refuse ON {table}; DROP FUNCTION refuse")


def refused(tenant: str, table: str) -> tuple[str, list[Any]]:
    """(rows that are refused, [(kind, value, headers, first index)] of the messages that bring them)."""
    lines = generator.records(6, 5, tenant)
    marked = [("mark", tenant.encode())]
    if table == "scan_messages":
        return f"NEW.tenant_id = '{tenant}' AND NEW.first_index = 700", [("records", array(lines), marked, 700)]
    if table == "rejected_records":
        bad = changed(lines[0], activity_key="refused", legal_basis="none")
        return f"NEW.tenant_id = '{tenant}'", [("records", array([bad, *lines[1:]]), marked, 700)]
    if table == "scans":
        return f"NEW.tenant_id = '{tenant}' AND NEW.source = 'refused'", [
            ("opened", b'{"source":"refused"}', marked, None)
        ]
    return f"NEW.tenant_id = '{tenant}'", [("records", array(lines), marked, 700)]
