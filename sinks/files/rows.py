"""A stored record as values, the same whether it comes from a message or from processing_activities; and its fingerprint."""

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from schemas.reading import Incoming

_encode: Final = msgspec.json.Encoder().encode
_FINGERPRINT_BYTES: Final = 16
UNKNOWN: Final = b""  # stands for the fingerprint of a row that has none
_EMPTY: Final = frozenset({"{}", None})


class Row(NamedTuple):
    """A row of processing_activities without stored_at. `transfer` and `attributes` are JSON; times are in UTC."""

    tenant_id: str
    scan_id: str
    activity_key: str
    record_index: int | None
    name: str
    source_system: str
    asset: str
    data_fields: Sequence[str]
    data_categories: Sequence[str]
    data_subjects: Sequence[str]
    purpose: str
    legal_basis: str
    controller_role: str | None
    recipients: Sequence[str]
    storage_country: str
    provider_country: str | None
    transfer: str | None
    retention_days: int | None
    subject_count: int | None
    confidence: float | None
    discovered_at: dt.datetime
    attributes: str
    sensitive: bool
    cross_border: bool


COLUMNS: Final = Row._fields


def row_of(message: Incoming, at: int) -> Row:
    """The row that the message's accepted record number `at` becomes."""
    envelope, record = message.envelope, message.records[at]
    return Row(
        envelope.tenant_id,
        envelope.scan_id,
        record.activity_key,
        message.index_of(message.positions[at]),
        record.name,
        record.source_system,
        record.asset,
        record.data_fields,
        record.data_categories,
        record.data_subjects,
        record.purpose,
        record.legal_basis,
        record.controller_role,
        record.recipients,
        record.storage_country,
        record.provider_country,
        None if record.transfer is None else _encode(record.transfer).decode(),
        record.retention_days,
        record.subject_count,
        record.confidence,
        record.discovered_at.astimezone(dt.UTC),
        bytes(record.attributes).decode(),
        record.sensitive,
        record.cross_border,
    )


def fingerprint(row: Row) -> bytes:
    """16 bytes that two rows share if and only if they say the same: JSON in whatever order and spacing, numbers in
    whatever notation."""
    transfer, attributes = row.transfer, row.attributes
    if transfer not in _EMPTY or attributes not in _EMPTY:
        row = row._replace(transfer=None if transfer is None else canonical(transfer), attributes=canonical(attributes))
    return hashlib.blake2b(_encode(row), digest_size=_FINGERPRINT_BYTES).digest()


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
