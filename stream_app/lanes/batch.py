"""A micro-batch in the making: which messages it takes, and what they say. Pure but for metrics."""

import datetime as dt
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from kafka_client.bounded_fetch.record_batches import Oversized
from schemas.decoder import Incoming, Message, acceptable, decode, envelope_of, received_at, whose
from schemas.exception_summary import described, is_of_the_machine
from schemas.messages import Envelope, MessageRefused, ProcessingFailed
from schemas.record import CLOCK_TOLERANCE, Record, decode_record
from schemas.text import is_plain
from schemas.topics import MAX_MESSAGE_BYTES, RECORDS
from sinks.protocol import RecordReader
from stream_app import metrics

log = logging.getLogger("scanline.lane")
Read = TypeVar("Read")
DeadMessage = tuple[Message, str]  # a message for the dead-letter topic, and why
_stamp: Final = attrgetter("timestamp")
_OBJECT: Final = ord("{")


class _Single(NamedTuple):
    """Single records of one publisher: their envelope, its (tenant_id, scan_id), and those taken so far."""

    envelope: Envelope
    scan: tuple[str, str]
    gathered: list[Message]


class Limits(NamedTuple):
    """The limits of one micro-batch: records, bytes of message values, records of any one scan."""

    rows: int = 5_000
    bytes: int = 8 * 1024 * 1024
    scan_rows: int = 1_000


class Builder:
    """Takes whole messages, in order, until one does not fit; an empty micro-batch takes any message.

    Single records without a number are what direct publishers send most. Those of one scan are gathered and read
    together: their order among each other is kept, and nothing else about them differs.

    What lies in the future is judged by the time the broker took the message, so that reading it again, a second or a
    week later, comes to the same verdict. Where brokers do not stamp messages, the clock decides."""

    def __init__(
        self,
        limits: Limits,
        now: dt.datetime,
        known: Incoming | None = None,
        aside: Mapping[int, bool] = MappingProxyType({}),
        reader: RecordReader | None = None,
    ) -> None:
        """`known` is a message already decoded, left over by the builder before. `aside`: offsets of messages that are
        not read but put aside, and whether their scans are to count them. `reader` is the sink's, where it has one."""
        self._limits = limits
        self._now = now
        self._known = known
        self._aside = aside
        self._reader = reader
        self.failures: dict[
            int, str
        ] = {}  # offset of a message that our own code failed on: what was raised, and where
        self._messages: list[Incoming] = []
        self._singles: dict[Envelope, list[Message]] = {}
        self._seen: dict[tuple[Any, ...], _Single] = {}  # by key and headers: one lookup instead of reading them again
        self._rows_of: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._letters: list[DeadMessage] = []
        self._types: Counter[str] = Counter()
        self._empty = True
        self._closed = False
        self.rows = 0
        self.bytes = 0
        self.left_over: Incoming | None = None

    def offer(self, message: Message) -> bool:
        """Takes the message, or says False: it begins the next micro-batch."""
        value = message.value
        size = len(value) if value else 0
        if self._closed:
            return False
        if message.offset in self._aside:
            self._dead(message, ProcessingFailed())
            return True
        look = (message.key, *message.headers)
        single = self._seen.get(look)
        if single is None:
            try:
                envelope = envelope_of(message)
            except MessageRefused as refused:
                self._dead(message, refused)
                return True
            if envelope.first_index is not None or envelope.type != RECORDS:
                return self._take_whole(message, envelope, size)
            single = _Single(envelope, envelope[1:3], self._singles.setdefault(envelope, []))
            self._seen[look] = single
        if not value or value[0] != _OBJECT:
            return self._take_whole(message, single.envelope, size)
        if not self._fits(single.scan, 1, size):
            return False
        self._count(single.scan, 1, size)
        single.gathered.append(message)
        return True

    def _take_whole(self, message: Message, envelope: Envelope, size: int) -> bool:
        if self._known is not None and self._known.offset == message.offset:
            incoming = self._known
        else:
            try:
                incoming = self._decode(message, envelope)
            except MessageRefused as refused:
                self._dead(message, refused, envelope)
                return True
        scan = envelope[1:3]
        # Corrections make a micro-batch of their own: they may meet rejections, their own too, only as these are stored.
        mends = bool(envelope.mends)
        if not self._fits(scan, incoming.record_count, size) or (mends and not self._empty):
            self.left_over = incoming
            return False
        self._closed = mends
        self._count(scan, incoming.record_count, size)
        self._settle_singles(envelope)
        self._add(incoming)
        return True

    def _decode(self, message: Message, envelope: Envelope) -> Incoming:
        if isinstance(message, Oversized):
            raise MessageRefused(message.reason)
        at = received_at(message)
        now = at or self._now
        read = self._read_message(message, envelope, now)
        return (decode(message, envelope, now) if read is None else read)._replace(received_at=at)

    def _read_message(self, message: Message, envelope: Envelope, now: dt.datetime) -> Incoming | None:
        """The message by the sink's own reader; None: it is to be decoded."""
        value, reader = message.value, self._reader
        if reader is None or envelope.type != RECORDS or not value or len(value) > MAX_MESSAGE_BYTES:
            return None
        return self._trusting(lambda: reader.read_message(message.offset, envelope, value, now))

    def _trusting(self, read: Callable[[], Read]) -> Read | None:
        """What it returns; None where it raises what is its own fault. A reader that fails is no reason to put a message
        aside that can be decoded: it is not asked again for this micro-batch."""
        try:
            return read()
        except Exception as error:
            if is_of_the_machine(error):
                raise
            self._reader = None
            log.error("the sink's reader raised %s; what it would have read is decoded", described(error))
            return None

    def _fits(self, scan: tuple[str, str], count: int, size: int) -> bool:
        limits = self._limits
        return self._empty or (
            self.rows + count <= limits.rows
            and self.bytes + size <= limits.bytes
            and (not count or self._rows_of[scan] + count <= limits.scan_rows)
        )

    def _count(self, scan: tuple[str, str], count: int, size: int) -> None:
        self._empty = False
        self.rows += count
        self.bytes += size
        self._rows_of[scan] += count

    def _dead(self, message: Message, refused: MessageRefused, envelope: Envelope | None = None) -> None:
        """`envelope` is the message's, where that could be read."""
        self._empty = False
        self._letters.append((message, message.reason if isinstance(message, Oversized) else refused.code))
        self._types["unreadable"] += 1
        if refused.__cause__ is not None:
            self.failures[message.offset] = described(refused)
        owner = whose(message, envelope) if self._aside.get(message.offset, True) else None
        if owner is not None:
            self._messages.append(Incoming(message.offset, owner, unreadable=True, received_at=received_at(message)))

    def _add(self, incoming: Incoming) -> None:
        self._types[incoming.envelope.type.split(".")[-2]] += 1
        if incoming.control is None and not incoming.plain:
            metrics.CAREFUL.inc()
        self._messages.append(incoming)

    def _settle_singles(self, envelope: Envelope) -> None:
        """Adds the single records gathered of this scan before the message that is about to be added."""
        for gathered in [known for known in self._singles if known[1:3] == envelope[1:3]]:
            self._read_singles(gathered, self._singles.pop(gathered))
        self._seen.clear()

    def _read_singles(self, envelope: Envelope, gathered: list[Message]) -> None:
        if not gathered:
            return
        values = [message.value or b"" for message in gathered]
        latest = self._latest(gathered)
        reader = self._reader
        runs = None
        if reader is not None and max(map(len, values)) <= MAX_MESSAGE_BYTES:
            runs = self._trusting(lambda: reader.read_singles(envelope, values, latest))
        first = 0
        for count, records in runs or [(len(gathered), None)]:
            run, own = gathered[first : first + count], values[first : first + count]
            if records is None:
                self._decode_singles(envelope, run, own, latest)
            else:
                self._add_singles(envelope, run, own, records, plain=True)
            first += count

    def _latest(self, gathered: list[Message]) -> dt.datetime:
        """The strictest of their limits to the future: who fails it is judged by its own."""
        return (received_at(min(gathered, key=_stamp)) or self._now) + CLOCK_TOLERANCE

    def _decode_singles(
        self, envelope: Envelope, gathered: list[Message], values: list[bytes], latest: dt.datetime
    ) -> None:
        try:
            plain = is_plain(b"".join(values))
            records = [decode_record(value) for value in values]
            good = acceptable(records, plain, latest)
        except Exception as error:  # one by one it comes to light whose fault it is
            if is_of_the_machine(error):
                raise
            good = False
        if good and max(map(len, values)) <= MAX_MESSAGE_BYTES:
            self._add_singles(envelope, gathered, values, records, plain=plain)
            return
        for message in gathered:
            try:
                self._add(self._decode(message, envelope))
            except MessageRefused as refused:
                self._dead(message, refused, envelope)

    def _add_singles(
        self,
        envelope: Envelope,
        gathered: list[Message],
        values: list[bytes],
        records: Sequence[Record],
        *,
        plain: bool,
    ) -> None:
        """Adds messages of one record each as one. None of the records has a position among others."""
        self._types["records"] += len(records)
        if not plain:
            metrics.CAREFUL.inc(len(records))
        size = sum(map(len, values))
        at = received_at(min(gathered, key=_stamp))
        positions = range(len(records))
        self._messages.append(
            Incoming(gathered[0].offset, envelope, records, positions, plain=plain, bytes=size, received_at=at)
        )

    def finish(self) -> tuple[list[Incoming], list[DeadMessage]]:
        """Everything taken, in an order that keeps each scan's own, and the dead letters."""
        for envelope, gathered in self._singles.items():
            self._read_singles(envelope, gathered)
        self._singles = {}
        return self._messages, self._letters

    def count(self) -> None:
        """Adds what was taken to the metrics."""
        for kind, count in self._types.items():
            metrics.MESSAGES.labels(kind).inc(count)
        metrics.RECORDS.inc(self.rows)
        metrics.BYTES.inc(self.bytes)
