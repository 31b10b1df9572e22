"""The demo's checked statement: whatever is lost, doubled or misreported is named."""

import json

import pytest

from trials import generator
from trials.demo.reconciliation import TableContents, differences
from trials.demo.scans import Sent, generated, wanted

LINES = next(iter(generated().values()))
WANTED = wanted(LINES)
SCAN = Sent("tenant-a", "5f7d2c4e-0000-4000-8000-000000000001", "JSON", WANTED, 0.0, 0.1)
STATUS = {
    "status": "completed_with_errors",
    "version": 3,
    "records_total": 1000,
    "records_stored": 990,
    "records_rejected": 5,
    "records_duplicate": 5,
    "records_sensitive": WANTED.sensitive,
    "records_cross_border": WANTED.cross_border,
}


def held(**changes: object) -> TableContents:
    right = TableContents(
        keys={SCAN.scan_id: sorted(WANTED.keys)},
        rejected={SCAN.scan_id: 5},
        audited={SCAN.scan_id: 990},
        scans={SCAN.scan_id: dict(STATUS)},
    )
    return right._replace(**changes)


def found(state: TableContents, told: dict[str, object] | None = STATUS) -> list[str]:
    return differences([SCAN], state, {} if told is None else {SCAN.key: told})


def test_what_is_wanted_of_a_generated_scan() -> None:
    assert (WANTED.records, WANTED.stored, WANTED.rejected, WANTED.duplicates) == (1000, 990, 5, 5)
    assert len(WANTED.keys) == 990


def test_the_real_scans_are_all_to_be_stored() -> None:
    for name in generator.SAMPLES:
        lines = generator.sample(name)
        assert wanted(lines).stored == len(lines) == len({json.loads(line)["activity_key"] for line in lines})


def test_nothing_to_say_when_all_is_well() -> None:
    assert found(held()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keys": {SCAN.scan_id: sorted(WANTED.keys)[1:]}}, "1 records are not stored"),
        ({"keys": {SCAN.scan_id: [*sorted(WANTED.keys), min(WANTED.keys)]}}, "1 records are stored twice"),
        ({"keys": {SCAN.scan_id: [*sorted(WANTED.keys), "strange"]}}, "stored that were not sent"),
        ({"rejected": {}}, "0 rejected records are kept, 5 were wrong"),
        ({"audited": {SCAN.scan_id: 980}}, "the audit log tells of 980"),
        ({"scans": {}}, "there is no row in scans"),
        ({"scans": {SCAN.scan_id: STATUS | {"records_duplicate": 4}}}, "scans says records_duplicate 4"),
        ({"scans": {SCAN.scan_id: STATUS | {"version": 4}}}, "at version 3, scans at 4"),
        ({"keys": {SCAN.scan_id: sorted(WANTED.keys), "other": ["x"]}}, "nobody sent"),
    ],
)
def test_a_planted_fault_is_named(changes: dict[str, object], words: str) -> None:
    assert any(words in text for text in found(held(**changes)))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (None, "the status topic says nothing"),
        (STATUS | {"status": "completed"}, "the status topic says completed"),
        (STATUS | {"records_stored": 991}, "the status topic says records_stored 991"),
    ],
)
def test_a_wrong_status_is_named(told: dict[str, object] | None, words: str) -> None:
    assert any(words in text for text in found(held(), told))
