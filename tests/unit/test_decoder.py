"""What the worker makes of one message."""

import datetime as dt
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.dead_letters import DeadLetterId
from schemas.decoder import Incoming, decode, envelope_of, whose
from schemas.errors import MESSAGE_ERRORS
from schemas.messages import Closed, Envelope, Header, MessageRefused
from schemas.validation import examine
from tests.unit.examples import FULL, MINIMAL, NOW, changed, encode, sample_lines

SCAN = "0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11"
HEADERS: list[Header] = [("ce_type", topics.RECORDS.encode()), ("ce_subject", SCAN.encode())]


@dataclass
class Message:
    """The parts of a consumed record that are read."""

    value: bytes | None
    key: bytes | None = b"tenant-a"
    headers: list[Header] = field(default_factory=lambda: list(HEADERS))
    offset: int = 7
    timestamp: int = 0


def read(message: Message) -> Incoming:
    return decode(message, envelope_of(message), NOW)


def array(*records: bytes) -> bytes:
    return b"[" + b",".join(records) + b"]"


def test_a_right_array_and_a_right_record() -> None:
    for value, count in (
        (array(encode(MINIMAL), encode(FULL)), 2),
        (encode(FULL), 1),
        (b" \n" + encode(FULL), 1),
        (b"[]", 0),
    ):
        incoming = read(Message(value))
        assert (len(incoming.records), list(incoming.positions), list(incoming.rejected)) == (
            count,
            list(range(count)),
            [],
        )
        assert incoming.offset == 7 and incoming.envelope.scan_id == SCAN


def test_the_real_scans_are_plain() -> None:
    lines = sample_lines()[:1_000]
    incoming = read(Message(array(*lines)))
    assert incoming.plain and len(incoming.records) == 1_000


@pytest.mark.parametrize(
    ("code", "broken"),
    [
        ("text_empty", encode(changed("/name", ""))),
        ("text_nul", encode(changed("/attributes", {"a": "\x00"}))),
        ("text_surrogate", encode(changed("/name", "\ud800"))),
        ("unknown_field", encode(FULL | {"ho_ten": "x"})),
        ("encoding_invalid", encode(FULL).replace(b"varchar", b"\x80")),
        ("nested_too_deep", encode(FULL).replace(b"2.5", b"[" * 5_000 + b"]" * 5_000)),
        ("record_not_object", b"17"),
        ("record_not_object", encode(FULL).replace(b"365", b"007")),
        ("datetime_future", encode(changed("/discovered_at", (NOW + dt.timedelta(hours=1)).isoformat()))),
        ("wrong_type", encode(changed("/attributes", [1]))),
        ("attributes_too_large", encode(changed("/attributes", {"a": "x" * 5_000}))),
    ],
)
def test_one_bad_record_is_rejected_alone(code: str, broken: bytes) -> None:
    incoming = read(Message(array(encode(MINIMAL), broken, encode(FULL))))
    assert list(incoming.positions) == [0, 2]
    assert [(rejected.position, rejected.errors[0].code) for rejected in incoming.rejected] == [(1, code)]
    assert incoming.rejected[0].original == broken


def test_text_is_mended_on_the_way_in() -> None:
    incoming = read(Message(array(encode(changed("/name", "Hoa\u0300\u200b")))))
    assert incoming.records[0].name == "Hoà" and not incoming.plain


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("type_unknown", Message(b"{}", headers=[("ce_subject", SCAN.encode())])),
        ("tenant_invalid", Message(b"{}", key=None)),
        ("scan_id_invalid", Message(b"{}", headers=[("ce_type", topics.RECORDS.encode())])),
        ("first_index_invalid", Message(b"{}", headers=[*HEADERS, ("ce_firstindex", b"-1")])),
        ("message_unreadable", Message(None)),
        ("message_unreadable", Message(b"")),
        ("message_unreadable", Message(b"\xff\x00\x01")),
        ("message_unreadable", Message(b"[1,")),
        ("message_unreadable", Message(b"null")),
        ("message_too_large", Message(b"[" + b" " * topics.MAX_MESSAGE_BYTES + b"]")),
        ("message_too_many_records", Message(array(*[encode(MINIMAL)] * 1_001))),
        ("message_too_many_records", Message(array(*[b"0"] * 1_001))),
    ],
)
def test_what_cannot_be_read_is_refused_as_a_whole(reason: str, message: Message) -> None:
    with pytest.raises(MessageRefused) as refused:
        read(message)
    assert refused.value.code == reason and reason in MESSAGE_ERRORS


def test_a_message_that_cannot_be_read_still_counts_for_its_scan() -> None:
    envelope = whose(Message(b"\xff", headers=[("ce_type", b"?"), ("ce_subject", SCAN.encode())]))
    assert envelope is not None and (envelope.tenant_id, envelope.scan_id) == ("tenant-a", SCAN)
    assert whose(Message(b"\xff", key=b"\xff")) is None
    assert whose(Message(b"\xff", headers=[])) is None


@pytest.mark.parametrize("kind", [topics.RECORDS, topics.MENDED, topics.CLOSED])
def test_whose_a_message_is_does_not_hang_on_its_envelope_being_at_hand(kind: str) -> None:
    mends: list[Header] = [(topics.HEADER_MENDS, b"4")] if kind == topics.MENDED else []
    named: list[Header] = [("ce_type", kind.encode()), ("ce_subject", SCAN.encode()), ("ce_firstindex", b"4")]
    message = Message(b"[1,", headers=[*named, *mends, (topics.RETRY_LETTER, DeadLetterId(1, 2, 3).header)])
    assert (
        whose(message, envelope_of(message))
        == whose(message)
        == Envelope(topics.RECORDS, "tenant-a", SCAN, None, DeadLetterId(1, 2, 3))
    )


def test_a_control_message() -> None:
    headers = [("ce_type", topics.CLOSED.encode()), ("ce_subject", SCAN.encode())]
    incoming = read(Message(b'{"records_total":3}', headers=headers))
    assert incoming.control == Closed(3) and not incoming.records


_parts = st.sampled_from(
    [encode(MINIMAL), encode(FULL), encode(changed("/name", "")), encode(changed("/name", "a\u200b")), b"{}", b"null",
     encode(changed("/name", "\ud800")), encode(FULL).replace(b"varchar", b"\x80"), b'{"a":"],["}']
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(_parts, min_size=1, max_size=6))
def test_in_company_or_alone_a_record_is_judged_alike(parts: list[bytes]) -> None:
    incoming = read(Message(array(*parts)))
    alone = [examine(part, NOW) for part in parts]
    assert [(position, record) for position, record in zip(incoming.positions, incoming.records, strict=True)] == [
        (position, outcome.record) for position, outcome in enumerate(alone) if outcome.record is not None
    ]
    assert {rejected.position: tuple(rejected.errors) for rejected in incoming.rejected} == {
        position: outcome.errors for position, outcome in enumerate(alone) if outcome.record is None
    }


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_any_value_is_read_or_refused(value: bytes) -> None:
    try:
        incoming = read(Message(value))
    except MessageRefused as refused:
        assert refused.code in MESSAGE_ERRORS
    else:
        assert len(incoming.records) + len(incoming.rejected) <= topics.MAX_RECORDS_PER_MESSAGE
