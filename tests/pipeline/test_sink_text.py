"""The sink alone on real PostgreSQL: the straight COPY and the staged one store the same, byte for byte."""

import datetime as dt
import itertools
import json
import unicodedata
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.decoder import decode, envelope_of
from sinks.postgres import PostgresSink
from sinks.postgres.engine import write_engine
from sinks.protocol import MicroBatch
from tests.helpers import Database, array, new_scan
from tests.servers import Servers
from trials import generator

TENANT: Final = "sink-text"
TOPIC: Final = "no.such.topic"
PARTITION: Final = 9_000  # no worker's


class Told(NamedTuple):
    """What is read of a consumed record."""

    offset: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes | None]]
    timestamp: int = 0


class Writer:
    """Micro-batches of one message each, one after the other."""

    def __init__(self, sink: PostgresSink) -> None:
        self._sink = sink
        self._offsets = itertools.count(sink.load_offsets(TOPIC, [PARTITION])[PARTITION].next_offset)

    def write(self, scan: str, value: bytes) -> Any:
        """Returns the scan's status."""
        offset = next(self._offsets)
        headers: list[tuple[str, bytes | None]] = [
            ("ce_type", b"vn.scanline.scan.records.v1"),
            ("ce_subject", scan.encode()),
        ]
        told = Told(offset, TENANT.encode(), value, headers)
        incoming = decode(told, envelope_of(told), dt.datetime.now(dt.UTC))
        batch = MicroBatch(TOPIC, PARTITION, offset, offset + 1, [incoming])
        (status,) = self._sink.write(self._sink.prepare(batch))
        return status


@pytest.fixture(scope="module")
def writer(servers: Servers) -> Iterator[Writer]:
    sink = PostgresSink(write_engine(servers.urls.write, connections=2, deadline_seconds=30), "sink-text")
    yield Writer(sink)
    sink.close()


_letters = st.sampled_from("\\\t\n\"'{},()N.nt0xđạỹ😀 \u00a0\u2028$%") | st.characters(
    exclude_categories=["Cc", "Cs", "Cf", "Mn", "Mc"]
)
_text = st.text(_letters, min_size=1, max_size=60).map(lambda text: unicodedata.normalize("NFC", text))
_numbers = st.integers(-(10**25), 10**25) | st.decimals(-(10**9), 10**9, places=9).map(float)
_record = st.fixed_dictionaries(
    {name: _text for name in ("activity_key", "name", "source_system", "asset", "purpose")}
    | {
        "data_fields": st.lists(_text, max_size=3),
        "recipients": st.lists(_text, max_size=2),
        "data_categories": st.lists(st.sampled_from(["basic_name", "sensitive_bank"]), min_size=1, max_size=3),
        "data_subjects": st.just(["citizen"]),
        "legal_basis": st.just("consent"),
        "storage_country": st.sampled_from(["VN", "SG"]),
        "provider_country": st.sampled_from([None, "VN", "US"]),
        "retention_days": st.none() | st.integers(0, 36_500),
        "subject_count": st.none() | st.integers(0, 10**10),
        "confidence": st.none() | st.floats(0, 1) | st.just(5e-324),
        "discovered_at": st.datetimes(dt.datetime(1901, 1, 1), dt.datetime(2026, 1, 1), timezones=st.timezones())
        # RFC 3339 has no seconds in its offsets, as old local times had
        .filter(lambda moment: not moment.utcoffset().total_seconds() % 60)  # type: ignore[union-attr]
        .map(dt.datetime.isoformat),
        "attributes": st.dictionaries(_text, _text | _numbers, max_size=2),
    }
)


def rows_of(database: Database, scan: str) -> list[dict[str, Any]]:
    rows = [{**row, "scan_id": None, "stored_at": None} for row in database.activities(TENANT, scan)]
    return sorted(rows, key=lambda row: row["activity_key"])


def both_ways(writer: Writer, lines: list[bytes]) -> tuple[str, str]:
    """The same records straight, and beside one that is there twice and makes the sink stage them."""
    straight, staged = new_scan(), new_scan()
    assert writer.write(straight, array(lines)).records_stored == len(lines)
    status = writer.write(staged, array([*lines, lines[0]]))
    assert (status.records_stored, status.records_duplicate) == (len(lines), 1)
    return straight, staged


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(_record, min_size=1, max_size=5, unique_by=lambda record: record["activity_key"]), st.booleans())
def test_straight_and_staged_store_the_same(
    writer: Writer, database: Database, sent: list[dict[str, Any]], escaped: bool
) -> None:
    lines = [json.dumps(record, ensure_ascii=escaped).encode() for record in sent]
    straight, staged = both_ways(writer, lines)
    rows = rows_of(database, straight)
    assert rows == rows_of(database, staged)
    for record, row in zip(sorted(sent, key=lambda record: record["activity_key"]), rows, strict=True):
        found = {name: row[name] for name in record} | {"discovered_at": row["discovered_at"].isoformat()}
        instant = dt.datetime.fromisoformat(record["discovered_at"]).astimezone(dt.UTC).isoformat()
        assert found == record | {"discovered_at": instant}
        assert row["sensitive"] == ("sensitive_bank" in record["data_categories"])
        assert row["cross_border"] == (record["storage_country"] == "SG" or record["provider_country"] == "US")


def test_real_records_take_the_fast_way_to_the_same_rows(writer: Writer, database: Database) -> None:
    for lines in (generator.sample("clinic")[:300], generator.sample("crm")[:300]):
        straight, staged = both_ways(writer, lines)
        # the same again with one escape in it, so that every text is looked at
        careful = new_scan()
        writer.write(careful, array([line.replace(b'"VN"', b'"\\u0056N"') for line in lines]))
        rows = rows_of(database, straight)
        assert len(rows) == len(lines)
        assert rows == rows_of(database, staged) == rows_of(database, careful)
