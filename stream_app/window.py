"""When a micro-batch is full (design, section 1). Pure."""

from typing import NamedTuple

from sinks.base import Incoming, MicroBatch


class Limits(NamedTuple):
    """Of one micro-batch: records, bytes of message values, records of any one scan."""

    rows: int = 5_000
    bytes: int = 8 * 1024 * 1024
    scan_rows: int = 1_000


class Window:
    """Collects whole messages, in order, until one does not fit. An empty window takes any message."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_scan: dict[tuple[str, str], int] = {}
        self.messages: list[Incoming] = []
        self.rows = 0
        self.bytes = 0

    @property
    def full(self) -> bool:
        """True when nothing more fits for sure."""
        return self.rows >= self._limits.rows or self.bytes >= self._limits.bytes

    def offer(self, message: Incoming) -> bool:
        """Takes the message, or says False: it begins the next micro-batch."""
        scan = (message.envelope.tenant_id, message.envelope.scan_id)
        rows_of_scan = self._by_scan.get(scan, 0) + message.count
        if self.messages and (
            self.rows + message.count > self._limits.rows
            or self.bytes + message.bytes > self._limits.bytes
            or (message.count and rows_of_scan > self._limits.scan_rows)
        ):
            return False
        self._by_scan[scan] = rows_of_scan
        self.messages.append(message)
        self.rows += message.count
        self.bytes += message.bytes
        return True

    def close(self, topic: str, partition: int, start: int, end: int) -> MicroBatch:
        """The micro-batch of the offsets [start, end)."""
        return MicroBatch(topic, partition, start, end, self.messages)
