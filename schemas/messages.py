"""What scan.records.v1 carries besides records: a scan opened, closed, cancelled; and the envelope of every message."""

import datetime as dt
import re
import uuid
from collections.abc import Sequence
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from schemas import topics
from schemas.dead_letters import DeadLetterId
from schemas.record import CLOCK_TOLERANCE, EARLIEST
from schemas.text import TextRefused, normalise

Language = Literal["vi", "en"]
Header = tuple[str, bytes | None]
_TENANT: Final = re.compile(topics.TENANT_ID_PATTERN)
_INDEX: Final = re.compile(rb"[0-9]{1,10}")
_MENDS: Final = re.compile(rb"(?:[0-9]{1,10}|r[1-9][0-9]{0,17})(?:,(?:[0-9]{1,10}|r[1-9][0-9]{0,17})){0,999}")
_UUID: Final = re.compile(
    rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)  # uuid.UUID also takes 0x.. and braces


class Opened(msgspec.Struct, omit_defaults=True):
    """Scan metadata. Every field may be missing: a direct publisher need not open a scan at all."""

    source: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    records_total: Annotated[int, msgspec.Meta(ge=0, le=2_000_000_000)] | None = None  # expected; `closed` decides
    language: Language = "vi"
    notify: Annotated[str, msgspec.Meta(max_length=300)] | None = None  # where the sender wants to be told
    request_digest: Annotated[str, msgspec.Meta(max_length=64)] | None = None  # SHA-256 of the request, hex
    submitted_at: Annotated[dt.datetime, msgspec.Meta(tz=True)] | None = None


class Closed(msgspec.Struct, omit_defaults=True):
    """No more records follow; `records_total` is how many there are."""

    records_total: Annotated[int, msgspec.Meta(ge=0, le=2_000_000_000)]
    request_digest: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Cancelled(msgspec.Struct, omit_defaults=True):
    """Why the scan ends before its time; `reason` is a code of CANCEL_REASONS, or the publisher's own word."""

    reason: Annotated[str, msgspec.Meta(max_length=100)] = "by_request"


class Envelope(NamedTuple):
    """Who and what a message is about, from its key and headers."""

    type: str
    tenant_id: str
    scan_id: str  # canonical lower-case UUID
    first_index: int | None
    letter: DeadLetterId | None = None  # the dead letter that it was, where it was sent again
    mends: tuple[int, ...] = ()  # of each mended record: its index within the scan, or minus the id of its rejection


class MessageRefused(ValueError):
    """The message as a whole cannot be read; `code` is of schemas.errors.MESSAGE_ERRORS."""

    def __init__(self, code: str, **params: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


class ProcessingFailed(MessageRefused):
    """Our own code failed on this message; what it raised is the cause. Whoever mends it can send the message again."""

    def __init__(self) -> None:
        super().__init__("processing_failed")


def is_tenant_id(text: str) -> bool:
    """1 to 64 lower-case letters, digits, dots, dashes, underscores."""
    return _TENANT.fullmatch(text) is not None


_known_tenants: dict[bytes, str] = {}
_known_scans: dict[bytes, str] = {}


def _remember(cache: dict[bytes, str], raw: bytes, text: str) -> str:
    if len(cache) > 50_000:  # bounded: a flood of ids must not fill the memory
        cache.clear()
    cache[raw] = text
    return text


def tenant_of(key: bytes | None) -> str | None:
    """Whose a message is, whatever else is wrong with it: its key says so. None where the key is no tenant id."""
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError:
        return None
    return text if is_tenant_id(text) else None


def _tenant(key: bytes | None) -> str:
    text = tenant_of(key)
    if text is None:
        raise MessageRefused("tenant_invalid")
    return _remember(_known_tenants, key or b"", text)


def _scan(subject: bytes | None) -> str:
    if not _UUID.fullmatch(subject or b""):
        raise MessageRefused("scan_id_invalid")
    return _remember(_known_scans, subject or b"", (subject or b"").decode().lower())


def read_mends(text: bytes | None) -> tuple[int, ...]:
    """Which rejections the records of a message take the place of: `17,4,r1203` in the order of the records.

    A number is the record's index within the scan; where it never had one, `r` and the id of its rejection. Returned as in
    Envelope. Raises MessageRefused.
    """
    if not _MENDS.fullmatch(text or b""):
        raise MessageRefused("mends_invalid")
    found = tuple(-int(part[1:]) if part[:1] == b"r" else int(part) for part in (text or b"").split(b","))
    if len(found) > topics.MAX_RECORDS_PER_MESSAGE or max(found) > 2_000_000_000:
        raise MessageRefused("mends_invalid")
    return found


def write_mends(mends: Sequence[int]) -> bytes:
    """What read_mends reads."""
    return ",".join(str(each) if each >= 0 else f"r{-each}" for each in mends).encode()


def read_envelope(key: bytes | None, headers: Sequence[Header]) -> Envelope:
    """The envelope of a message. Only ce_type and ce_subject are required. Raises MessageRefused."""
    kind = subject = first_index = letter = mends = None
    for name, value in headers:
        if name == topics.HEADER_TYPE:
            kind = value
        elif name == topics.HEADER_SUBJECT:
            subject = value
        elif name == topics.HEADER_FIRST_INDEX:
            first_index = value
        elif name == topics.RETRY_LETTER:
            letter = value
        elif name == topics.HEADER_MENDS:
            mends = value
    kind_text = kind.decode("ascii", "replace") if kind else ""
    if kind_text not in topics.MESSAGE_TYPES:
        raise MessageRefused("type_unknown")
    index = None
    if first_index is not None:
        if not _INDEX.fullmatch(first_index) or int(first_index) > 2_000_000_000:
            raise MessageRefused("first_index_invalid")
        index = int(first_index)
    tenant_id = _known_tenants.get(key or b"") or _tenant(key)
    scan_id = _known_scans.get(subject or b"") or _scan(subject)
    mended = read_mends(mends) if kind_text == topics.MENDED else ()
    return Envelope(kind_text, tenant_id, scan_id, index, DeadLetterId.of_header(letter) if letter else None, mended)


def headers_for(
    kind: str,
    scan_id: str,
    *,
    first_index: int | None = None,
    mends: Sequence[int] = (),
    source: str = "/scanline",
    traceparent: str | None = None,
) -> list[tuple[str, bytes]]:
    """Headers of a message (CloudEvents 1.0, Kafka binary content mode)."""
    headers = [
        (topics.HEADER_SPEC_VERSION, b"1.0"),
        (topics.HEADER_TYPE, kind.encode()),
        (topics.HEADER_SUBJECT, scan_id.encode()),
        (topics.HEADER_SOURCE, source.encode()),
        (topics.HEADER_ID, str(uuid.uuid4()).encode()),
    ]
    if kind in (topics.RECORDS, topics.MENDED):
        headers.append(("content-type", b"application/json"))
    if first_index is not None:
        headers.append((topics.HEADER_FIRST_INDEX, str(first_index).encode()))
    if mends:
        headers.append((topics.HEADER_MENDS, write_mends(mends)))
    if traceparent:
        headers.append((topics.HEADER_TRACEPARENT, traceparent.encode("ascii", "ignore")))
    return headers


def _plausible(time: dt.datetime, now: dt.datetime) -> bool:
    return EARLIEST <= time <= now + CLOCK_TOLERANCE


_CONTROL_TYPES: Final[dict[str, type[Opened | Closed | Cancelled]]] = {
    topics.OPENED: Opened,
    topics.CLOSED: Closed,
    topics.CANCELLED: Cancelled,
}


def read_control(kind: str, value: bytes | None, now: dt.datetime | None = None) -> Opened | Closed | Cancelled:
    """The body of an opened, closed or cancelled message; an empty one is all defaults. `now` is when it came in, where that
    is known. Raises MessageRefused."""
    try:
        control: Opened | Closed | Cancelled = msgspec.json.decode(value or b"{}", type=_CONTROL_TYPES[kind])
        for name in control.__struct_fields__:
            text = getattr(control, name)
            if isinstance(text, str):
                setattr(control, name, normalise(text))
        if isinstance(control, Opened) and control.submitted_at is not None:
            if _plausible(control.submitted_at, now or dt.datetime.now(dt.UTC)):
                # not every offset that is decoded is one that PostgreSQL takes
                control.submitted_at = control.submitted_at.astimezone(dt.UTC)
            else:
                control.submitted_at = None  # a clock gone astray is no reason to lose a scan
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TextRefused):
        raise MessageRefused("message_unreadable") from None
    return control
