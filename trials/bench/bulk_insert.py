"""Rows written as an application with an ORM usually does: SQLAlchemy's insert of many dictionaries at once."""

import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, create_engine, insert
from sqlalchemy.pool import NullPool

from schemas.tables import processing_activities
from sinks.columns import COLUMNS, values_of
from trials.bench.copy_baseline import new_scans
from trials.bench.together import Transaction

Row = Mapping[str, Any]
_INSERT: Final = insert(processing_activities)


def bulk_rows(tenants: Sequence[str]) -> list[Row]:
    """The rows of one new scan of each tenant, by the names of their columns."""
    rows: list[Row] = []
    for message in new_scans(tenants):
        scan = uuid.UUID(message.envelope.scan_id)
        for at in range(len(message.records)):
            row = dict(zip(COLUMNS, values_of(message, at), strict=True))
            objects = {name: _object(row[name]) for name in ("attributes", "transfer")}
            rows.append({**row, **objects, "scan_id": scan})
    return rows


def _object(value: Any) -> Any:
    """What SQLAlchemy makes JSON of: it is given objects, no text."""
    return msgspec.json.decode(msgspec.json.encode(value))


def inserting(rows: Sequence[Row], schema: str) -> Transaction:
    """One INSERT of these rows, into the table in that schema."""
    options = {"schema_translate_map": {None: schema}, "insertmanyvalues_page_size": len(rows)}

    def insert_all(cursor: Any) -> None:
        _session(cursor.connection).execute(_INSERT, rows, execution_options=options)

    return insert_all


@cache
def _session(connection: Any) -> Connection:
    """SQLAlchemy on a connection that is there already, and whose transactions somebody else ends."""
    return create_engine("postgresql+psycopg2://", creator=lambda: connection, poolclass=NullPool).connect()
