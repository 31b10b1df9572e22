"""A rich mix of submissions has no findings and adds up; every fault planted into what it left is found and named."""

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from infra.processes.services import Service
from tests.helpers import Database, StatusTopic
from tests.servers import Servers
from trials.checker.checker import check, wait_until_drained
from trials.checker.findings import Report
from trials.checker.history import Accepted, Delivery, History
from trials.load.load import DIRECT_WAYS, HTTP_WAYS, Load

_PATIENCE: Final = 180.0
Scan = tuple[str, str]


class Ran:
    """A load that is over, its history as the file has it, and what a check of it says."""

    def __init__(self, servers: Servers, file: Path) -> None:
        self.servers = servers
        self.history = History.load(file)
        self.tenants = sorted(self.history.tenants)
        drained = wait_until_drained(self.history, servers.admin_dsn, servers.bootstrap, _PATIENCE)
        assert drained is not None

    def check(
        self, status_seconds: float = 0.0, pipeline: str = "inventory", tenants_at_once: int | None = None
    ) -> Report:
        return check(
            self.history,
            self.servers.admin_dsn,
            self.servers.bootstrap,
            status_seconds=status_seconds,
            pipeline=pipeline,
            tenants_at_once=tenants_at_once,
        )

    def found(self, tenants_at_once: int | None = None) -> list[tuple[str, str, str, str]]:
        """Findings without their texts."""
        return sorted(finding[:4] for finding in self.check(tenants_at_once=tenants_at_once).findings)

    def scan(self, way: str) -> Scan:
        """One that was sent like this."""
        scans = self.history.acknowledged_scans()
        return next(scan for scan, offer in sorted(scans.items()) if self.history.offers[offer].way == way)


def _load(servers: Servers, api: Service, file: Path, **how: Any) -> tuple[History, Load]:
    history = History(file)
    name = f"chaos-{uuid.uuid4().hex[:8]}"
    return history, Load(history, [api.base_url], servers.bootstrap, seed=5, name=name, **how)


@pytest.fixture(scope="module")
def ran(servers: Servers, worker: Service, api: Service, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Load as in a round of chaos, with every way of sending at least once, whatever the dice say."""
    file = tmp_path_factory.mktemp("chaos") / "history.jsonl"
    history, load = _load(servers, api, file, rate=900, tenants=8, http_threads=4)
    with load:
        time.sleep(3)
        load.stop_offering()
        for way in (*HTTP_WAYS, *DIRECT_WAYS):
            load.one_scan(way, 120)
        load.one_scan("ndjson", 2_300)
    history.close()
    return Ran(servers, file)


@pytest.fixture(scope="module")
def small(servers: Servers, worker: Service, api: Service, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A few scans, into which faults are planted: what a fault does not touch stays unnamed."""
    file = tmp_path_factory.mktemp("chaos") / "history.jsonl"
    history, load = _load(servers, api, file, tenants=3, http_threads=0, direct_threads=0, followed=1.0)
    with load:
        for tenant in load.tenants:
            for way in ("json", "mixed", "arrays-twice"):
                load.one_scan(way, 60, tenant)
    history.close()
    made = Ran(servers, file)
    assert made.check(30).findings == []
    return made


def test_a_clean_run_has_no_findings_and_adds_up(ran: Ran) -> None:
    report = ran.check(60)
    assert not report.findings, list(map(str, report.findings[:20]))
    assert report.passed
    assert report.offered >= report.acknowledged > 4_000
    assert report.stored and report.rejected and report.duplicates and report.redelivered
    assert report.cancelled and report.dead_letters and ran.history.told
    assert report.stored + report.rejected + report.duplicates == report.acknowledged + report.maybe
    assert {offer.way for offer in ran.history.offers.values()} == HTTP_WAYS.keys() | DIRECT_WAYS.keys()


def test_a_check_of_a_few_tenants_at_a_time_says_the_same(ran: Ran) -> None:
    assert ran.check(60, tenants_at_once=3) == ran.check(60)


@contextmanager
def _undone(database: Database, table: str, tenants: Sequence[str]) -> Iterator[None]:
    """Puts the rows of the tenants back as they were; what they have got elsewhere goes with their mark."""
    database.rows(f"CREATE TEMP TABLE kept AS SELECT * FROM {table} WHERE tenant_id = ANY(%s)", list(tenants))
    try:
        yield
    finally:
        everybody = [*tenants, _STRANGER]
        database.rows(f"DELETE FROM {table} WHERE tenant_id = ANY(%s)", everybody)
        database.rows(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept")
        database.rows("DROP TABLE kept")


_STRANGER: Final = "chaos-nobody"
_ONE: Final = "tenant_id = %s AND scan_id = %s AND activity_key = %s"


def _plain_key(database: Database, scan: Scan) -> str:
    """A record of the scan that changes no count of sensitive records or transfers."""
    query = """SELECT activity_key FROM processing_activities WHERE tenant_id = %s AND scan_id = %s
               AND NOT sensitive AND NOT cross_border AND record_index IS NOT NULL ORDER BY record_index LIMIT 1"""
    return str(database.value(query, *scan))


def _rows_and_counts(small: Ran, tenants_at_once: int | None = None) -> list[tuple[str, ...]]:
    """What is found of single records; that the day's counts are not those of the rows any more is found as well."""
    found = small.found(tenants_at_once)
    counts = [each for each in found if each[0] == "misreported" and not each[2]]
    assert counts
    return [each for each in found if each not in counts]


def _copy(database: Database, scan: Scan, key: str, **columns: str) -> None:
    """The row once more, with some columns as they are not."""
    database.rows(f"CREATE TEMP TABLE twin AS SELECT * FROM processing_activities WHERE {_ONE}", *scan, key)
    for name, value in columns.items():
        database.rows(f"UPDATE twin SET {name} = %s", value)
    database.rows("INSERT INTO processing_activities SELECT * FROM twin")
    database.rows("DROP TABLE twin")


def test_a_lost_record_is_found(small: Ran, database: Database) -> None:
    scan = small.scan("mixed")
    key = _plain_key(database, scan)
    with _undone(database, "processing_activities", small.tenants):
        database.rows(f"DELETE FROM processing_activities WHERE {_ONE}", *scan, key)
        assert _rows_and_counts(small) == [("lost", *scan, key)]
    assert small.found() == []


def test_a_lost_rejected_record_is_found(small: Ran, database: Database) -> None:
    row = database.rows("SELECT * FROM rejected_records WHERE tenant_id = ANY(%s) ORDER BY id LIMIT 1", small.tenants)[
        0
    ]
    with _undone(database, "rejected_records", small.tenants):
        database.rows("DELETE FROM rejected_records WHERE id = %s", row["id"])
        assert small.found() == [("lost", row["tenant_id"], str(row["scan_id"]), row["activity_key"] or "")]


def test_a_rejected_record_that_is_listed_twice_is_found(small: Ran, database: Database) -> None:
    row = database.rows("SELECT * FROM rejected_records WHERE tenant_id = ANY(%s) ORDER BY id LIMIT 1", small.tenants)[
        0
    ]
    columns = (
        "tenant_id, scan_id, record_index, activity_key, code, pointer, errors, original, kafka_partition, kafka_offset"
    )
    with _undone(database, "rejected_records", small.tenants):
        database.rows(
            f"INSERT INTO rejected_records ({columns}) SELECT {columns} FROM rejected_records WHERE id = %s", row["id"]
        )
        assert small.found() == [("doubled", row["tenant_id"], str(row["scan_id"]), row["activity_key"] or "")]


def test_a_doubled_record_is_found_in_its_scan_and_in_another(small: Ran, database: Database) -> None:
    scan = small.scan("mixed")
    other = next(each for each in small.history.acknowledged_scans() if each[0] == scan[0] and each != scan)
    key = _plain_key(database, scan)
    with _undone(database, "processing_activities", small.tenants):
        _copy(database, scan, key, activity_key="another key")
        _copy(database, scan, key, scan_id=other[1])
        assert _rows_and_counts(small) == sorted([("doubled", *scan, "another key"), ("doubled", *other, key)])


def test_a_record_that_nobody_sent_is_found(small: Ran, database: Database) -> None:
    scan = small.scan("mixed")
    with _undone(database, "processing_activities", small.tenants):
        _copy(database, scan, _plain_key(database, scan), activity_key="new", name="nobody sent this")
        assert _rows_and_counts(small) == [("unaccounted", *scan, "new")]


@pytest.mark.parametrize("column", ["stored", "sensitive", "cross_border"])
def test_a_wrong_count_of_a_day_is_found(small: Ran, database: Database, column: str) -> None:
    with _undone(database, "tenant_day_counts", small.tenants):
        place = "(tenant_id, day, category, kafka_partition)"
        database.rows(
            f"UPDATE tenant_day_counts SET {column} = {column} + 1 WHERE {place} ="
            f" (SELECT {place[1:-1]} FROM tenant_day_counts WHERE tenant_id = %s LIMIT 1)",
            small.tenants[0],
        )
        assert small.found() == [("misreported", small.tenants[0], "", "")]
    with _undone(database, "tenant_day_counts", small.tenants):
        database.rows("DELETE FROM tenant_day_counts WHERE tenant_id = %s AND category = 'all'", small.tenants[0])
        assert {each[:2] for each in small.found()} == {("misreported", small.tenants[0])}


def test_an_altered_record_is_found(small: Ran, database: Database) -> None:
    scan = small.scan("mixed")
    key = _plain_key(database, scan)
    with _undone(database, "processing_activities", small.tenants):
        database.rows(f"UPDATE processing_activities SET purpose = 'another' WHERE {_ONE}", *scan, key)
        assert small.found() == [("altered", *scan, key)]


def test_a_record_under_another_tenant_is_found(small: Ran, database: Database) -> None:
    scan = small.scan("mixed")
    neighbour = next(each for each in small.history.acknowledged_scans() if each[0] != scan[0])
    key = _plain_key(database, scan)
    with _undone(database, "processing_activities", small.tenants):
        _copy(database, scan, key, tenant_id=neighbour[0], scan_id=neighbour[1])
        _copy(database, scan, key, tenant_id=_STRANGER)
        assert _rows_and_counts(small) == sorted([("foreign", *neighbour, key), ("foreign", _STRANGER, scan[1], key)])
        assert _rows_and_counts(small, 1) == sorted(
            [("unaccounted", *neighbour, key), ("foreign", _STRANGER, scan[1], key)]
        )


@pytest.mark.parametrize(
    "change",
    ["records_stored = records_stored + 1", "status = 'failed'", "records_total = records_total - 1", "closed = false"],
)
def test_a_scan_that_says_something_else_than_is_there_is_found(small: Ran, database: Database, change: str) -> None:
    scan = small.scan("json")
    with _undone(database, "scans", small.tenants):
        # of no partition: else a worker that looks right now publishes it
        database.rows(f"UPDATE scans SET {change}, kafka_partition = -1 WHERE tenant_id = %s AND scan_id = %s", *scan)
        found = small.found()
    assert set(found) == {("misreported", *scan, "")}


@pytest.mark.parametrize("table", ["audit_log", "scan_messages"])
def test_a_missing_line_of_a_ledger_is_found(small: Ran, database: Database, table: str) -> None:
    scan = small.scan("arrays-twice")
    with _undone(database, table, small.tenants):
        database.rows(f"DELETE FROM {table} WHERE tenant_id = %s AND scan_id = %s", *scan)
        assert small.found() == [("misreported", *scan, "")]


def test_an_offset_that_has_moved_is_found(small: Ran, database: Database) -> None:
    database.rows(
        "INSERT INTO stream_offsets (pipeline, topic, partition, next_offset, owner)"
        " SELECT 'planted', topic, partition, next_offset, owner FROM stream_offsets WHERE pipeline = 'inventory'"
    )
    try:
        assert small.check(pipeline="planted").findings == []
        for step in (1, -2):
            database.rows(
                "UPDATE stream_offsets SET next_offset = next_offset + %s WHERE pipeline = 'planted' AND partition ="
                " (SELECT partition FROM stream_offsets WHERE pipeline = 'planted' ORDER BY next_offset DESC LIMIT 1)",
                step,
            )
            assert [finding.kind for finding in small.check(pipeline="planted").findings] == ["offset_wrong"]
    finally:
        database.rows("DELETE FROM stream_offsets WHERE pipeline = 'planted'")


def test_a_status_that_was_published_wrongly_is_found(small: Ran, statuses: StatusTopic) -> None:
    scan = small.scan("json")
    right = statuses.read()["/".join(scan)]
    stranger = str(uuid.uuid4())
    _tell(small.servers, scan, right | {"records_stored": right["records_stored"] - 1})
    _tell(small.servers, (scan[0], stranger), right | {"scan_id": stranger, "source": None, "status": "queued"})
    assert small.found() == sorted([("misreported", *scan, ""), ("unaccounted", scan[0], stranger, "")])
    _tell(small.servers, scan, right | {"status": "processing"})
    assert ("misreported", *scan, "") in small.found()
    _tell(small.servers, scan, right)
    _tell(small.servers, (scan[0], stranger), None)
    assert small.found() == []


def test_a_client_that_was_given_an_end_that_is_none_is_found(small: Ran) -> None:
    told = small.history.told
    assert told
    scan, status = told[0]
    told[0] = (scan, status | {"records_duplicate": status["records_duplicate"] + 1})
    try:
        assert small.found() == [("misreported", *scan, "")]
    finally:
        told[0] = (scan, status)


def test_what_was_acknowledged_and_is_not_in_the_topic_is_found(small: Ran) -> None:
    history = small.history
    offer = next(name for name, offer in history.offers.items() if offer.way == "json")
    direct = next(name for name, offer in history.offers.items() if offer.way == "mixed")
    tenant, scan = history.body_of(offer).tenant, str(uuid.uuid4())
    history.accepted.append(Accepted(offer, scan, 60))
    history.deliveries.append(Delivery(direct, "records", 0, 10**9, "0" * 16, None, 1))
    try:
        found = small.found()
    finally:
        history.accepted.pop()
        history.deliveries.pop()
    assert found.count(("lost", tenant, scan, "")) == 61  # every record, and the closing message
    assert ("lost", history.body_of(direct).tenant, history.offers[direct].scan, "") in found
    assert ("doubled", tenant, "", "") in found  # one key, two scans


def test_a_good_record_in_the_dead_letter_topic_is_found(small: Ran) -> None:
    """The last one: a letter cannot be taken back."""
    delivery = next(each for each in small.history.deliveries if each.kind == "records")
    offer = small.history.offers[delivery.offer]
    tenant = small.history.body_of(delivery.offer).tenant
    headers = {
        "ce_type": "vn.scanline.scan.records.v1",
        "ce_subject": offer.scan,
        "scanline_partition": str(delivery.partition),
        "scanline_offset": str(delivery.offset),
    }
    _send(small.servers, "scan.dlq.v1", tenant, b"{}", headers)
    assert small.found() == [("dead_lettered_wrongly", tenant, offer.scan, "")]


def _tell(servers: Servers, scan: Scan, status: dict[str, Any] | None) -> None:
    value = None if status is None else json.dumps(status, ensure_ascii=False).encode()
    _send(servers, "scan.status.v1", "/".join(scan), value, {})


def _send(servers: Servers, topic: str, key: str, value: bytes | None, headers: dict[str, Any]) -> None:
    producer = Producer({"bootstrap.servers": servers.bootstrap, "partitioner": "murmur2_random"})
    producer.produce(topic, value, key, headers=[(name, text.encode()) for name, text in headers.items()])
    assert producer.flush(30) == 0
