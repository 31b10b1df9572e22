"""Everything that reads bytes from outside, each as a function of bytes that raises when a promise is broken.

Hypothesis calls them in `make test` (tests/unit/test_fuzz.py), atheris in `make fuzz` (tests/fuzz/run.py).
"""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ARRAY

from producer_api.http import cursors
from producer_api.http.problems import ApiProblem
from producer_api.kafka import status_messages
from producer_api.routes import corrections as corrections_route
from schemas import arrays, submission, topics
from schemas.decoder import Incoming, acceptable, decode, envelope_of, whose
from schemas.errors import MESSAGE_ERRORS, FieldError
from schemas.messages import (
    Envelope,
    Header,
    MessageRefused,
    is_tenant_id,
    read_control,
    read_envelope,
    read_mends,
    write_mends,
)
from schemas.problems import PROBLEMS
from schemas.raw_records import is_array, split_records
from schemas.record import CLOCK_TOLERANCE, Record, decode_record
from schemas.status import Scan, decode_status, encode_status, error_sample, status_of
from schemas.submission import SubmissionRefused
from schemas.text import is_clean, is_plain
from schemas.validation import ExaminedRecord, examine
from sinks.columns import COLUMNS, positions_of
from sinks.effects import Kind
from sinks.files.rows import fingerprint, row_of
from sinks.postgres.native.reader import native_reader
from sinks.postgres.rows import lines_of
from tests.unit.examples import NOW

SCAN: Final = "0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11"
_KINDS: Final = (topics.RECORDS, topics.MENDED, topics.OPENED, topics.CLOSED, topics.CANCELLED)
_UNESCAPED: Final = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}
_ITEM: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^,"]+', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_MOST_RECORDS: Final = 10_000
READER: Final = native_reader()
_RECORD_TEXTS: Final = ("activity_key", "name", "source_system", "asset", "purpose")


class Message(NamedTuple):
    """As it comes from Kafka."""

    key: bytes | None
    headers: list[Header]
    value: bytes | None
    offset: int = 7
    timestamp: int = 0


def fast(raw: bytes) -> Record | None:
    """The record, where the fast way accepts it: what a worker does, one record at a time."""
    try:
        record = decode_record(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return record if acceptable([record], is_plain(raw), NOW + CLOCK_TOLERANCE) else None


def can_be_told(activity_key: str | None, errors: tuple[FieldError, ...]) -> None:
    """What is stored and shown of a refusal is JSON in UTF-8, and holds nothing that PostgreSQL would not take."""
    (activity_key or "").encode()
    for error in errors:
        shown = msgspec.json.encode([error, error.messages, error_sample(3, activity_key, error)])
        assert "\x00" not in json.dumps(json.loads(shown), ensure_ascii=False)


def record(raw: bytes) -> None:
    """One record's JSON is a record or a refusal, and the fast way and the thorough way agree."""
    outcome, quick = examine(raw, NOW), fast(raw)
    assert (outcome.record is None) == bool(outcome.errors)
    if outcome.record is None:
        assert quick is None
        assert outcome.original == raw.strip(b" \t\r\n")
        can_be_told(outcome.activity_key, outcome.errors)
        return
    if quick is not None:
        assert outcome.record == quick
        assert bytes(outcome.record.attributes) == bytes(quick.attributes)
    again = fast(msgspec.json.encode(outcome.record))
    assert again == outcome.record  # mended: the stored form needs no second mending
    assert all(is_clean(getattr(outcome.record, name)) for name in _RECORD_TEXTS)


def message(raw: bytes) -> None:
    """The first byte chooses the kind and whether records are numbered; the rest is the value."""
    kind = _KINDS[raw[0] % len(_KINDS)] if raw else topics.RECORDS
    headers: list[Header] = [(topics.HEADER_TYPE, kind.encode()), (topics.HEADER_SUBJECT, SCAN.encode())]
    if raw[:1] >= b"\x80":
        headers.append((topics.HEADER_FIRST_INDEX, b"17"))
    value = raw[1:]
    if kind == topics.MENDED:
        mends, _, value = value.partition(b"\n")
        headers.append((topics.HEADER_MENDS, mends))
    _decoded(Message(b"tenant-a", headers, value))


def _decoded(sent: Message) -> None:
    owner = whose(sent)
    try:
        envelope = envelope_of(sent)
        assert whose(sent, envelope) == owner
        incoming = decode(sent, envelope, NOW)
    except MessageRefused as refused:
        assert refused.code in MESSAGE_ERRORS
        return
    assert owner is not None and owner.scan_id == incoming.envelope.scan_id
    if incoming.control is not None:
        _scan_can_be_told(incoming)
        return
    assert sent.value is not None
    parts = split_records(sent.value)
    places = sorted([*incoming.positions, *(each.position for each in incoming.rejected)])
    assert places == list(range(incoming.record_count)) == list(range(len(parts)))
    for position, found in zip(incoming.positions, incoming.records, strict=True):
        assert _outcome(examine(parts[position], NOW)) == _outcome(ExaminedRecord(found))
    for rejected in incoming.rejected:
        assert examine(parts[rejected.position], NOW) == ExaminedRecord(None, *rejected[1:])
        can_be_told(rejected.activity_key, rejected.errors)
    _rows_are_right(incoming)


def _outcome(outcome: ExaminedRecord) -> tuple[Any, ...]:
    return outcome.record, outcome.record and bytes(outcome.record.attributes), outcome.errors


def _scan_can_be_told(incoming: Incoming) -> None:
    scan = Scan(incoming.envelope.tenant_id, incoming.envelope.scan_id)
    assert incoming.control is not None
    scan.take(incoming.control)
    scan.settle(NOW)
    told = encode_status(status_of(scan))
    assert encode_status(decode_status(told)) == told
    assert "\x00" not in json.dumps(json.loads(told), ensure_ascii=False)
    assert scan.submitted_at is not None and not scan.submitted_at.utcoffset()  # PostgreSQL takes UTC always


def _rows_are_right(incoming: Incoming) -> None:
    """The plain and the careful way write the same, and a reader of COPY's format finds every text again."""
    lines = lines_of(incoming)
    if incoming.plain:
        careful = lines_of(incoming._replace(plain=False))
        assert lines[2:] == careful[2:]
        assert [compared(line) for line in lines.lines] == [compared(line) for line in careful.lines]
    for at, (found, line) in enumerate(zip(incoming.records, lines.lines, strict=True)):
        row = _fields(line)
        assert all(row[name] == getattr(found, name) for name in _RECORD_TEXTS)
        assert json.loads(row["attributes"]) == json.loads(bytes(found.attributes))
        assert len(fingerprint(row_of(incoming, at))) == 16


def _fields(raw: bytes) -> dict[str, str]:
    """A line of COPY's text format, taken apart."""
    line = raw.decode()
    assert line.endswith("\n") and "\n" not in line[:-1] and "\r" not in line and "\x00" not in line
    fields = line[:-1].split("\t")
    assert len(fields) == len(COLUMNS)
    return dict(zip(COLUMNS, map(_unescaped, fields), strict=True))


def _unescaped(field: str) -> str:
    if field == "\\N":
        return field
    pieces = field.split("\\\\")
    for short, meant in _UNESCAPED.items():
        if short != "\\\\":
            pieces = [piece.replace(short, meant) for piece in pieces]
    assert not any("\\" in piece for piece in pieces)
    return "\\".join(pieces)


def compared(line: bytes) -> dict[str, Any]:
    """Its values; a code in a list may be in quotes, and UTC has two spellings."""
    fields: dict[str, Any] = _fields(line)
    lists = {COLUMNS[at] for at in positions_of(ARRAY)}
    fields |= {name: _items(text) for name, text in fields.items() if name in lists}
    return fields | {"discovered_at": fields["discovered_at"].replace("+00:00", "Z")}


def _items(text: str) -> list[str]:
    """A list in PostgreSQL's form, taken apart."""
    assert text[0] + text[-1] == "{}"
    found = _ITEM.findall(text[1:-1])
    assert ",".join(found) == text[1:-1]
    return [_ESCAPED.sub(r"\1", each[1:-1]) if each[0] == '"' else each for each in found]


def native(raw: bytes) -> None:
    """The first byte says whether the message has a number. What compiled code reads of it is what decoding gives."""
    if READER is None:
        return
    value, numbered = raw[1:], raw[:1] >= b"\x80"
    envelope = Envelope(topics.RECORDS, "tenant-a", SCAN, 17 if numbered else None)
    found = READER.read_message(7, envelope, value, NOW)
    if found is not None:
        _same_records(found, decode(Message(b"tenant-a", [], value), envelope, NOW))
    values = [part for part in value.split(b"\n") if part[:1] == b"{"]
    if not values or numbered:
        return
    first = 0
    for count, records in READER.read_singles(envelope, values, NOW + CLOCK_TOLERANCE):
        for at, each in enumerate(values[first : first + count] if records is not None else ()):
            one = Incoming(7, envelope, records[at : at + 1], range(1), plain=True)  # type: ignore[index]
            _same_records(one, decode(Message(b"tenant-a", [], each), envelope, NOW))
        if records is not None:
            decoded = Incoming(7, envelope, list(records), range(count), plain=True)
            assert lines_of(decoded._replace(records=records)).data == lines_of(decoded).data
        first += count
    assert first == len(values)


def _same_records(found: Incoming, decoded: Incoming) -> None:
    """Records, rejections and lines are the same, byte for byte, but where texts were mended or escaped."""
    assert (found.record_count, [*found.positions]) == (decoded.record_count, [*decoded.positions])
    assert [*found.rejected] == [*decoded.rejected]
    assert [*map(_whole, found.records)] == [*map(_whole, decoded.records)]
    lines, wanted = lines_of(found), lines_of(decoded)
    assert lines.keys == wanted.keys
    assert [*map(_kind, lines.kinds)] == [*map(_kind, wanted.kinds)]
    assert [*map(compared, lines.lines)] == [*map(compared, wanted.lines)]
    if found.plain and decoded.plain:
        assert lines.data == wanted.data


def _whole(found: Record) -> tuple[Record, bytes]:
    return found, bytes(found.attributes)


def _kind(kind: Kind) -> tuple[set[str], bool, bool]:
    """A record counts once in each of its categories, in whatever order they came."""
    return {*kind[0].split(",")}, kind[1], kind[2]


def envelope(raw: bytes) -> None:
    """Lines: the key, the value, then headers as `name:value`; one without a colon has no value."""
    key, _, rest = raw.partition(b"\n")
    value, _, rest = rest.partition(b"\n")
    headers: list[Header] = []
    for line in rest.split(b"\n"):
        name, colon, content = line.partition(b":")
        headers.append((name.decode("utf-8", "replace"), content if colon else None))
    try:
        found = read_envelope(key, headers)
    except MessageRefused as refused:
        assert refused.code in MESSAGE_ERRORS
    else:
        assert is_tenant_id(found.tenant_id) and str(uuid.UUID(found.scan_id)) == found.scan_id
        assert found.first_index is None or 0 <= found.first_index <= 2_000_000_000
        assert found.mends == (read_mends(write_mends(found.mends)) if found.mends else ())
    _decoded(Message(key, headers, value or None))


def control(raw: bytes) -> None:
    """The value of every kind of message that is not records."""
    for kind in (topics.OPENED, topics.CLOSED, topics.CANCELLED):
        try:
            read_control(kind, raw, NOW)
        except MessageRefused as refused:
            assert refused.code == "message_unreadable"
        else:
            _decoded(Message(b"t", [(topics.HEADER_TYPE, kind.encode()), (topics.HEADER_SUBJECT, SCAN.encode())], raw))


def _no_json(constant: str) -> None:
    raise ValueError(constant)  # NaN and the like are Python's own


def raw_records(raw: bytes) -> None:
    """Where a whole parser reads an array, its items are what the splitter finds; else there may be more, never an error."""
    try:
        parts = split_records(raw)
    except ValueError:
        parts = None
    try:
        whole = json.loads(raw.decode(), parse_int=str, parse_float=str, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return
    if is_array(raw):
        assert parts is not None
        if b"[" in raw.strip() and whole:  # `[]` and `[ ]` have no items
            assert [json.loads(part, parse_int=str, parse_float=str) for part in parts] == whole
    elif isinstance(whole, dict):
        assert parts == [raw]


def lines(raw: bytes) -> None:
    """The first byte says how the body is cut. The elements are the same for every cut, and stay apart in an array."""
    cut, body = (raw[0] if raw else 0), raw[1:]
    whole = list(_elements([body]))
    assert list(_elements(_cut(body, cut % 16 + 1))) == whole
    assert list(_elements(_cut(body, cut * 37 + 17))) == whole
    blank = b" \t\r\n"
    rows = [line.strip(blank) for line in body.split(b"\n")]
    first = next((row for row in rows if row), b"")
    assert len(whole) == sum(1 for row in rows if row) - (first == b"\xef\xbb\xbf")
    messages = arrays.cut(whole)
    assert [array.first_index for array in messages] == [
        sum(each.records for each in messages[:at]) for at in range(len(messages))
    ]
    found = []
    for array in messages:
        assert len(array.value) <= topics.MAX_MESSAGE_BYTES and array.records <= topics.MAX_RECORDS_PER_MESSAGE
        parts = split_records(array.value)
        assert len(parts) == array.records
        found += parts
    assert found == whole


def _elements(pieces: list[bytes]) -> Iterator[bytes]:
    reader = arrays.Lines()
    for piece in pieces:
        yield from reader.feed(piece)
    yield from reader.finish()


def _cut(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def document(raw: bytes) -> None:
    """A JSON body is a submission or a problem; its records are the bytes that stood there."""
    try:
        details, records = submission.read_json(raw, "vi", _MOST_RECORDS)
    except SubmissionRefused as refused:
        assert PROBLEMS[refused.code].status in (400, 413, 415, 422)
        return
    msgspec.json.encode(details)
    found = [bytes(each) for each in records]
    assert all(each in raw for each in found)
    for array in arrays.cut(found):
        assert split_records(array.value) == found[array.first_index : array.first_index + array.records]


def corrections(raw: bytes) -> None:
    """A JSON body of corrections is read or a problem; each is the bytes that stood there, and says its place or is named."""
    try:
        found = [bytes(each) for each in submission.read_corrections(raw, _MOST_RECORDS)]
    except SubmissionRefused as refused:
        assert PROBLEMS[refused.code].status in (400, 413, 415, 422)
        return
    assert found and all(each in raw for each in found)
    for each in found:
        mend = corrections_route.correction_of(each)
        assert mend is None or mend.record is None or mend.record in each


def status(raw: bytes) -> None:
    """What stands in the status topic is a status, a tombstone, or passed over."""
    try:
        told = status_messages.read(("t", SCAN), raw, 0, 5, 1.0, None)
    except ValueError:
        return
    assert (told.head is None) == (not raw)
    if told.head is not None and told.head.submitted_at is not None:
        told.head.submitted_at.timestamp()


def cursor(raw: bytes) -> None:
    """Whatever stands for a cursor is a place or a problem."""
    for kind in (tuple[float, str], tuple[uuid.UUID, str], int):
        try:
            cursors.key_of(raw.decode("latin-1"), kind)
        except ApiProblem as problem:
            assert problem.status in (400, 422)
        try:
            cursors.key_of(cursors.base64.urlsafe_b64encode(raw).decode().rstrip("="), kind)
        except ApiProblem as problem:
            assert problem.status in (400, 422)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    each.__name__: each
    for each in (record, message, native, envelope, control, raw_records, lines, document, corrections, status, cursor)
}
