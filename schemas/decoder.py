"""One Kafka message to what the sink takes. Pure: values in, values out."""

import datetime as dt
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Final, NamedTuple, ParamSpec, Protocol, TypeVar

import msgspec

from schemas import topics
from schemas.attributes import attributes_are_right
from schemas.errors import FieldError
from schemas.exception_summary import is_of_the_machine
from schemas.field_checks import offset_is_right
from schemas.format_mistakes import without_bom
from schemas.messages import (
    Cancelled,
    Closed,
    Envelope,
    Header,
    MessageRefused,
    Opened,
    ProcessingFailed,
    read_control,
    read_envelope,
)
from schemas.raw_records import is_array, split_records
from schemas.record import CLOCK_TOLERANCE, EARLIEST, Record, decode_record, decode_records
from schemas.text import is_plain
from schemas.validation import examine, text_is_clean

Given = ParamSpec("Given")
Read = TypeVar("Read")
_BY_THE_BROKER: Final = 1  # timestamp_type of a message that the broker stamped (LogAppendTime)


class Message(Protocol):
    """What is read of a consumed record (aiokafka's ConsumerRecord has it); nothing here writes to one."""

    @property
    def offset(self) -> int: ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...

    @property
    def headers(self) -> Sequence[Header]: ...

    @property
    def timestamp(self) -> int: ...


class Rejected(NamedTuple):
    """A record that is not stored, why, and its bytes as they came. `position` counts from 0 within its message."""

    position: int
    errors: tuple[FieldError, ...]
    activity_key: str | None
    original: bytes


class Incoming(NamedTuple):
    """One message, read. A message that could not be read as a whole has `unreadable` set and holds nothing."""

    offset: int
    envelope: Envelope
    records: Sequence[Record] = ()
    positions: Sequence[int] = ()  # of each of `records` within the message, from 0
    rejected: Sequence[Rejected] = ()
    control: Opened | Closed | Cancelled | None = None
    plain: bool = False  # no text in it can need escaping (schemas.text.is_plain)
    unreadable: bool = False
    bytes: int = 0
    received_at: dt.datetime | None = None  # by the broker's clock, where the broker stamps messages; of the earliest

    @property
    def record_count(self) -> int:
        """Records in the message, good and bad."""
        return len(self.records) + len(self.rejected)

    def index_of(self, position: int) -> int | None:
        """Zero-based index within the scan of the record at `position`, where it is known."""
        if self.envelope.mends:
            mended = self.envelope.mends[position]
            return mended if mended >= 0 else None
        first = self.envelope.first_index
        return None if first is None else first + position


def received_at(message: Message) -> dt.datetime | None:
    """When the broker took the message; None where the stamp is the publisher's own."""
    if getattr(message, "timestamp_type", 0) != _BY_THE_BROKER:
        return None
    try:
        return dt.datetime.fromtimestamp(message.timestamp / 1000, dt.UTC)
    except (ValueError, OverflowError, OSError):  # no time that a calendar knows
        return None


def _refusing(read: Callable[Given, Read]) -> Callable[Given, Read]:
    """The same reader, which raises nothing but MessageRefused, as long as the machine is well: what our own code fails on is
    put aside like what a publisher got wrong, and stops nobody else."""

    @wraps(read)
    def reading(*args: Given.args, **kwargs: Given.kwargs) -> Read:
        try:
            return read(*args, **kwargs)
        except MessageRefused:
            raise
        except Exception as error:
            if is_of_the_machine(error):
                raise
            raise ProcessingFailed from error

    return reading


@_refusing
def envelope_of(message: Message) -> Envelope:
    """Who and what a message is about. Raises MessageRefused."""
    return read_envelope(message.key, message.headers)


@_refusing
def decode(message: Message, envelope: Envelope, now: dt.datetime) -> Incoming:
    """Reads a message whose envelope was read (envelope_of). Raises MessageRefused where it cannot be read as a whole; single
    bad records are in `rejected`."""
    value = without_bom(message.value) if message.value else None
    if envelope.type not in (topics.RECORDS, topics.MENDED):
        control = read_control(envelope.type, value, now)
        return Incoming(message.offset, envelope, control=control, bytes=len(value or b""))
    if not value:
        raise MessageRefused("message_unreadable")
    if len(value) > topics.MAX_MESSAGE_BYTES:
        raise MessageRefused("message_too_large", max_bytes=topics.MAX_MESSAGE_BYTES)
    incoming = _read_records(message.offset, envelope, value, now)
    if envelope.type == topics.MENDED:
        if incoming.record_count != len(envelope.mends):
            raise MessageRefused("mends_invalid")
        incoming = incoming._replace(plain=False)  # the plain way knows numbers in a row only
    return incoming


def _read_records(offset: int, envelope: Envelope, value: bytes, now: dt.datetime) -> Incoming:
    plain = is_plain(value)
    try:
        records = decode_records(value) if is_array(value) else [decode_record(value)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _examine_all(offset, envelope, _split(value), value, now)
    if len(records) > topics.MAX_RECORDS_PER_MESSAGE:
        raise MessageRefused("message_too_many_records", max=topics.MAX_RECORDS_PER_MESSAGE)
    latest = now + CLOCK_TOLERANCE
    if not acceptable(records, plain, latest):
        return _examine_all(offset, envelope, _split(value), value, now)
    return Incoming(offset, envelope, records, range(len(records)), plain=plain, bytes=len(value))


def acceptable(records: Sequence[Record], plain: bool, latest: dt.datetime) -> bool:
    """True when no decoded record needs a second look. Checks what the typed decode cannot.

    No offset is a whole day, so two days that lie apart tell the order of two instants without converting either.
    """
    zones: set[dt.tzinfo | None] = set()
    first_day, last_day = EARLIEST.toordinal() + 1, latest.toordinal() - 1
    for record in records:
        found = record.discovered_at
        if not first_day < found.toordinal() < last_day and not EARLIEST <= found <= latest:
            return False
        if found.tzinfo not in zones:  # few differ, and asking each for its offset takes ten times as long
            if not offset_is_right(found):
                return False
            zones.add(found.tzinfo)
    if not attributes_are_right([bytes(record.attributes) for record in records]):
        return False
    return plain or all(map(text_is_clean, records))


def _split(value: bytes) -> list[bytes]:
    """The bytes of each record. Raises MessageRefused where there is no JSON to split."""
    try:
        parts = split_records(value)
    except ValueError:
        raise MessageRefused("message_unreadable") from None
    if len(parts) > topics.MAX_RECORDS_PER_MESSAGE:
        raise MessageRefused("message_too_many_records", max=topics.MAX_RECORDS_PER_MESSAGE)
    return parts


def _examine_all(offset: int, envelope: Envelope, parts: list[bytes], value: bytes, now: dt.datetime) -> Incoming:
    """Record by record."""
    records: list[Record] = []
    positions: list[int] = []
    rejected: list[Rejected] = []
    for position, part in enumerate(parts):
        outcome = read_record(position, part, now)
        if isinstance(outcome, Rejected):
            rejected.append(outcome)
        else:
            records.append(outcome)
            positions.append(position)
    # examine() may have mended texts: they are clean now, but whether they need escaping is no longer known
    return Incoming(offset, envelope, records, positions, rejected, plain=False, bytes=len(value))


def read_record(position: int, part: bytes, now: dt.datetime) -> Record | Rejected:
    """One record of a message: what is right goes the fast way still, what is not is examined for every error."""
    record = _try_fast(part, now + CLOCK_TOLERANCE)
    if record is not None:
        return record
    outcome = examine(part, now)
    if outcome.record is not None:
        return outcome.record
    return Rejected(position, outcome.errors, outcome.activity_key, outcome.original)


def _try_fast(part: bytes, latest: dt.datetime) -> Record | None:
    try:
        record = decode_record(part)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return record if acceptable([record], is_plain(part), latest) else None


def whose(message: Message, envelope: Envelope | None = None) -> Envelope | None:
    """The scan that an unreadable message belongs to, as far as its envelope can be read: all that is known of it. `envelope`
    is the message's own, where that could be read."""
    try:
        return _owning_envelope(message) if envelope is None else _ownership(envelope)
    except MessageRefused:
        return None


@_refusing
def _owning_envelope(message: Message) -> Envelope:
    headers = [header for header in message.headers if header[0] in (topics.HEADER_SUBJECT, topics.RETRY_LETTER)]
    return read_envelope(message.key, [(topics.HEADER_TYPE, topics.RECORDS.encode()), *headers])


def _ownership(envelope: Envelope) -> Envelope:
    return Envelope(topics.RECORDS, envelope.tenant_id, envelope.scan_id, None, envelope.letter)
