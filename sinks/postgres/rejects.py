"""Rows of rejected_records: every refused record with its reasons and its bytes as they came."""

from collections.abc import Sequence
from typing import Final

import msgspec

from schemas.decoder import Incoming, Rejected
from schemas.errors import FieldError
from schemas.status import ERRORS_SAMPLE, ErrorSample, error_sample
from sinks.postgres.calls import TimedCursor
from sinks.postgres.large_values import GATHERED, send_in_pieces

Reject = tuple[Incoming, Rejected]
_json: Final = msgspec.json.Encoder().encode
_ROW_BYTES: Final = 600  # of the statement, beside the original
_PER_BYTE: Final = 2  # an original is written in hexadecimal digits

_REJECTS: Final = """
INSERT INTO rejected_records (tenant_id, scan_id, record_index, activity_key, code, pointer, errors, original,
                              kafka_partition, kafka_offset)
SELECT t, s, i, k, c, p, e::jsonb, {original}, %(partition)s, f
FROM unnest(%(tenants)s::text[], %(scans)s::uuid[], %(indexes)s::int[], %(keys)s::text[], %(codes)s::text[],
            %(pointers)s::text[], %(errors)s::text[], %(originals)s::bytea[], %(offsets)s::bigint[])
     AS r (t, s, i, k, c, p, e, o, f)
"""
_WHOLE: Final = _REJECTS.format(original="o")
_GATHERED: Final = _REJECTS.format(original=f"decode({GATHERED}, 'hex')")
_FIRST: Final = """
SELECT record_index, activity_key, errors->0 FROM rejected_records
WHERE tenant_id = %s AND scan_id = %s ORDER BY id LIMIT %s
"""


def insert_rejects(cursor: TimedCursor, partition: int, rejects: Sequence[Reject]) -> None:
    """All of them, in order."""
    for part in cursor.parts.cut(rejects, _size_of):
        limit = cursor.parts.limit
        if limit is not None and _size_of(part[0]) > limit:
            _insert_in_pieces(cursor, partition, part[0])
        else:
            cursor.execute(_WHOLE, _columns(partition, part))


def _size_of(reject: Reject) -> int:
    return _ROW_BYTES + _PER_BYTE * len(reject[1].original)


def _insert_in_pieces(cursor: TimedCursor, partition: int, reject: Reject) -> None:
    """One whose original does not fit into a statement: it may be as large as a message."""
    message, rejected = reject
    send_in_pieces(cursor, rejected.original.hex())
    cursor.execute(_GATHERED, _columns(partition, [(message, rejected._replace(original=b""))]))


def _columns(partition: int, rejects: Sequence[Reject]) -> dict[str, object]:
    """Parameters of the INSERT, a list per column."""
    return {
        "partition": partition,
        "tenants": [message.envelope.tenant_id for message, _ in rejects],
        "scans": [message.envelope.scan_id for message, _ in rejects],
        "indexes": [message.index_of(rejected.position) for message, rejected in rejects],
        "keys": [rejected.activity_key for _, rejected in rejects],
        "codes": [rejected.errors[0].code for _, rejected in rejects],
        "pointers": [rejected.errors[0].pointer for _, rejected in rejects],
        "errors": [_json(rejected.errors).decode() for _, rejected in rejects],
        "originals": [rejected.original for _, rejected in rejects],
        "offsets": [message.offset for message, _ in rejects],
    }


def first_errors(cursor: TimedCursor, tenant_id: str, scan_id: str) -> list[ErrorSample]:
    """The first rejections of a scan that stand open, as its status shows them."""
    cursor.execute(_FIRST, (tenant_id, scan_id, ERRORS_SAMPLE))
    return [error_sample(index, key, FieldError(**error)) for index, key, error in cursor.fetchall()]
