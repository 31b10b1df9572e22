"""Records, and whole messages, that a replay could not handle: each is named and left out, and the others go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from schemas.exception_summary import kind_of
from schemas.messages import Envelope
from sinks.files.rows import Row

_NAMED: Final = 100


class SkippedRecord(NamedTuple):
    """A record that was skipped, and the kind of error; never its text, which may hold a value. Of a message as a whole
    there is no activity_key; tenant and scan are there where it could be read whose it is."""

    tenant_id: str | None
    scan_id: str | None
    activity_key: str | None
    record_index: int | None
    reason: str
    message: str | None = None  # partition:offset


class SkippedRecords:
    """The records and messages that were skipped: all are counted, the first are named."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[SkippedRecord] = []

    def add(self, tenant_id: str, scan_id: str, activity_key: str, index: int | None, error: Exception) -> None:
        """One more."""
        self._add(SkippedRecord(tenant_id, scan_id, activity_key, index, kind_of(error)))

    def add_row(self, row: Row, error: Exception) -> None:
        """One more, of which the row is there."""
        self.add(row.tenant_id, row.scan_id, row.activity_key, row.record_index, error)

    def add_message(self, partition: int, offset: int, envelope: Envelope | None, reason: str) -> None:
        """A message as a whole."""
        tenant_id, scan_id = (None, None) if envelope is None else (envelope.tenant_id, envelope.scan_id)
        self._add(SkippedRecord(tenant_id, scan_id, None, None, reason, f"{partition}:{offset}"))

    def _add(self, named: SkippedRecord) -> None:
        self.count += 1
        if len(self.first) < _NAMED:
            self.first.append(named)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Forgets what the block adds where it raises: it will be tried again."""
        count, named = self.count, len(self.first)
        try:
            yield
        except BaseException:
            self.count = count
            del self.first[named:]
            raise

    def as_json(self) -> dict[str, Any]:
        """The count and the names, as JSON."""
        return {"count": self.count, "first": [each._asdict() for each in self.first]}
