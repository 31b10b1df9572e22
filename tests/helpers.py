"""What the tests on real servers share: publishing as a stranger would, and reading back what became of it.

Nothing here uses the pipeline's own code for reading or counting: a mistake there must not hide itself.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import psycopg2
import psycopg2.extras
from confluent_kafka import Consumer, Producer, TopicPartition

from trials.checker.statuses import COMPARED
from trials.checker.tables import DAY_COUNTS_WRONG

RECORDS: Final = "scan.records.v1"
STATUS: Final = "scan.status.v1"
DEAD_LETTERS: Final = "scan.dlq.v1"
FINAL: Final = {"completed", "completed_with_errors", "failed", "cancelled"}
PATIENCE: Final = 60.0  # seconds until a condition that never comes true fails a test
Value = TypeVar("Value")


def wait_for(look: Callable[[], Value], what: str, seconds: float = PATIENCE) -> Value:
    """Looks until it finds something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}; last look: {found!r}")
        time.sleep(0.05)


def new_scan() -> str:
    return str(uuid.uuid4())


def peak_memory(pid: int) -> int:
    """The most resident memory the process has ever had, in bytes."""
    return peak_in(Path(f"/proc/{pid}/status").read_text())


def peak_in(status: str) -> int:
    """The same, of a process's /proc/PID/status as it once was."""
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024


class Publisher:
    """A direct publisher in plain confluent-kafka. A context manager that waits for every delivery report."""

    def __init__(self, bootstrap: str, **settings: Any) -> None:
        self.failures: list[str] = []
        self.acknowledged = 0
        self.producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                **settings,
            }
        )

    def send(
        self, tenant: str, scan: str, kind: str, value: bytes, *, first: int | None = None, headers: Any = ()
    ) -> None:
        """One message of type vn.scanline.scan.<kind>.v1."""
        all_headers = [("ce_type", f"vn.scanline.scan.{kind}.v1".encode()), ("ce_subject", scan.encode()), *headers]
        if first is not None:
            all_headers.append(("ce_firstindex", str(first).encode()))
        self.raw(tenant.encode(), value, all_headers)

    def raw(self, key: bytes | None, value: bytes | None, headers: Any, partition: int | None = None) -> None:
        """Any message at all."""
        place = {} if partition is None else {"partition": partition}
        while True:
            try:
                self.producer.produce(RECORDS, value, key, headers=list(headers), on_delivery=self._delivered, **place)
                break
            except BufferError:
                self.producer.poll(0.1)
        self.producer.poll(0)

    def records(self, tenant: str, scan: str, lines: Sequence[bytes], *, at_once: int = 1000, first: int = 0) -> None:
        """Arrays of `at_once` records, numbered."""
        for at in range(0, len(lines), at_once):
            self.send(tenant, scan, "records", array(lines[at : at + at_once]), first=first + at)

    def singles(self, tenant: str, scan: str, lines: Iterable[bytes]) -> None:
        """A message a record, not numbered."""
        for line in lines:
            self.send(tenant, scan, "records", line)

    def closed(self, tenant: str, scan: str, total: int) -> None:
        self.send(tenant, scan, "closed", json.dumps({"records_total": total}).encode())

    def scan(self, tenant: str, lines: Sequence[bytes], **how: Any) -> str:
        """A whole scan in arrays. Returns its id."""
        scan = new_scan()
        self.records(tenant, scan, lines, **how)
        self.closed(tenant, scan, len(lines))
        return scan

    def _delivered(self, error: Any, _: Any) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.failures.append(str(error))

    def flush(self) -> None:
        """Waits for every delivery report."""
        left = self.producer.flush(PATIENCE)
        assert not left and not self.failures, (left, self.failures[:3])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()


def array(lines: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(lines) + b"]"


class Database:
    """Looks into PostgreSQL as superuser. A context manager. After a restart of the server it connects again."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Rows as dicts."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self._dsn, options="-c timezone=UTC")
            self._connection.autocommit = True
        with self._connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(query, parameters)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def value(self, query: str, *parameters: Any) -> Any:
        """The one value of the one row."""
        return next(iter(self.rows(query, *parameters)[0].values()))

    def scan(self, tenant: str, scan: str) -> dict[str, Any] | None:
        found = self.rows("SELECT * FROM scans WHERE tenant_id = %s AND scan_id = %s", tenant, scan)
        return found[0] if found else None

    def finished(self, tenant: str, scan: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """The scan's row, once it has ended."""

        def look() -> dict[str, Any] | None:
            row = self.scan(tenant, scan)
            return row if row is not None and row["status"] in FINAL else None

        return wait_for(look, f"scan {scan} of {tenant} ends, now {self.scan(tenant, scan)}", seconds)

    def keys(self, tenant: str, scan: str) -> list[str]:
        """activity_keys stored, sorted."""
        query = "SELECT activity_key AS k FROM processing_activities WHERE tenant_id = %s AND scan_id = %s ORDER BY 1"
        return sorted(row["k"] for row in self.rows(query, tenant, scan))

    def activities(self, tenant: str, scan: str) -> list[dict[str, Any]]:
        query = "SELECT * FROM processing_activities WHERE tenant_id = %s AND scan_id = %s ORDER BY activity_key"
        return self.rows(query, tenant, scan)

    def rejected(self, tenant: str, scan: str) -> list[dict[str, Any]]:
        """In the order of their index."""
        query = "SELECT * FROM rejected_records WHERE tenant_id = %s AND scan_id = %s ORDER BY record_index, id"
        return self.rows(query, tenant, scan)

    def audit(self, tenant: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM audit_log WHERE tenant_id = %s ORDER BY id", tenant)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class StatusTopic:
    """The last status of each scan in scan.status.v1, read from the start by a consumer without a group."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "not-used",
                "enable.auto.commit": False,
                # Short: whatever else is asked waits on the same connection until a fetch is answered.
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        count = len(self._consumer.list_topics(STATUS, timeout=30).topics[STATUS].partitions)
        assert count, "a topic without partitions would never say anything"
        self._places = [TopicPartition(STATUS, number) for number in range(count)]
        self._next = dict.fromkeys(range(count), 0)
        self.last: dict[str, dict[str, Any]] = {}

    def read(self) -> dict[str, dict[str, Any]]:
        """Everything told so far, by `tenant/scan`."""
        ends = {place.partition: self._consumer.get_watermark_offsets(place, timeout=30)[1] for place in self._places}
        if any(self._next[number] < end for number, end in ends.items()):
            self._consumer.assign([TopicPartition(STATUS, number, at) for number, at in self._next.items()])
            self._read_to(ends)
            self._consumer.unassign()  # or it would ask a hundred times a second until the last test
        return self.last

    def _read_to(self, ends: Mapping[int, int]) -> None:
        deadline = time.monotonic() + PATIENCE
        while any(self._next[number] < end for number, end in ends.items()):
            assert time.monotonic() < deadline, (self._next, ends)
            message = self._consumer.poll(1.0)
            if message is None or message.error() is not None:
                continue
            self._next[message.partition()] = message.offset() + 1
            key = message.key().decode()
            if message.value() is None:
                self.last.pop(key, None)
            else:
                self.last[key] = json.loads(message.value())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()


def assert_told(database: Database, statuses: StatusTopic, tenants: Iterable[str], seconds: float = 20) -> None:
    """The status topic says what the database says, of every scan of the tenants, once both are quiet."""
    wanted = list(tenants)
    problems: list[str] = []

    def look() -> bool:
        problems[:] = differences(database, statuses, wanted)
        return not problems

    try:
        wait_for(look, "status topic and database agree", seconds)
    except AssertionError:
        raise AssertionError("\n".join(problems[:5])) from None


def differences(database: Database, statuses: StatusTopic, tenants: Sequence[str]) -> list[str]:
    """What the status topic says and the database does not, or the other way round."""
    told = {key: value for key, value in statuses.read().items() if key.partition("/")[0] in set(tenants)}
    found = []
    for row in database.rows("SELECT * FROM scans WHERE tenant_id = ANY(%s)", list(tenants)):
        key = f"{row['tenant_id']}/{row['scan_id']}"
        status = told.pop(key, None)
        if status is None:
            found.append(f"{key}: never told")
            continue
        found += [
            f"{key}: {name} is {row[name]!r} in the database and was told as {status[name]!r}"
            for name in COMPARED
            if row[name] != status[name]
        ]
    found += [f"{key}: told but not in the database" for key in told]
    counts = database.rows(DAY_COUNTS_WRONG, list(tenants), list(tenants))
    return found + [f"{row['tenant_id']}: {row['text']}" for row in counts]


def assert_accounted(database: Database, tenant: str, scan: str) -> None:
    """What `scans` counts is what the tables hold, and what the audit log says was done."""
    row = database.scan(tenant, scan)
    assert row is not None
    held = database.rows(
        "SELECT count(*) AS stored, count(*) FILTER (WHERE sensitive) AS sensitive,"
        " count(*) FILTER (WHERE cross_border) AS cross_border"
        " FROM processing_activities WHERE tenant_id = %s AND scan_id = %s",
        tenant,
        scan,
    )[0]
    rejected = database.value(
        "SELECT count(*) FROM rejected_records WHERE tenant_id = %s AND scan_id = %s", tenant, scan
    )
    assert {name: row[f"records_{name}"] for name in held} == held
    assert row["records_rejected"] == rejected
    assert [error["index"] for error in row["errors_sample"]] == [
        each["record_index"]
        for each in database.rows(
            "SELECT record_index FROM rejected_records WHERE tenant_id = %s AND scan_id = %s ORDER BY id LIMIT 20",
            tenant,
            scan,
        )
    ]


def changed(line: bytes, **fields: Any) -> bytes:
    """A record with other fields."""
    return json.dumps(json.loads(line) | fields, ensure_ascii=False).encode()


def headers_of(message: Any) -> Mapping[str, bytes]:
    return dict(message.headers() or [])
