"""Records that a replay could not handle: each is named and left out, and the others go on."""

from typing import Any, Final, NamedTuple

from sinks.local.rows import Row

_NAMED: Final = 100


class Named(NamedTuple):
    """Which record, and the kind of error; never its text, which may hold a value."""

    tenant_id: str
    scan_id: str
    activity_key: str
    record_index: int | None
    reason: str


class PassedOver:
    """All are counted, the first are named."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[Named] = []

    def add(self, tenant_id: str, scan_id: str, activity_key: str, index: int | None, error: Exception) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < _NAMED:
            self.first.append(Named(tenant_id, scan_id, activity_key, index, type(error).__name__))

    def add_row(self, row: Row, error: Exception) -> None:
        """One more, of which the row is there."""
        self.add(row.tenant_id, row.scan_id, row.activity_key, row.record_index, error)

    def as_json(self) -> dict[str, Any]:
        """For people and programs."""
        return {"count": self.count, "first": [each._asdict() for each in self.first]}
