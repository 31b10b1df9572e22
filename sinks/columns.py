"""A record as the values of its row, in the order of the table's columns: for whatever is written column by column."""

from operator import attrgetter
from typing import Any, Final

from sqlalchemy.types import TypeEngine

from schemas.decoder import Incoming
from schemas.tables import WRITTEN_COLUMNS

COLUMNS: Final = tuple(column.name for column in WRITTEN_COLUMNS)
# The first of them are the message's as much as the record's, and what a row is known by; a test holds the table to it.
KNOWN_BY: Final = ("tenant_id", "scan_id", "activity_key", "record_index")
_rest: Final = attrgetter(*COLUMNS[len(KNOWN_BY) :])


def positions_of(*kinds: type[TypeEngine[Any]]) -> tuple[int, ...]:
    """Where among COLUMNS those of these types stand."""
    return tuple(at for at, column in enumerate(WRITTEN_COLUMNS) if type(column.type) in kinds)


def values_of(message: Incoming, at: int) -> list[Any]:
    """The values, as the record has them, of the row that the message's accepted record number `at` becomes."""
    envelope, record = message.envelope, message.records[at]
    index = message.index_of(message.positions[at])
    return [envelope.tenant_id, envelope.scan_id, record.activity_key, index, *_rest(record)]
