"""Records as lines of COPY's text format (PostgreSQL documentation, COPY, "Text Format").

The fast way writes what needs no escaping as it stands: a message that is plain (schemas.text.is_plain) holds no backslash,
so no text in it can hold a quote, a tab, a line feed or a backslash. Everything else goes the careful way.
"""

from typing import Final, NamedTuple

import msgspec

from schemas.record import Record
from sinks.base import Incoming

COLUMNS: Final = (
    "tenant_id",
    "scan_id",
    "activity_key",
    "record_index",
    "name",
    "source_system",
    "asset",
    "data_fields",
    "data_categories",
    "data_subjects",
    "purpose",
    "legal_basis",
    "controller_role",
    "recipients",
    "storage_country",
    "provider_country",
    "transfer",
    "retention_days",
    "subject_count",
    "confidence",
    "discovered_at",
    "attributes",
    "sensitive",
    "cross_border",
)
_NULL: Final = "\\N"
_json = msgspec.json.Encoder().encode
_COPY_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Lines(NamedTuple):
    """The rows of one message, ready for COPY; lines[i] belongs to records[i]."""

    lines: list[str]
    sensitive: int
    cross_border: int


def lines_of(message: Incoming) -> Lines:
    """Formats the accepted records of a message."""
    envelope = message.envelope
    prefix = f"{envelope.tenant_id}\t{envelope.scan_id}\t"
    first = envelope.first_index
    lines: list[str] = []
    sensitive = cross_border = 0
    text, array = (_as_is, _plain_array) if message.plain else (_escape, _escaped_array)
    for position, record in zip(message.positions, message.records, strict=True):
        attributes = bytes(record.attributes).decode()
        if not message.plain or "\n" in attributes or "\t" in attributes or "\r" in attributes:
            attributes = attributes.translate(_COPY_ESCAPES)
        is_sensitive = record.sensitive
        is_cross_border = record.cross_border
        sensitive += is_sensitive
        cross_border += is_cross_border
        lines.append(
            f"{prefix}{text(record.activity_key)}\t{_NULL if first is None else first + position}"
            f"\t{text(record.name)}\t{text(record.source_system)}\t{text(record.asset)}"
            f"\t{array(record.data_fields)}\t{{{','.join(record.data_categories)}}}\t{{{','.join(record.data_subjects)}}}"
            f"\t{text(record.purpose)}\t{record.legal_basis}\t{record.controller_role or _NULL}"
            f"\t{array(record.recipients)}\t{record.storage_country}\t{record.provider_country or _NULL}"
            f"\t{_NULL if record.transfer is None else _transfer(record)}"
            f"\t{_NULL if record.retention_days is None else record.retention_days}"
            f"\t{_NULL if record.subject_count is None else record.subject_count}"
            f"\t{_NULL if record.confidence is None else record.confidence}"
            f"\t{record.discovered_at.isoformat()}\t{attributes}"
            f"\t{'t' if is_sensitive else 'f'}\t{'t' if is_cross_border else 'f'}\n"
        )
    return Lines(lines, sensitive, cross_border)


def _transfer(record: Record) -> str:
    return _json(record.transfer).decode().translate(_COPY_ESCAPES)


def _as_is(text: str) -> str:
    return text


def _escape(text: str) -> str:
    return text.translate(_COPY_ESCAPES)


def _plain_array(items: list[str]) -> str:
    return '{"' + '","'.join(items) + '"}' if items else "{}"


def _escaped_array(items: list[str]) -> str:
    quoted = ('"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' for item in items)
    return ("{" + ",".join(quoted) + "}").translate(_COPY_ESCAPES)
