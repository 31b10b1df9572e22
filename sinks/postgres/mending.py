"""Rejected records that come again, mended: each takes the place of its rejection, at most once (docs/kafka-contract.md).

Called under the lock of the scan's row, so that two mends of one record meet one after the other: the first takes the rejection
away, the second finds none and does nothing. A message that is read again finds none either.
"""

from typing import Any, Final

from schemas.errors import FieldError
from schemas.status import ERRORS_SAMPLE, ErrorSample, error_sample
from sinks.postgres.rows import Lines
from sinks.protocol import Incoming

_OPEN: Final = """
SELECT id, record_index FROM rejected_records
WHERE tenant_id = %(tenant)s AND scan_id = %(scan)s
  AND (record_index = ANY (%(indexes)s::int[]) OR id = ANY (%(ids)s::bigint[]) AND record_index IS NULL)
ORDER BY id DESC
"""
# Moves them to mended_records. The right to delete is the function's alone (migration 0005).
_TAKE: Final = "SELECT take_rejections('rejected_records', %(ids)s::bigint[], %(partition)s, %(offset)s)"
_FIRST: Final = """
SELECT record_index, activity_key, errors->0 FROM rejected_records
WHERE tenant_id = %s AND scan_id = %s ORDER BY id LIMIT %s
"""


def take_rejections(cursor: Any, partition: int, message: Incoming) -> set[int]:
    """Positions of the records in `message` whose rejection stood open; it stands open no more."""
    mends = message.envelope.mends
    place = {"tenant": message.envelope.tenant_id, "scan": message.envelope.scan_id}
    cursor.execute(_OPEN, {**place, "indexes": [m for m in mends if m >= 0], "ids": [-m for m in mends if m < 0]})
    # of several under one index the one that was rejected first
    rejections = {(-number if index is None else index): number for number, index in cursor.fetchall()}
    taken = {rejections.pop(mend): position for position, mend in enumerate(mends) if mend in rejections}
    if taken:
        cursor.execute(_TAKE, {"ids": list(taken), "partition": partition, "offset": message.offset})
    return set(taken.values())


def only(positions: set[int], message: Incoming, lines: Lines) -> tuple[Incoming, Lines]:
    """The message and its rows, without the records at other positions."""
    kept = [at for at, position in enumerate(message.positions) if position in positions]
    records = [message.records[at] for at in kept]
    return message._replace(
        records=records,
        positions=[message.positions[at] for at in kept],
        rejected=[each for each in message.rejected if each.position in positions],
    ), Lines(
        [lines.lines[at] for at in kept],
        sum(record.sensitive for record in records),
        sum(record.cross_border for record in records),
    )


def first_errors(cursor: Any, tenant_id: str, scan_id: str) -> list[ErrorSample]:
    """The first rejections that stand open, as the status shows them."""
    cursor.execute(_FIRST, (tenant_id, scan_id, ERRORS_SAMPLE))
    return [error_sample(index, key, FieldError(**error)) for index, key, error in cursor.fetchall()]
