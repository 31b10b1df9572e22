"""`scanline bench sizes` measures what it says, on servers of its own."""

from pathlib import Path

import pytest

from schemas.topics import RECORDS_TOPIC
from trials import generator
from trials.bench import sizes

AMOUNTS = sizes.Amounts(tenants=2, records=400, singles=50, small_scans=100, broken=5, letters=2, statuses=200)


@pytest.mark.long
def test_each_kind_of_thing_is_written_and_measured(tmp_path: Path) -> None:
    said: list[str] = []
    figures = sizes.run(tmp_path, AMOUNTS, said.append)
    found = {each.what: each for each in figures}
    assert len(found) == len(figures) and len(said) == 8
    assert all(each.number > 0 and each.total > 0 for each in figures if "memory" not in each.what)

    sent = found["JSON, as sent"]
    lines = [line for number in range(2) for line in generator.records(400, 1, f"size-{number:03}")]
    assert (sent.number, sent.total) == (800, sum(map(len, lines)))
    # arrays are compressed; a row with its key's index is no smaller than half of the JSON, and no ten times as large
    assert sent.each / 30 < found[f"arrays of up to 1,000: {RECORDS_TOPIC}"].each < sent.each
    row = found["PostgreSQL, processing_activities"].each + found["PostgreSQL, processing_activities_pkey"].each
    assert sent.each / 2 < row < sent.each * 10
    assert found["arrays of up to 1,000: WAL"].each > sent.each / 2

    scans = 2 + 2 + 100  # all that were sent before the status topic was read
    assert found["status topic, the last word"].number == scans
    assert found["memory of an API process"].number >= scans + 200
    assert found["dead letters: scan.dlq.v1"].number == 2 * 2
    for what in ("scans of one record", "single records", "rejected records", "corrections"):
        assert f"{what}: WAL" in found
    for table in ("rejected_records", "mended_records", "scans", "audit_log"):
        assert f"PostgreSQL, {table}" in found, table
    assert found["processing_activities as it was"].number == 800 + 100 + 100 + 2 * 5
