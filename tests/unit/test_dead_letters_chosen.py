"""Dead letters: which ones an operator means, what a retry would do with them, what of them is shown."""

import datetime as dt
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import pytest
from confluent_kafka import Message

from cli.commands import Commands, app
from infra.errors import InfraError
from operations.dead_letters.arguments import letter_place, moment, selection
from operations.dead_letters.dead_letter import DeadLetter, DeadLetterSelection, letter_of
from operations.dead_letters.masking import described, escaped, preview
from operations.dead_letters.plan import Group, RetryPlan, RetryRules, Sums, would
from operations.dead_letters.sender import headers_again
from schemas import topics
from schemas.dead_letters import DeadLetterId
from schemas.errors import MESSAGE_ERRORS
from schemas.messages import Header
from stream_app.lanes.dead_letter_gate import Limiter
from stream_app.lanes.dead_letter_limit import Limit
from tests.unit.examples import MINIMAL, NOW, changed, encode

SCAN: Final = "0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11"
FAILED_AT: Final = dt.datetime(2026, 1, 31, 2, 30, tzinfo=dt.UTC)
SECRET: Final = "079090012345"
DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "dead-letters.md"
READABLE: Final = b"[" + encode(MINIMAL) + b"," + encode(changed("/name", "")) + b"]"


def letter(
    value: bytes = b"[", more: Sequence[Header] = (), *, offset: int = 17, tenant: str = "tenant-a", failed: bytes = b""
) -> DeadLetter:
    """As it would be read from scan.dlq.v1, partition 1."""
    headers = [
        (topics.HEADER_TYPE, topics.RECORDS.encode()),
        (topics.HEADER_SUBJECT, SCAN.encode()),
        *more,
        (topics.DLQ_REASON, b"message_unreadable"),
        (topics.DLQ_FAILED_AT, failed or str(int(FAILED_AT.timestamp() * 1000)).encode()),
    ]
    message = Message(
        topic=topics.DLQ_TOPIC,
        partition=1,
        offset=offset,
        key=tenant.encode(),
        value=value,
        headers=headers,
        timestamp=(1, 1_000),
    )
    return letter_of(message)


WRONG_HEADERS: Final[dict[str, list[Header]]] = {
    "none": [],
    "no scan": [(topics.HEADER_TYPE, topics.RECORDS.encode())],
    "empty": [(topics.HEADER_TYPE, None), (topics.HEADER_SUBJECT, None)],
    "scan in bytes": [(topics.HEADER_TYPE, topics.RECORDS.encode()), (topics.HEADER_SUBJECT, uuid.UUID(SCAN).bytes)],
    "scan in braces": [(topics.HEADER_TYPE, topics.RECORDS.encode()), (topics.HEADER_SUBJECT, b"{%s}" % SCAN.encode())],
    "all in quotes": [(topics.HEADER_TYPE, b'"x"'), (topics.HEADER_SUBJECT, b'"%s"' % SCAN.encode())],
    "index": [(topics.HEADER_SUBJECT, SCAN.encode()), (topics.HEADER_FIRST_INDEX, b"-1")],
    "mends": [(topics.HEADER_TYPE, topics.MENDED.encode()), (topics.HEADER_MENDS, b"\xff")],
    "claims": [(topics.RETRY_LETTER, b"\xff"), (topics.RETRY_COUNT, b"\xff"), (topics.DLQ_FAILED_AT, b"\xff")],
}


@pytest.mark.parametrize(
    "key", [b"tenant-a", b"0", b"a.b_c-d", None, b"", b"Tenant-A", b"a/b", b"\xff", b"a" * 65, b"a "]
)
@pytest.mark.parametrize("headers", WRONG_HEADERS.values(), ids=list(WRONG_HEADERS))
@pytest.mark.parametrize("value", [None, b"", b"\xff", READABLE], ids=["none", "empty", "garbage", "records"])
def test_a_letter_is_its_keys_whatever_else_is_wrong_with_it(
    key: bytes | None, headers: list[Header], value: bytes | None
) -> None:
    """One rule for those who list letters and for the worker's limit on each sender."""
    message = Message(
        topic=topics.DLQ_TOPIC, partition=0, offset=3, key=key, value=value, headers=headers, timestamp=(1, 1_000)
    )
    found = letter_of(message)
    tenant = key.decode() if key in (b"tenant-a", b"0", b"a.b_c-d") else None
    assert found.tenant_id == tenant
    assert DeadLetterSelection(tenant="tenant-a").matches(found) is (tenant == "tenant-a")
    facts = described(found, reveal=False, most=0)
    assert facts["key"] == (tenant if tenant is not None else "∅" if key is None else f"<{len(key)} byte>")
    assert described(found, reveal=True, most=0)["key"] == ("∅" if key is None else escaped(key))
    judged, _ = Limiter(cast(Any, None), topics.RECORDS_TOPIC, 0, Limit(10, 0.5, 50)).judge(
        [found], [(found, "type_unknown")]
    )
    assert judged.worst_sender() == tenant


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30s", dt.timedelta(seconds=30)),
        ("15m", dt.timedelta(minutes=15)),
        ("2h", dt.timedelta(hours=2)),
        ("7d", dt.timedelta(days=7)),
        ("0s", dt.timedelta()),
    ],
)
def test_a_time_may_be_so_long_ago(text: str, ago: dt.timedelta) -> None:
    assert moment(text, NOW) == NOW - ago


def test_a_time_may_be_written_out_and_nothing_is_no_time() -> None:
    assert moment("2026-01-31T09:30:00+07:00", NOW) == FAILED_AT == moment("2026-01-31T02:30:00Z", NOW)
    assert moment("", NOW) is None


@pytest.mark.parametrize(
    "text", ["hôm qua", "2026-01-31T09:30:00", "2026-01-31", "-5m", "5", "m", "1w", "999999d", "0001-01-01T00:00:00+07:00", "٣h"]
)  # fmt: skip
def test_what_is_no_time_is_refused_in_both_languages(text: str) -> None:
    with pytest.raises(InfraError) as refused:
        moment(text, NOW)
    assert "múi giờ" in refused.value.vi and "offset" in refused.value.en


def test_a_letter_is_named_by_partition_and_offset() -> None:
    assert letter_place("0:17") == (0, 17)
    for wrong in ("", "17", "0:", ":1", "a:1", "-1:2", "0:1:2", "0:" + "9" * 19):
        with pytest.raises(InfraError):
            letter_place(wrong)


def test_a_selection_says_what_cannot_be_meant() -> None:
    assert selection([], "", "", "", "", "", None, None).is_everything
    chosen = selection(["0:1", "0:1"], "tenant-a", SCAN.upper(), "type_unknown", "", "", 0, 0)
    assert chosen == DeadLetterSelection(frozenset({(0, 1)}), "tenant-a", SCAN, "type_unknown", None, None, 0, 0)
    assert not chosen.is_everything
    for tenant, scan in (("Tổ chức", ""), ("", "x")):
        with pytest.raises(InfraError):
            selection([], tenant, scan, "", "", "", None, None)


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (DeadLetterSelection(), True),
        (DeadLetterSelection(ids=frozenset({(1, 17)})), True), (DeadLetterSelection(ids=frozenset({(0, 17), (1, 18)})), False),
        (DeadLetterSelection(tenant="tenant-a"), True), (DeadLetterSelection(tenant="tenant-b"), False),
        (DeadLetterSelection(scan=SCAN), True), (DeadLetterSelection(scan=str(uuid.UUID(int=1))), False),
        (DeadLetterSelection(reason="message_unreadable"), True), (DeadLetterSelection(reason="type_unknown"), False),
        (DeadLetterSelection(since=FAILED_AT), True), (DeadLetterSelection(since=FAILED_AT + dt.timedelta(seconds=1)), False),
        (DeadLetterSelection(until=FAILED_AT), False), (DeadLetterSelection(until=FAILED_AT + dt.timedelta(seconds=1)), True),
        (DeadLetterSelection(partition=1), True), (DeadLetterSelection(partition=0), False),
        (DeadLetterSelection(offset=17), True), (DeadLetterSelection(offset=18), False),
        (DeadLetterSelection(tenant="tenant-a", reason="type_unknown"), False),
    ],
)  # fmt: skip
def test_filters_narrow_together(wanted: DeadLetterSelection, meant: bool) -> None:
    assert wanted.matches(letter()) is meant


def test_a_letter_without_a_readable_envelope_belongs_to_nobody() -> None:
    found = letter(tenant="Không phải mã")
    assert (found.tenant_id, found.scan_id) == (None, None)
    assert not DeadLetterSelection(tenant="tenant-a").matches(found)


@pytest.mark.parametrize("forged", [b"9" * 18, b"9" * 40, b"x", b"-1"])
def test_a_time_that_cannot_be_is_that_of_kafka(forged: bytes) -> None:
    found = letter(failed=forged)
    assert found.failed_at == dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)
    assert DeadLetterSelection(since=FAILED_AT).matches(found) is False


def test_what_would_be_sent_is_judged_by_the_code_of_today() -> None:
    assert would(letter(READABLE), "open", RetryRules(), NOW) == ("sent", "records", 1, 1)
    assert would(letter(READABLE), "claimed", RetryRules(), NOW).outcome == "sent"
    assert would(letter(READABLE), "retried", RetryRules(), NOW) == ("retried_before", "", 0, 0)
    assert would(letter(READABLE), "dropped", RetryRules(), NOW).outcome == "dropped_before"
    assert would(letter(READABLE), "dropped", RetryRules(dropped_too=True), NOW).outcome == "sent"
    assert would(letter(b"["), "open", RetryRules(), NOW) == ("unreadable", "message_unreadable", 0, 0)
    assert would(letter(b"["), "open", RetryRules(anyway=True), NOW) == ("sent", "message_unreadable", 0, 0)
    assert would(letter(b"[" * 100_000), "open", RetryRules(), NOW).outcome == "unreadable"
    large = letter(b" " * topics.MAX_MESSAGE_BYTES + b"[]")
    assert would(large, "open", RetryRules(anyway=True), NOW) == ("too_large", "message_too_large", 0, 0)


def test_what_was_not_kept_is_never_sent() -> None:
    cancelling = letter(b"", [(topics.HEADER_TYPE, topics.CANCELLED.encode())])
    assert would(cancelling, "open", RetryRules(), NOW).outcome == "sent"  # an empty value cancels
    described_only = letter(b"", [(topics.HEADER_TYPE, topics.CANCELLED.encode()), (topics.DLQ_NOT_KEPT, b"99999999")])
    for rules in (RetryRules(), RetryRules(anyway=True)):
        assert would(described_only, "open", rules, NOW) == ("not_kept", "", 0, 0)
    assert would(described_only, "dropped", RetryRules(), NOW).outcome == "dropped_before"


def test_a_letter_goes_round_no_more_often_than_allowed() -> None:
    for replays, outcome in ((2, "sent"), (3, "replay_limit"), (10**17, "replay_limit")):
        again = letter(READABLE, [(topics.RETRY_COUNT, str(replays).encode())])
        assert would(again, "open", RetryRules(max_replays=3), NOW).outcome == outcome
    assert would(letter(b"[", [(topics.RETRY_COUNT, b"3")]), "open", RetryRules(), NOW).outcome == "unreadable"


def test_a_plan_adds_up_and_stops_where_a_run_would() -> None:
    plan = RetryPlan(RetryRules(limit=2))
    for each in (letter(READABLE), letter(b"["), letter(READABLE), letter(READABLE)):
        plan.add(each, "open", NOW)
    assert plan.full
    assert plan.groups == {
        Group("message_unreadable", "sent", "records"): Sums(2, 2, 2),
        Group("message_unreadable", "unreadable", "message_unreadable"): Sums(1, 0, 0),
    }
    assert plan.reasons == {"message_unreadable": 3}


def test_headers_go_back_as_the_publisher_sent_them_with_two_marks() -> None:
    own: list[Header] = [
        ("own", b"\xff\x00"),
        ("own", b"twice"),
        (topics.RETRY_LETTER, b"0:1:2"),
        (topics.RETRY_COUNT, b"1"),
    ]
    found = letter(READABLE, own)
    assert headers_again(found) == [
        (topics.HEADER_TYPE, topics.RECORDS.encode()),
        (topics.HEADER_SUBJECT, SCAN.encode()),
        ("own", b"\xff\x00"),
        ("own", b"twice"),
        (topics.RETRY_LETTER, found.id.header),
        (topics.RETRY_COUNT, b"2"),
    ]
    assert DeadLetterId.of_header(found.id.header) == found.id


def test_nothing_that_could_be_personal_is_shown_unless_asked_for() -> None:
    found = letter(SECRET.encode(), [("note", SECRET.encode()), (topics.HEADER_TRACEPARENT, "Nguyễn Văn A".encode())])
    assert SECRET not in str(described(found, reveal=False, most=0)) and "Nguy" not in str(
        described(found, reveal=False, most=0)
    )
    facts = described(found, reveal=True, most=5)
    assert (
        facts["preview"] == [SECRET[:5]] and facts["preview_is_whole"] is False and ["note", SECRET] in facts["headers"]
    )


def test_a_terminal_takes_nothing_that_is_shown_for_a_command() -> None:
    assert escaped(b"\x1b[31m\r\n\x07" + "ạ\u202e".encode()) == "\\x1b[31m\\r\\n\\x07ạ\\u202e"
    assert preview("thạch".encode(), 4) == ["th"]  # cut within a letter, which is left out
    (line,) = preview(b"\xff\x1b[m", 64)
    assert line.startswith("00000000  ff 1b 5b 6d") and line.endswith("|..[m|")


def test_all_commands_are_in_one_group_and_in_the_operators_document() -> None:
    group = app.load("dlq")
    assert isinstance(group, Commands)
    names = set(group.commands)
    assert names == {"list", "show", "retry", "drop", "allow"}
    told = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in names if f"### {name}\n" not in told] == []
    assert [reason for reason in MESSAGE_ERRORS if f"| `{reason}` |" not in told] == []
