"""Rows of PostgreSQL as the JSON that is answered.

Whatever is stored can be answered: JSON is passed on as the text that PostgreSQL writes, never decoded, so that no digit
is lost; and what an older version stored that no client could read is left out, and said to be.
"""

import base64
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Text, case, cast, func
from sqlalchemy.dialects.postgresql import JSONB

from producer_api.http.answers import Reason, RejectedRecord
from schemas.attributes import is_readable
from schemas.errors import FieldError
from schemas.record import MAX_DEPTH
from schemas.tables import processing_activities, rejected_records, tenant_day_counts

# Of attributes, as PostgreSQL writes them. What is accepted has at most 4 KiB, and 6 with PostgreSQL's spaces.
_SHOWN_BYTES: Final = 64 * 1024
_SHOWN_ERRORS: Final = 50  # of one record; what is accepted has fewer
_encode: Final = msgspec.json.Encoder().encode
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")  # they stand between JSON's tokens; a line of NDJSON has none
_check_json: Final = msgspec.json.Decoder(msgspec.Raw).decode
_read_errors: Final = msgspec.json.Decoder(list[FieldError]).decode


def _text(column: Any, most_bytes: int) -> Any:
    """jsonb as text; NULL where it is longer: a number of a few bytes may be written as 131,072 digits."""
    text = cast(column, Text)
    return case((func.octet_length(text) <= most_bytes, text)).label(column.name)


_activities: Final = processing_activities.c
ACTIVITY_COLUMNS: Final = tuple(
    _text(column, _SHOWN_BYTES) if isinstance(column.type, JSONB) else column for column in _activities
)
_JSON_NAMES: Final = tuple(column.name for column in _activities if isinstance(column.type, JSONB))
_rejected: Final = rejected_records.c
REJECTED_COLUMNS: Final = (
    *(_rejected[name] for name in ("id", "record_index", "activity_key", "code", "pointer", "original", "rejected_at")),
    cast(func.jsonb_path_query_array(_rejected.errors, f"$[0 to {_SHOWN_ERRORS - 1}]"), Text).label("errors"),
)


_day_counts: Final = tenant_day_counts.c
DAILY_COUNT_SUMS: Final = tuple(
    cast(func.sum(column), BigInteger).label(column.name)
    for column in (_day_counts.stored, _day_counts.sensitive, _day_counts.cross_border)
)


def activity(row: Any) -> bytes:
    """A processing activity. Its `attributes` are null, with `attributes_left_out`, where no client could read them."""
    fields = dict(row._mapping)
    for name in _JSON_NAMES:
        if fields[name] is not None:
            fields[name] = msgspec.Raw(fields[name].encode())
    attributes = (row.attributes or "").encode()
    if not attributes or not is_readable(attributes, MAX_DEPTH):
        fields |= {"attributes": None, "attributes_left_out": True}
    return _encode(fields)


def daily_count(row: Any) -> bytes:
    """The counts of a day and category."""
    return _encode(dict(row._mapping))


def rejected(row: Any) -> bytes:
    """A rejected record as it is shown: why, and the record itself, ready to be mended and sent again."""
    errors = _errors(row)
    record, in_base64 = _original(bytes(row.original))
    return _encode(
        RejectedRecord(
            row.id,
            row.record_index,
            row.activity_key,
            row.code,
            row.pointer,
            errors[0].messages_for(row.record_index),
            [Reason(each.code, each.pointer, each.messages) for each in errors],
            record,
            row.rejected_at,
            in_base64,
        )
    )


def _errors(row: Any) -> list[FieldError]:
    try:
        found = _read_errors(row.errors)
    except msgspec.MsgspecError:
        found = []
    return found or [FieldError(row.code, row.pointer)]


def _original(value: bytes) -> tuple[msgspec.Raw, str | msgspec.UnsetType]:
    """The record as JSON where it is JSON that a client can read, else its bytes in Base64 (RFC 4648)."""
    try:
        value.decode()
        if is_readable(value, MAX_DEPTH + 1):
            _check_json(value)
            return msgspec.Raw(value.translate(_LINE_ENDS)), msgspec.UNSET
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    return msgspec.Raw(b"null"), base64.b64encode(value).decode()
