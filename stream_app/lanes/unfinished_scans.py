"""The statuses that are published for unfinished scans while their lane waits: the same counts, and that they wait."""

import datetime as dt
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from schemas import topics
from schemas.codes import FINAL_STATES
from schemas.decoder import Incoming, Message, decode, envelope_of, received_at
from schemas.messages import Cancelled, Closed, Envelope, MessageRefused, Opened
from schemas.status import Scan, ScanStatus, WaitReason, paused_status, status_of

Key = tuple[str, str]  # (tenant_id, scan_id)
MOST_SCANS: Final = 256  # of a lane: those it touched last


class UnfinishedScans:
    """The unfinished scans of a lane as they were published last, and those that its buffer opens. Bounded."""

    def __init__(self) -> None:
        self._last: OrderedDict[Key, ScanStatus] = OrderedDict()
        self._published: set[Key] = set()  # that they wait
        self._looked = -1  # offset of the last buffered message that was looked at
        self._fresh: dict[Key, Scan | None] = {}  # opened by buffered messages; None: cancelled as well

    def note_all(self, statuses: Iterable[ScanStatus]) -> None:
        """Remembers what the sink says of every unfinished scan of the lane. A scan that the sink does not name is
        another lane's by now (its tenant has moved), which may have ended it: it must not be published as waiting."""
        self._last.clear()
        self.note(statuses)

    def note(self, statuses: Iterable[ScanStatus]) -> None:
        """Remembers what the sink says of scans."""
        for status in statuses:
            key = status.tenant_id, status.scan_id
            self._last.pop(key, None)
            if status.status not in FINAL_STATES:
                self._last[key] = status
        while len(self._last) > MOST_SCANS:
            self._last.popitem(last=False)

    def waiting(self, in_hand: Sequence[Incoming], buffered: Sequence[Message], reason: WaitReason) -> list[ScanStatus]:
        """The statuses that are to be published now: each scan's once in a pause. `in_hand` comes before what is
        buffered."""
        for incoming in in_hand:
            if incoming.offset > self._looked:
                self._looked = incoming.offset
                self._heed(incoming.envelope, incoming.control)
        self._look_at(buffered)
        found = {**{key: status_of(scan) for key, scan in self._fresh.items() if scan is not None}, **self._last}
        new = [paused_status(status, reason) for key, status in found.items() if key not in self._published]
        self._published |= found.keys()
        return new

    def go_on(self) -> bool:
        """The pause is over. True where scans were published as waiting: they must be published again."""
        published = bool(self._published)
        self._published = set()
        self._looked = -1
        self._fresh = {}
        return published

    def _look_at(self, buffered: Sequence[Message]) -> None:
        for message in buffered:
            if message.offset <= self._looked:
                continue
            self._looked = message.offset
            try:
                envelope = envelope_of(message)
                if envelope.type not in (topics.OPENED, topics.CANCELLED):
                    continue
                self._heed(envelope, decode(message, envelope, received_at(message) or dt.datetime.now(dt.UTC)).control)
            except MessageRefused:
                continue

    def _heed(self, envelope: Envelope, control: Opened | Closed | Cancelled | None) -> None:
        """A scan that is opened, or cancelled, by a message that waits."""
        key = envelope.tenant_id, envelope.scan_id
        if key in self._last or (key not in self._fresh and len(self._fresh) >= MOST_SCANS):
            return
        if isinstance(control, Cancelled):
            self._fresh[key] = None
        elif isinstance(control, Opened) and self._fresh.setdefault(key, Scan(*key)) is not None:
            scan = self._fresh[key]
            assert scan is not None
            scan.take(control)
