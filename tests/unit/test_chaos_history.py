"""The chaos history on paper: what is written is read back, and what messages must lead to."""

import datetime as dt
import json
from pathlib import Path
from random import Random

from trials.checker.history import Accepted, Delivery, Fault, History, Offer, digest
from trials.checker.model import End, Message, content_of, end_of, read
from trials.checker.topics import Entry
from trials.load.mix import make

SCAN = "5d2a6c1e-9a53-4a3f-8f0b-7a1c4b1d9e60"
RECORD = {
    "activity_key": "k",
    "name": "n",
    "source_system": "s",
    "asset": "a",
    "data_categories": ["basic_name"],
    "data_subjects": ["other"],
    "purpose": "p",
    "legal_basis": "consent",
    "storage_country": "VN",
    "discovered_at": "2026-11-20T23:47:00Z",
}


def message(offset: int, kind: str, value: bytes, first: int | None = None) -> Message:
    headers = {"ce_type": f"vn.scanline.scan.{kind}.v1".encode(), "ce_subject": SCAN.encode()}
    if first is not None:
        headers["ce_firstindex"] = str(first).encode()
    return read(Entry(0, offset, b"tenant", headers, value))


def record(key: str, **fields: object) -> bytes:
    return json.dumps(RECORD | {"activity_key": key} | fields).encode()


def array(*records: bytes) -> bytes:
    return b"[" + b",".join(records) + b"]"


def closed(offset: int, total: int) -> Message:
    return message(offset, "closed", b'{"records_total":%d}' % total)


def end(*messages: Message, bad: dict[str, Fault] | None = None) -> End:
    return end_of(messages, (bad or {}).get)


def counts(found: End) -> tuple[str, int, int, int]:
    return found.status, len(found.stored), found.refused.total(), found.duplicates


def test_a_history_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    history = History(file)
    made = make("r.1", "tenant", 200, Random(1))
    assert made.body.bad
    history.begin(["tenant"], {"scan.records.v1": {0: 7}})
    history.add_body(made.body)
    history.add_offer(Offer("o", "r.1", "json", "key"))
    history.add_accepted("o", SCAN, 200)
    history.add_offer(Offer("d", "r.1", "arrays", scan="another"))
    history.add_delivery(Delivery("d", "closed", 0, 9, "digest", None, 0))
    history.add_told("tenant", SCAN, dict.fromkeys(("status", "records_total"), 1) | _no_counts())
    history.close()
    with file.open("a") as lines:
        lines.write('["accepted","o","cut of')
    again = History.load(file)
    assert again.bodies == {"r.1": made.body}
    assert again.starts == {"scan.records.v1": {0: 7}}
    assert again.accepted == [Accepted("o", SCAN, 200)]
    assert again.acknowledged_scans() == {("tenant", SCAN): "o", ("tenant", "another"): "d"}
    assert again.told == history.told
    again.add_undelivered("d")  # one message was given up: nobody may rely on that scan
    assert again.acknowledged_scans() == {("tenant", SCAN): "o"}


def _no_counts() -> dict[str, int]:
    return dict.fromkeys(("records_stored", "records_rejected", "records_duplicate"), 0)


def test_records_have_the_sizes_and_the_share_of_wrong_ones_that_are_promised() -> None:
    made = make("r.2", "tenant", 5_000, Random(2), lines_too=True)
    sizes = sorted(len(line) for at, line in enumerate(made.lines) if at not in made.body.bad)
    assert 200 <= sizes[0] < 300 and 7_000 < sizes[-1] <= 8 * 1024
    assert 0.02 < len(made.body.bad) / len(made.lines) < 0.04
    assert len({fault.code for fault in made.body.bad.values()}) > 8
    keys = [json.loads(line)["activity_key"] for at, line in enumerate(made.lines) if at not in made.body.bad]
    assert 0.01 < 1 - len(set(keys)) / len(keys) < 0.03


def test_a_record_and_its_row_have_the_same_content_and_a_field_that_is_lost_is_found() -> None:
    sent = RECORD | {"transfer": {"country": "SG"}, "subject_count": 0, "confidence": 1, "a_new_field": "x"}
    row = sent | {
        "tenant_id": "tenant", "scan_id": SCAN, "record_index": 3, "sensitive": False, "stored_at": None, "recipients": [],
        "attributes": {}, "retention_days": None, "confidence": 1.0,
        "discovered_at": dt.datetime(2026, 11, 21, 6, 47, tzinfo=dt.timezone(dt.timedelta(hours=7))),
    }  # fmt: skip
    assert content_of(row) == content_of(sent)
    for name in sent.keys() - {"activity_key", "discovered_at"}:
        assert content_of(row | {name: None}) != content_of(sent), name


def test_the_first_of_two_equal_keys_is_kept() -> None:
    found = end(message(0, "records", array(record("k"), record("k", purpose="q")), 0), closed(1, 2))
    assert counts(found) == ("completed", 1, 0, 1)
    assert found.stored["k"].digest == digest(record("k"))


def test_a_numbered_array_counts_once_and_a_single_record_each_time() -> None:
    twice = [message(at, "records", array(record("k")), 0) for at in (0, 1)]
    singles = [message(at, "records", record("s")) for at in (2, 3)]
    found = end(*twice, *singles, closed(4, 2))
    assert counts(found) == ("completed", 2, 0, 1)
    assert (found.redelivered, found.ledger) == (1, {0: (1, 0)})


def test_after_a_cancel_every_record_is_rejected_and_after_the_end_a_cancel_does_nothing() -> None:
    cancelled = message(1, "cancelled", b'{"reason":"by_request"}')
    begun = end(message(0, "records", record("a")), cancelled, message(2, "records", record("b")), closed(3, 2))
    assert counts(begun) == ("cancelled", 1, 1, 0)
    assert next(iter(begun.refused)) == (None, "scan_cancelled", "", "b")
    done = end(message(0, "records", record("a")), closed(1, 1), cancelled._replace(offset=2))
    assert counts(done) == ("completed", 1, 0, 0)


def test_what_cannot_be_read_fails_a_scan_that_misses_records() -> None:
    junk = message(0, "records", b'{"activity_key": "cut')
    assert junk.kind == "unreadable"
    assert end(junk, closed(1, 1)).status == "failed"
    assert end(junk, closed(1, 1), message(2, "records", record("a"))).status == "completed_with_errors"


def test_a_wrong_record_is_rejected_under_its_index() -> None:
    wrong = record("w", purpose="")
    bad = {digest(wrong): Fault("text_empty", "/purpose", "w")}
    found = end(message(0, "records", array(record("a"), wrong), 5), closed(1, 2), bad=bad)
    assert counts(found) == ("completed_with_errors", 1, 1, 0)
    assert found.refused == {(6, "text_empty", "/purpose", "w"): 1}
    assert found.stored["a"].record_index == 5
