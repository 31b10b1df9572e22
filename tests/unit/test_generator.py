"""Generated records are what the contract takes, and their counts are known without the pipeline's code."""

import json

import pytest

from schemas.record import Record, decode_record, decode_records
from schemas.text import is_plain
from trials import generator


def test_generated_records_are_valid_and_distinct() -> None:
    lines = generator.records(3_000, seed=7, tenant="benh-vien")
    decoded = decode_records(generator.array(lines))
    assert len({record.activity_key for record in decoded}) == 3_000
    assert all(is_plain(line) for line in lines)
    assert 550 < sum(map(len, lines)) / len(lines) < 700


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    assert generator.records(500, 1, "a") == generator.records(500, 1, "a")
    assert generator.records(500, 1, "a") != generator.records(500, 2, "a")
    assert generator.records(500, 1, "a") != generator.records(500, 1, "b")


@pytest.mark.parametrize("name", generator.SAMPLES)
def test_expected_counts_agree_with_the_contract(name: str) -> None:
    lines = generator.sample(name)
    records: dict[str, Record] = {}
    for line in lines:
        record = decode_record(line)
        records.setdefault(record.activity_key, record)
    found = generator.expected(lines)
    assert found.records == len(lines)
    assert found.distinct == len(records)
    assert found.sensitive == sum(record.sensitive for record in records.values())
    assert found.cross_border == sum(record.cross_border for record in records.values())


def test_generated_records_have_every_kind() -> None:
    found = generator.expected(generator.records(2_000, 3))
    assert 0 < found.sensitive < 2_000
    assert 0 < found.cross_border < 2_000


def test_a_repeated_key_is_counted_once() -> None:
    line = generator.records(1)[0]
    found = generator.expected([line, line])
    assert (found.records, found.distinct) == (2, 1)


def test_bodies_hold_the_records_as_they_are() -> None:
    lines = generator.records(10, 5, "t")
    body = json.loads(generator.body(lines, source='máy "1"'))
    assert body["source"] == 'máy "1"'
    assert body["records"] == [json.loads(line) for line in lines]
    assert [json.loads(line) for line in generator.ndjson(lines).splitlines()] == body["records"]
