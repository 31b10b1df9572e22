"""A stored record as values, the same whether it comes from a message or from processing_activities; and its fingerprint."""

import datetime as dt
import hashlib
import json
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import JSONB

from schemas.decoder import Incoming
from sinks.columns import positions_of, values_of

JSON_COLUMNS: Final = positions_of(JSONB)
TIME_COLUMNS: Final = positions_of(DateTime)

_encode: Final = msgspec.json.Encoder().encode
_FINGERPRINT_BYTES: Final = 16
UNKNOWN: Final = b""  # stands for the fingerprint of a row that has none
_EMPTY: Final = frozenset({"{}", None})


class Row(tuple[Any, ...]):
    """A row of processing_activities without stored_at: a value for each of COLUMNS. Columns of JSON hold its text; times are
    in UTC. What a row is known by has a name here."""

    __slots__ = ()

    @property
    def tenant_id(self) -> str:
        return str(self[0])

    @property
    def scan_id(self) -> str:
        return str(self[1])

    @property
    def activity_key(self) -> str:
        return str(self[2])

    @property
    def record_index(self) -> int | None:
        index: int | None = self[3]
        return index


def row_of(message: Incoming, at: int) -> Row:
    """The row that the message's accepted record number `at` becomes."""
    values = values_of(message, at)
    for column in JSON_COLUMNS:
        if values[column] is not None:
            values[column] = _encode(values[column]).decode()
    for column in TIME_COLUMNS:
        if values[column] is not None:
            values[column] = values[column].astimezone(dt.UTC)
    return Row(values)


def fingerprint(row: Row) -> bytes:
    """16 bytes that two rows share if and only if they say the same: JSON in whatever order and spacing, numbers in
    whatever notation."""
    values = list(row)
    for column in JSON_COLUMNS:
        if values[column] not in _EMPTY:
            values[column] = canonical(values[column])
    return hashlib.blake2b(_encode(values), digest_size=_FINGERPRINT_BYTES).digest()


def canonical(text: str) -> str:
    """JSON as one text for all its spellings. As in jsonb, the last of equal names counts, and no digit is lost."""
    return _written(json.loads(text, parse_int=Decimal, parse_float=Decimal))


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_written(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return _number(value) if isinstance(value, Decimal) else json.dumps(value)


def _number(value: Decimal) -> str:
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits))
    kept = text.rstrip("0")
    if not kept:
        return "0"
    return f"{'-' if sign else ''}{kept}e{int(exponent) + len(text) - len(kept)}"
