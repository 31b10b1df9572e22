"""The same awkward messages, read by compiled code and by Python alone, leave the same in every table, micro-batch by
micro-batch."""

import datetime as dt
import json
import random
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from prometheus_client import REGISTRY

from infra.processes.services import Service
from schemas.messages import headers_for
from schemas.stored_offset import StoredOffset
from schemas.topics import CANCELLED, CLOSED, MENDED, OPENED, RECORDS
from sinks.postgres import PostgresSink
from sinks.postgres.engine import write_engine
from sinks.postgres.native.reader import native_reader
from stream_app.lanes.assembler import Assembler
from stream_app.lanes.batch import Limits
from stream_app.lanes.dead_letter_gate import Limiter
from stream_app.lanes.dead_letter_limit import Limit
from stream_app.lanes.poison_search import PoisonSearch
from tests.helpers import Database, Publisher, array, new_scan
from tests.load import metric
from tests.servers import Servers
from trials import generator

TOPIC: Final = "no.such.topic"
PARTITION: Final = 9_100  # no worker's
_SCANS: Final = 6
_TABLES: Final = {
    "processing_activities": "scan_id, activity_key",
    "scans": "scan_id",
    "rejected_records": "scan_id, code, activity_key, record_index, original, kafka_offset",
    "scan_messages": "scan_id, first_index",
    "audit_log": "scan_id, (details->>'first_offset')::bigint",
    "tenant_day_counts": "category, day",
}
_ITS_OWN: Final = {
    "tenant_id", "stored_at", "updated_at", "started_at", "finished_at", "submitted_at", "at", "id", "created_at", "rejected_at",
}  # fmt: skip


class Told(NamedTuple):
    """What is read of a consumed record."""

    offset: int
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp: int
    timestamp_type: int = 1


def values(chance: random.Random, step: int) -> Iterator[tuple[str, bytes | None, dict[str, Any]]]:
    """What one step sends to a scan: a kind, a value, and what its headers say."""
    kind = chance.random()
    lines = generator.records(chance.choice([1, 3, 40]), step, "x")
    before = generator.records(3, chance.randrange(step + 1), "x")
    escaped = json.dumps(json.loads(lines[0])).encode()
    late = lines[0].replace(b'"discovered_at":"2', b'"discovered_at":"3')
    first = {"first_index": step * 100}
    if kind < 0.4:
        for line in lines[:3]:
            yield RECORDS, line, {}
    elif kind < 0.5:
        yield RECORDS, before[0], {}  # a twin, or not
    elif kind < 0.6:
        for line in (lines[0], escaped, b'{"no":1}', late, lines[-1] + b" ", b" " + lines[0]):
            yield RECORDS, line, {}
    elif kind < 0.75:
        for _ in range(chance.choice([1, 1, 2])):  # sent again
            yield RECORDS, array(lines), first
    elif kind < 0.85:
        odd = chance.choice([escaped, late, b'{"no":1}', b"null", lines[0], before[1], b'{"a":"]}"}'])
        at = chance.randrange(len(lines) + 1)
        yield RECORDS, array([*lines[:at], odd, *lines[at:]]), chance.choice([first, {}])
    elif kind < 0.9:
        yield RECORDS, json.dumps([json.loads(line) for line in lines], indent=1).encode(), first
    elif kind < 0.93:
        yield RECORDS, lines[0], first
    elif kind < 0.96:
        yield MENDED, array(lines[:1]), {"mends": [chance.randrange(step + 1) * 100]}
    else:
        yield RECORDS, chance.choice([b"[" + lines[0], b"no JSON", None, b"[]", b"\xef\xbb\xbf" + array(lines)]), {}


def messages(tenant: str, scans: list[str], steps: int) -> list[Told]:
    """An awkward topic: the same for every tenant."""
    chance = random.Random(5)
    now = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
    sent: list[tuple[str, bytes | None, list[tuple[str, bytes]]]] = []
    for scan in scans[1:]:
        sent.append((OPENED, b'{"source":"s","language":"en"}', headers_for(OPENED, scan)))
    for step in range(steps):
        scan = chance.choice(scans)
        if step == steps * 3 // 4:
            sent.append((CANCELLED, b"", headers_for(CANCELLED, scans[-1])))
        for kind, value, headers in values(chance, step):
            sent.append((kind, value, headers_for(kind, scan, **headers)))
    for scan in scans[:-2]:
        sent.append((CLOSED, b'{"records_total":100}', headers_for(CLOSED, scan)))
    return [Told(offset, tenant.encode(), value, headers, now) for offset, (_, value, headers) in enumerate(sent)]


def write_all(sink: PostgresSink, topic: list[Told], limits: Limits) -> list[Any]:
    """Everything, as a lane does it. Returns the statuses."""
    buffer = deque(topic)
    stored = sink.load_offsets(TOPIC, [PARTITION])[PARTITION]
    limiter = Limiter(sink, TOPIC, PARTITION, Limit())
    assembler = Assembler(TOPIC, PARTITION, sink, limiter, limits, PoisonSearch())
    told: list[Any] = []
    while buffer:
        work = assembler.assemble(buffer, stored)
        told.append((work.end, [reason for _, reason in work.letters], sink.write(work.prepared)))
        limiter.written(len(work.taken), work.history)
        stored = StoredOffset(work.end, stored.topic_id)
    return told


@pytest.mark.skipif(native_reader() is None, reason="the reader was not compiled")
@pytest.mark.parametrize("limits", [Limits(), Limits(rows=60, bytes=60_000, scan_rows=45)], ids=["large", "small"])
def test_every_table_is_the_same(
    servers: Servers, database: Database, tenant: str, limits: Limits, caplog: pytest.LogCaptureFixture
) -> None:
    scans = [new_scan() for _ in range(_SCANS)]
    before = natively()
    found = []
    for name, reader in (("native", native_reader()), ("python", None)):
        own = f"{tenant}-{name}"
        sink = PostgresSink(write_engine(servers.urls.write, connections=2, deadline_seconds=30), own, None, reader)
        try:
            told = write_all(sink, messages(own, scans, 400), limits)
        finally:
            sink.close()
        tables = {
            table: [
                without_its_own(row, own)
                for row in database.rows(f"SELECT * FROM {table} WHERE tenant_id = %s ORDER BY {order}", own)
            ]
            for table, order in _TABLES.items()
        }
        statuses = [
            (end, letters, [without_its_own(status_row(each), own) for each in statuses])
            for end, letters, statuses in told
        ]
        found.append((tables, statuses))
    (tables, statuses), (wanted, wanted_statuses) = found
    for table, rows in wanted.items():
        assert len(rows) >= _SCANS - 2, table
        assert tables[table] == rows, table
    assert statuses == wanted_statuses
    assert natively() - before > wanted["scans"][0]["records_stored"]
    assert not caplog.records  # the reader raised nothing
    assert {row["status"] for row in wanted["scans"]} >= {"cancelled", "processing"}


@pytest.mark.skipif(native_reader() is None, reason="the reader was not compiled")
def test_a_worker_says_which_way_it_reads(worker: Service, servers: Servers, database: Database, tenant: str) -> None:
    way, taken = "scanline_sink_native_reader_up", "scanline_sink_native_records_total"
    on = worker.settings.get("SCANLINE_STREAM_NATIVE_READER") != "off"
    before = metric(worker, taken)
    lines = generator.records(50, 1, tenant)
    with Publisher(servers.bootstrap) as publisher:
        scan = new_scan()
        publisher.singles(tenant, scan, lines[:20])
        publisher.records(tenant, scan, lines[20:], first=20)
        publisher.closed(tenant, scan, len(lines))
    assert database.finished(tenant, scan)["records_stored"] == len(lines)
    assert metric(worker, way) == on
    assert (metric(worker, taken) - before >= len(lines)) == on


def natively() -> float:
    """Records that compiled code has read in this process."""
    return REGISTRY.get_sample_value("scanline_sink_native_records_total") or 0


def status_row(status: Any) -> dict[str, Any]:
    return {name: getattr(status, name) for name in status.__struct_fields__}


def without_its_own(row: dict[str, Any], tenant: str) -> dict[str, Any]:
    """A row without what is its tenant's, or its moment's. Single records that are read together have the first one's offset,
    by whichever way; where one among them is declined, fewer are read together."""
    if row.get("code") == "scan_cancelled" and row["record_index"] is None:
        row = {**row, "kafka_offset": None}
    return {
        name: json.loads(json.dumps(value, default=_as_text).replace(tenant, "the tenant"))
        for name, value in row.items()
        if name not in _ITS_OWN
    }


def _as_text(value: Any) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, memoryview) else repr(value)
