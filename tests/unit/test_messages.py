"""The envelope of a message, and the messages that are not records."""

import datetime as dt
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from schemas.errors import MESSAGE_ERRORS
from schemas.messages import (
    Cancelled,
    Closed,
    Header,
    MessageRefused,
    Opened,
    headers_for,
    is_tenant_id,
    read_control,
    read_envelope,
)

SCAN = "0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11"
TYPE = (topics.HEADER_TYPE, topics.RECORDS.encode())
SUBJECT = (topics.HEADER_SUBJECT, SCAN.encode())


def _refusal(key: bytes | None, headers: list[Header]) -> str:
    with pytest.raises(MessageRefused) as refused:
        read_envelope(key, headers)
    assert refused.value.code in MESSAGE_ERRORS
    return refused.value.code


def test_type_and_subject_are_all_that_is_needed() -> None:
    envelope = read_envelope(b"tenant-a", [TYPE, SUBJECT])
    assert envelope == (topics.RECORDS, "tenant-a", SCAN, None, None, ())


def test_unknown_headers_are_left_alone_and_the_last_of_two_counts() -> None:
    headers = [("x-anything", None), TYPE, ("ce_firstindex", b"7"), SUBJECT, ("ce_firstindex", b"8")]
    assert read_envelope(b"tenant-a", headers).first_index == 8


@pytest.mark.parametrize("kind", sorted(topics.MESSAGE_TYPES))
def test_headers_we_write_are_headers_we_read(kind: str) -> None:
    mends = (17, 4, -1_203) if kind == topics.MENDED else ()
    headers = headers_for(
        kind,
        SCAN,
        first_index=12_000,
        mends=mends,
        source="/may-quet",
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    )
    assert read_envelope(b"t", headers) == (kind, "t", SCAN, 12_000, None, mends)
    given_headers = dict(headers)
    assert given_headers["ce_specversion"] == b"1.0" and given_headers["ce_source"] == b"/may-quet"
    assert uuid.UUID(given_headers["ce_id"].decode())
    assert given_headers["traceparent"].startswith(b"00-")


@pytest.mark.parametrize(
    "kind", [None, b"", b"vn.scanline.scan.records.v2", b"\xff\xfe", b"vn.scanline.scan.records.v1 "]
)
def test_a_type_we_do_not_know_is_refused(kind: bytes | None) -> None:
    assert _refusal(b"t", [(topics.HEADER_TYPE, kind), SUBJECT]) == "type_unknown"
    assert _refusal(b"t", [SUBJECT]) == "type_unknown"


@pytest.mark.parametrize(
    "key",
    [None, b"", b"Tenant", b"a b", b"-a", b"a-", b"a/b", b"a" * 65, "tổ-chức".encode(), b"\xff", b"a\n", b"a\x00"],
)
def test_a_key_that_is_no_tenant_is_refused(key: bytes | None) -> None:
    assert _refusal(key, [TYPE, SUBJECT]) == "tenant_invalid"


@pytest.mark.parametrize("tenant", ["a", "0", "a" * 64, "a.b_c-d", "ngan-hang-01"])
def test_tenant_ids(tenant: str) -> None:
    assert is_tenant_id(tenant)


@pytest.mark.parametrize(
    "subject",
    [None, b"", b"scan-1", SCAN.encode() + b"\n", SCAN.replace("-", "").encode(), b"{" + SCAN.encode() + b"}",
     b"urn:uuid:" + SCAN.encode(),
     b"0x90a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11", "٠190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11".encode(), b"\xff" * 36],
)  # fmt: skip
def test_a_subject_that_is_no_uuid_is_refused(subject: bytes | None) -> None:
    assert _refusal(b"t", [TYPE, (topics.HEADER_SUBJECT, subject)]) == "scan_id_invalid"
    assert _refusal(b"t", [TYPE]) == "scan_id_invalid"


def test_one_scan_has_one_spelling() -> None:
    assert read_envelope(b"t", [TYPE, (topics.HEADER_SUBJECT, SCAN.upper().encode())]).scan_id == SCAN


@pytest.mark.parametrize("index", [b"", b"-1", b"+1", b"1.0", b"0x1", b" 1", b"2000000001", b"1" * 11, "٣".encode()])
def test_a_first_index_that_is_no_count_is_refused(index: bytes) -> None:
    assert _refusal(b"t", [TYPE, SUBJECT, (topics.HEADER_FIRST_INDEX, index)]) == "first_index_invalid"


@given(
    st.binary(max_size=80) | st.none(),
    st.lists(
        st.tuples(st.sampled_from(["ce_type", "ce_subject", "ce_firstindex", "x"]), st.binary(max_size=40) | st.none())
    ),
)
def test_any_envelope_is_read_or_refused(key: bytes | None, headers: list[Header]) -> None:
    try:
        envelope = read_envelope(key, headers)
    except MessageRefused as refused:
        assert refused.code in MESSAGE_ERRORS
    else:
        assert is_tenant_id(envelope.tenant_id) and str(uuid.UUID(envelope.scan_id)) == envelope.scan_id


def test_an_opened_message_may_say_nothing() -> None:
    assert (
        read_control(topics.OPENED, None)
        == read_control(topics.OPENED, b"")
        == read_control(topics.OPENED, b"{}")
        == Opened()
    )


def test_an_opened_message_is_normalised_and_may_grow() -> None:
    value = '{"source":"\u200bMa\u0301y quét","records_total":5,"language":"en","later":1,'
    value += '"submitted_at":"2026-01-24T10:00:00+07:00"}'
    opened = read_control(topics.OPENED, value.encode())
    assert isinstance(opened, Opened)
    assert (opened.source, opened.records_total, opened.language) == ("Máy quét", 5, "en")
    assert opened.submitted_at == dt.datetime(2026, 1, 24, 3, tzinfo=dt.UTC)


@pytest.mark.parametrize("moment", ["2999-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_a_publishers_clock_gone_astray_does_not_cost_the_scan(moment: str) -> None:
    assert read_control(topics.OPENED, f'{{"submitted_at":"{moment}"}}'.encode()) == Opened()


@pytest.mark.parametrize("moment", ["2026-01-24T03:00:00Z", "2026-01-25T02:59:00+23:59", "2026-01-23T11:00:00-16:00"])
def test_when_a_scan_was_opened_is_kept_in_utc(moment: str) -> None:
    opened = read_control(topics.OPENED, f'{{"submitted_at":"{moment}"}}'.encode())
    assert isinstance(opened, Opened) and opened.submitted_at is not None
    # PostgreSQL does not take every offset that can be written
    assert opened.submitted_at.isoformat() == "2026-01-24T03:00:00+00:00"


def test_closed_and_cancelled() -> None:
    assert read_control(topics.CLOSED, b'{"records_total":0}') == Closed(0)
    assert read_control(topics.CANCELLED, b"") == Cancelled("by_request")
    assert read_control(topics.CANCELLED, b'{"reason":"publish_failed"}') == Cancelled("publish_failed")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (topics.CLOSED, b""),
        (topics.CLOSED, b"{}"),
        (topics.CLOSED, b'{"records_total":-1}'),
        (topics.CLOSED, b'{"records_total":1.5}'),
        (topics.CLOSED, b'{"records_total":"5"}'),
        (topics.CLOSED, b'{"records_total":2000000001}'),
        (topics.CLOSED, b'{"records_total":1'),
        (topics.OPENED, b"[]"),
        (topics.OPENED, b"null"),
        (topics.OPENED, b'{"language":"fr"}'),
        (topics.OPENED, b'{"source":"a\\u0000"}'),
        (topics.OPENED, b'{"source":"\\ud800"}'),
        (topics.OPENED, b'{"source":"\xff"}'),
        (topics.OPENED, b'{"submitted_at":"2026-11-24T10:00:00"}'),
        (topics.OPENED, b'{"x":' + b"[" * 100_000),
        (topics.CANCELLED, b'{"reason":"' + b"x" * 101 + b'"}'),
    ],
)
def test_a_control_message_that_cannot_be_read_is_refused(kind: str, value: bytes) -> None:
    with pytest.raises(MessageRefused) as refused:
        read_control(kind, value)
    assert refused.value.code == "message_unreadable"


@given(st.sampled_from([topics.OPENED, topics.CLOSED, topics.CANCELLED]), st.binary(max_size=60))
def test_any_control_message_is_read_or_refused(kind: str, value: bytes) -> None:
    try:
        read_control(kind, value)
    except MessageRefused as refused:
        assert refused.code == "message_unreadable"


def test_status_keys_go_there_and_back() -> None:
    assert topics.split_status_key(topics.status_key("tenant-a", SCAN)) == ("tenant-a", SCAN)
    with pytest.raises(ValueError, match=r".+"):
        topics.split_status_key(b"no slash")


def test_a_full_message_fits_the_brokers_default_limit() -> None:
    assert topics.MAX_MESSAGE_BYTES + 16 * 1024 < 1_048_588  # message.max.bytes
    assert topics.MAX_RECORD_BYTES < topics.MAX_MESSAGE_BYTES
