"""A transaction whose statements are sent in parts does what one that is sent whole does."""

import datetime as dt
import json
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest

from sinks.columns import COLUMNS
from sinks.postgres import PostgresSink
from sinks.postgres.engine import write_engine
from sinks.postgres.parts import LEAST, Parts
from sinks.protocol import MicroBatch
from stream_app.lanes.batch import Builder, Limits
from tests.helpers import Database, array, assert_accounted, changed, new_scan
from tests.pipeline.test_sink_text import Told
from tests.servers import Servers
from trials import generator

TOPIC: Final = "no.such.topic"
PARTITION: Final = 9_001  # no worker's
SCANS: Final = 8


@pytest.fixture
def sink(servers: Servers, tenant: str) -> Iterator[PostgresSink]:
    made = PostgresSink(write_engine(servers.urls.write, connections=2, deadline_seconds=30), tenant)
    made.load_offsets(TOPIC, [PARTITION])
    yield made
    made.close()


def cut_smallest(sink: PostgresSink, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on parts are as small as they get, and do not grow. Returns the sizes of the statements sent."""
    sizes: list[int] = []
    monkeypatch.setattr(Parts, "passed", lambda self, size, seconds: sizes.append(size))
    monkeypatch.setattr(sink._parts, "limit", LEAST)
    return sizes


def messages(tenant: str) -> list[Told]:
    """Every kind of statement has much to carry: arrays, twins, refused records small and large, many scans."""
    sent: list[Told] = []

    def send(scan: str, kind: str, value: bytes, first: int | None = None) -> None:
        headers: list[tuple[str, bytes | None]] = [
            ("ce_type", f"vn.scanline.scan.{kind}.v1".encode()),
            ("ce_subject", scan.encode()),
        ]
        if first is not None:
            headers.append(("ce_firstindex", str(first).encode()))
        sent.append(Told(len(sent), tenant.encode(), value, headers))

    for number in range(SCANS):
        scan = new_scan()
        lines = generator.records(40, number, "parts")
        lines[7] = changed(lines[7], purpose="")
        lines[8] = changed(lines[8], name="a" * (20 * LEAST))  # its original alone is many parts
        lines[30] = lines[3]
        # rows that are many parts each, one for each way of writing rows, with everything that COPY must escape
        long = [f'{number} "{chr(92)}{chr(92)}N", {{đạỹ😀}}\u2028\\t' + "ỹ" * 200 for number in range(40)]
        lines[11] = changed(lines[11], data_fields=long, transfer=None, retention_days=None)
        lines[12] = changed(lines[12], data_fields=["a" * 250] * 40)
        send(scan, "records", array(lines[:20]), first=0)
        send(scan, "records", array(lines[20:]), first=20)
        send(scan, "records", array(lines[20:]), first=20)  # sent again
        send(scan, "closed", json.dumps({"records_total": 40}).encode())
    return sent


def write(sink: PostgresSink, sent: list[Told], start: int = 0) -> list[Any]:
    """All of it as one micro-batch."""
    limits = Limits(10**6, 10**9, 10**6)
    builder = Builder(limits, dt.datetime.now(dt.UTC))
    assert all([builder.offer(message) for message in sent])
    incoming, letters = builder.finish()
    assert not letters
    return sink.write(sink.prepare(MicroBatch(TOPIC, PARTITION, start, start + len(sent), incoming)))


def content(database: Database, tenant: str, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in database.rows(query, tenant)]


CONTENT: Final = (
    f"SELECT {', '.join(COLUMNS[2:])} FROM processing_activities WHERE tenant_id = %s ORDER BY 1, 2",
    "SELECT record_index, code, errors, original FROM rejected_records WHERE tenant_id = %s ORDER BY 1, 4",
    "SELECT first_index, records, kafka_offset FROM scan_messages WHERE tenant_id = %s ORDER BY 3",
    "SELECT action, details->>'stored', details->>'rejected', message FROM audit_log WHERE tenant_id = %s ORDER BY 4",
    "SELECT status, records_stored, records_rejected, records_duplicate, errors_sample, version FROM scans"
    " WHERE tenant_id = %s ORDER BY errors_sample",
)


def test_in_parts_or_whole_the_same_is_stored(
    sink: PostgresSink, database: Database, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(sink, messages(f"{tenant}-whole"))
    sizes = cut_smallest(sink, monkeypatch)
    statuses = write(sink, messages(f"{tenant}-parts"), start=4 * SCANS)
    for query in CONTENT:
        assert content(database, f"{tenant}-parts", query) == content(database, f"{tenant}-whole", query)
    for status in statuses:
        assert (status.status, status.records_stored, status.records_rejected) == ("completed_with_errors", 37, 2)
        assert_accounted(database, f"{tenant}-parts", status.scan_id)
    # no statement carries much more than a part: a row, or a scan, that is larger than a part is not cut
    assert max(sizes) < 10 * LEAST, max(sizes)


def test_what_the_database_refuses_among_the_parts_is_found(
    sink: PostgresSink, database: Database, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of scans that are there already take the staged way, part after part."""
    cut_smallest(sink, monkeypatch)
    sent = messages(tenant)
    write(sink, sent)
    again = [told._replace(headers=[each for each in told.headers if each[0] != "ce_firstindex"]) for told in sent]
    for status in write(sink, again, start=len(sent)):
        assert (status.records_stored, status.records_duplicate) == (37, 1 + 18 + 20 + 20)


@pytest.mark.parametrize("limit", [None, LEAST])
def test_every_scan_is_read_page_by_page(
    sink: PostgresSink, tenant: str, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a page holds; none twice."""
    opened = [
        Told(
            number,
            tenant.encode(),
            b'{"records_total":1}',
            [("ce_type", b"vn.scanline.scan.opened.v1"), ("ce_subject", new_scan().encode())],
        )
        for number in range(450)
    ]
    write(sink, opened)
    monkeypatch.setattr(sink._parts, "limit", limit)
    found = [status.scan_id for status in sink.statuses(PARTITION, dt.timedelta(0)) if status.tenant_id == tenant]
    assert sorted(found) == sorted(dict(told.headers)["ce_subject"].decode() for told in opened)  # type: ignore[union-attr]


def test_a_call_says_how_many_answers_it_has_had(
    sink: PostgresSink, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tells a slow call that gets on from one that hangs."""
    cut_smallest(sink, monkeypatch)
    seen: set[int] = set()
    thread = threading.get_ident()
    cut = Parts.cut

    def looked_at(self: Parts, *items: Any) -> Iterator[Any]:
        for part in cut(self, *items):
            seen.add(sink.answers(thread))
            yield part

    monkeypatch.setattr(Parts, "cut", looked_at)
    write(sink, messages(tenant))
    assert len(seen) > 20
    assert sink.answers(thread) == sink.answers(None) == 0
