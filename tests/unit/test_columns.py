"""What is said of a field twice says the same: the struct and the table, the fast way of a row and the careful one."""

import datetime as dt
import json
from typing import Any, Final

import pyarrow as pa
import pytest
from msgspec import inspect
from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Double, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB

from schemas import topics
from schemas.decoder import Incoming
from schemas.field_checks import may_be_null, struct_fields
from schemas.messages import Envelope
from schemas.record import Record, decode_records
from schemas.tables import WRITTEN_COLUMNS, processing_activities
from schemas.text import is_plain
from sinks.columns import COLUMNS, KNOWN_BY
from sinks.files.ndjson import line
from sinks.files.parquet import SCHEMA
from sinks.files.rows import row_of
from sinks.postgres.rows import lines_of, texts_of
from tests.fuzz.targets import SCAN, compared
from tests.unit.examples import FULL, MINIMAL, encode, sample_lines

DERIVED: Final = {"sensitive": Boolean, "cross_border": Boolean}
FIELDS: Final = {field.name: field for field in struct_fields(Record)}
INT32: Final = 2**31 - 1


def stored_as(kind: inspect.Type) -> Any:
    """The type of the column that holds every value of a field's type."""
    match kind:
        case inspect.Metadata():
            return stored_as(kind.type)
        case inspect.UnionType():
            return next(stored_as(each) for each in kind.types if not isinstance(each, inspect.NoneType))
        case inspect.IntType(le=int(most)):
            return Integer if most <= INT32 else BigInteger
        case inspect.ListType():
            return ARRAY, stored_as(kind.item_type)
    return {
        inspect.StrType: Text,
        inspect.LiteralType: Text,
        inspect.FloatType: Double,
        inspect.DateTimeType: DateTime,
        inspect.StructType: JSONB,
        inspect.RawType: JSONB,
    }[type(kind)]


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_its_column(name: str) -> None:
    column = processing_activities.c[name]
    kind = (ARRAY, type(column.type.item_type)) if isinstance(column.type, ARRAY) else type(column.type)
    assert kind == stored_as(FIELDS[name].type)
    assert column.nullable == may_be_null(FIELDS[name].type)
    assert getattr(column.type, "timezone", True)  # of a time


def test_every_other_column_is_known() -> None:
    assert COLUMNS[: len(KNOWN_BY)] == KNOWN_BY
    assert set(COLUMNS) == {*KNOWN_BY, *FIELDS, *DERIVED}
    assert {column.name for column in processing_activities.c} - set(COLUMNS) == {"stored_at"}
    assert {name: type(processing_activities.c[name].type) for name in DERIVED} == DERIVED


def message(records: list[dict[str, Any]] | list[bytes], first: int | None = None) -> Incoming:
    value = b"[" + b",".join(each if isinstance(each, bytes) else encode(each) for each in records) + b"]"
    decoded = decode_records(value)
    return Incoming(
        0, Envelope(topics.RECORDS, "acme", SCAN, first), decoded, range(len(decoded)), plain=is_plain(value)
    )


# Every column of its rows has a value, and no two have the same.
DISTINCT: Final = message([FULL | {"name": "a name", "purpose": "why"}], 16)


def test_both_ways_write_each_column_in_its_place() -> None:
    (fast,), (careful,) = lines_of(DISTINCT).lines, lines_of(DISTINCT._replace(plain=False)).lines
    fields = dict(zip(COLUMNS, texts_of(careful), strict=True))
    others = [text for name, text in fields.items() if name not in DERIVED]
    assert None not in fields.values() and len(set(others)) == len(others)
    assert DISTINCT.plain
    assert compared(fast) == compared(careful)


def test_both_ways_write_the_same_of_every_field_that_is_not_given() -> None:
    optional = [name for name, field in FIELDS.items() if not field.required]
    records = [MINIMAL, *({name: value for name, value in FULL.items() if name != left} for left in optional)]
    for first in (None, 0):
        incoming = message(records, first)
        assert incoming.plain
        fast, careful = lines_of(incoming), lines_of(incoming._replace(plain=False))
        assert list(map(compared, fast.lines)) == list(map(compared, careful.lines))
        assert fast[2:] == careful[2:]


def test_both_ways_write_the_same_of_the_real_scans() -> None:
    incoming = message(sample_lines())
    assert incoming.plain
    fast, careful = lines_of(incoming), lines_of(incoming._replace(plain=False))
    assert list(map(compared, fast.lines)) == list(map(compared, careful.lines))
    assert fast[2:] == careful[2:]


def test_a_file_has_every_field_as_it_was_sent() -> None:
    row = row_of(DISTINCT, 0)
    found = json.loads(line(row, dt.date(2026, 11, 24)))
    sent = FULL | {"name": "a name", "purpose": "why", "discovered_at": "2026-11-20T02:30:00Z"}
    around = {"tenant_id": "acme", "scan_id": SCAN, "record_index": 16, "sensitive": True, "cross_border": True}
    assert found == sent | around | {"received_on": "2026-11-24"}
    assert [*found] == SCHEMA.names
    columns = [pa.array([value], field.type) for value, field in zip(row, SCHEMA, strict=False)]
    (stored,) = pa.Table.from_arrays([*columns, pa.array([None], pa.date32())], schema=SCHEMA).to_pylist()
    assert json.loads(stored.pop("transfer")) == sent.pop("transfer")
    assert json.loads(stored.pop("attributes")) == sent.pop("attributes")
    moment = dt.datetime.fromisoformat(sent.pop("discovered_at"))
    assert stored == sent | around | {"discovered_at": moment, "received_on": None}


def test_a_parquet_file_has_the_tables_types() -> None:
    assert SCHEMA.names == [*COLUMNS, "received_on"]
    assert [field.nullable for field in SCHEMA][:-1] == [column.nullable for column in WRITTEN_COLUMNS]
