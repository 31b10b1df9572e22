"""The model of what scan.records.v1 must lead to, message by message, worked out from the contract alone
(docs/kafka-contract.md).

A tenant's messages lie in one partition in one order, so there is one right end of a scan, however its messages were
cut into transactions."""

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from trials.checker.history import Fault, digest
from trials.checker.topics import Entry

_TYPES: Final = {f"vn.scanline.scan.{kind}.v1": kind for kind in ("opened", "records", "closed", "cancelled")}
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FINAL: Final = frozenset({"completed", "completed_with_errors", "failed", "cancelled"})
_MOST: Final = 1_000
_LARGEST: Final = 768 * 1024
_scan_json: Final = json.JSONDecoder().raw_decode
# Of a row or a record: what names it or is worked out from it. Everything else is content, whatever fields there are.
_NO_CONTENT: Final = frozenset(
    {"tenant_id", "scan_id", "scan", "activity_key", "record_index", "sensitive", "cross_border", "stored_at"}
)
Judge = Callable[[str], Fault | None]  # digest of a record -> why it must be rejected


class Element(NamedTuple):
    """A record of a message. `content` is of everything but its key and place; empty where it is no object."""

    digest: str
    key: str | None
    content: str
    sensitive: bool
    cross_border: bool


class Message(NamedTuple):
    """A message, read. `kind` is opened, records, closed, cancelled or unreadable; `body` of one that controls."""

    partition: int
    offset: int
    kind: str
    first: int | None
    elements: tuple[Element, ...]
    body: Mapping[str, Any]
    digest: str


def scan_of(entry: Entry) -> str | None:
    """Whose message it is; None for one without a scan."""
    subject = entry.headers.get("ce_subject", b"").decode("ascii", "replace").lower()
    return subject if _UUID.fullmatch(subject) else None


def read(entry: Entry) -> Message:
    """Reads a message of a tenant."""
    value = entry.value or b""
    place = (entry.partition, entry.offset)
    unreadable = Message(*place, "unreadable", None, (), {}, digest(value))
    kind = _TYPES.get(entry.headers.get("ce_type", b"").decode("ascii", "replace"))
    first = entry.headers.get("ce_firstindex")
    if kind is None or scan_of(entry) is None or (first is not None and not first.isdigit()):
        return unreadable
    try:
        if kind != "records":
            return Message(*place, kind, None, (), json.loads(value or b"{}"), digest(value))
        if len(value) > _LARGEST:
            return unreadable
        elements = tuple(_elements(value.decode()))
    except ValueError:
        return unreadable
    if len(elements) > _MOST:
        return unreadable
    return Message(*place, kind, None if first is None else int(first), elements, {}, digest(value))


def _elements(text: str) -> Iterable[Element]:
    """Each record with its own bytes. Raises ValueError where the JSON is broken."""
    if not text.startswith("["):
        record, end = _scan_json(text)
        if end != len(text) or not isinstance(record, dict):
            raise ValueError("neither an object nor an array")
        yield _element(record, text)
        return
    at = 1
    while at < len(text) - 1:
        record, end = _scan_json(text, at)
        yield _element(record, text[at:end])
        if text[end] not in ",]":
            raise ValueError("no comma")
        at = end + 1


def _element(record: Any, raw: str) -> Element:
    if isinstance(record, str):  # a line of NDJSON that is no JSON travels as its text
        return Element(digest(record.encode()), None, "", False, False)
    if not isinstance(record, dict):
        return Element(digest(raw.encode()), None, "", False, False)
    key = record.get("activity_key")
    known = digest(raw.encode())
    try:
        return Element(known, key, content_of(record), _is_sensitive(record), _crosses(record))
    except (ValueError, TypeError, AttributeError):  # one of those that are rejected
        return Element(known, key if isinstance(key, str) else None, "", False, False)


def content_of(record: Mapping[str, Any]) -> str:
    """The same for a record's JSON and for its row, where what a record leaves out is null or empty."""
    content = {name: value for name, value in record.items() if name not in _NO_CONTENT and value not in (None, [], {})}
    when = content["discovered_at"]
    moment = when if isinstance(when, dt.datetime) else dt.datetime.fromisoformat(when)
    content["discovered_at"] = moment.timestamp()
    if "confidence" in content:
        content["confidence"] = float(content["confidence"])
    return digest(json.dumps(content, sort_keys=True).encode())


def _is_sensitive(record: Mapping[str, Any]) -> bool:
    """Decree 356/2025/ND-CP, Article 4."""
    return any(code.startswith("sensitive_") for code in record.get("data_categories") or ())


def _crosses(record: Mapping[str, Any]) -> bool:
    """Law 91/2025/QH15, Article 20."""
    places = {record.get("storage_country"), record.get("provider_country") or "VN"}
    return places != {"VN"} or record.get("transfer") is not None


class Kept(NamedTuple):
    """A row that must be in processing_activities."""

    content: str
    record_index: int | None
    digest: str


Refusal = tuple[int | None, str, str, str | None]  # index, code, pointer, activity_key


@dataclass
class End:
    """The end that a scan must have."""

    stored: dict[str, Kept] = field(default_factory=dict)
    refused: Counter[Refusal] = field(default_factory=Counter)
    originals: dict[Refusal, str] = field(default_factory=dict)  # digest of the bytes, where these are kept
    ledger: dict[int, tuple[int, int]] = field(default_factory=dict)  # first index -> records, offset
    duplicates: int = 0
    sensitive: int = 0
    cross_border: int = 0
    unreadable: int = 0
    redelivered: int = 0  # messages that count nothing, since the ledger knows their array
    closed: bool = False
    total: int | None = None
    reason: str | None = None  # why it was cancelled

    @property
    def accounted(self) -> int:
        return len(self.stored) + self.refused.total() + self.duplicates

    @property
    def status(self) -> str:
        if self.reason is not None:
            return "cancelled"
        if self.closed and self.total is not None and self.accounted >= self.total:
            return "completed_with_errors" if self.refused or self.unreadable else "completed"
        if self.closed and self.unreadable:
            return "failed"
        return "processing" if self.accounted or self.unreadable else "queued"


def end_of(messages: Iterable[Message], judge: Judge) -> End:
    """The right end of a scan with these messages, in the order of their offsets."""
    end = End()
    for message in messages:
        _take(end, message, judge)
    return end


def _take(end: End, message: Message, judge: Judge) -> None:
    if message.kind == "unreadable":
        end.unreadable += 1
    elif message.kind == "cancelled":
        if end.status not in FINAL:
            end.reason = str(message.body.get("reason", "by_request"))
    elif message.kind == "opened":
        if not end.closed:
            end.total = message.body.get("records_total")
    elif message.kind == "closed":
        end.closed, end.total = True, message.body["records_total"]
    elif message.first is not None and message.first in end.ledger:
        end.redelivered += 1
    else:
        if message.first is not None and message.elements:
            end.ledger[message.first] = (len(message.elements), message.offset)
        for place, element in enumerate(message.elements):
            _take_record(end, element, None if message.first is None else message.first + place, judge)


def _take_record(end: End, element: Element, index: int | None, judge: Judge) -> None:
    fault = judge(element.digest)
    if end.reason is not None:
        key = element.key if fault is None else fault.key
        end.refused[index, "scan_cancelled", "", key] += 1
    elif fault is not None:
        refusal = (index, fault.code, fault.pointer, fault.key)
        end.refused[refusal] += 1
        end.originals[refusal] = element.digest
    elif element.key is None or element.key in end.stored:
        end.duplicates += 1
    else:
        end.stored[element.key] = Kept(element.content, index, element.digest)
        end.sensitive += element.sensitive
        end.cross_border += element.cross_border
