"""Bytes that a record takes: in PostgreSQL with each of its indexes, in the write-ahead log, in Kafka; and memory of the
processes. Sizes do not depend on how busy the machine is."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg2
from confluent_kafka import Producer

from infra.errors import InfraError
from infra.stack import Stack
from kafka_client.message_headers import Sendable
from operations.api_client import ApiClient
from schemas import topics
from schemas.messages import headers_for
from schemas.server_queries import WAL_INSERTED
from trials import generator
from trials.bench.direct import Backlog
from trials.bench.http import Call, submit_all
from trials.bench.row_watcher import differences
from trials.checker.topics import Entry, Topics
from trials.soak.sampler import memory_mib

_PATIENCE: Final = 120.0  # seconds without anything new after which a step is given up
_AT_ONCE: Final = 50  # submissions
_MIB: Final = 1 << 20
_SMALL: Final = 1 << 18  # bytes of a table below which its pages say nothing about its rows
_NDJSON: Final = "application/x-ndjson"
_TOPICS: Final = (topics.RECORDS_TOPIC, topics.STATUS_TOPIC, topics.DLQ_TOPIC)
# A worker that puts every unreadable message aside: here they come one after the other.
_NO_LIMIT: Final = {"SCANLINE_DEAD_LETTER_RUN": "1000000", "SCANLINE_DEAD_LETTER_SHARE": "1"}
# Tables with their rows' files and out-of-line values, and each index; parts of a partitioned one added up.
_RELATIONS: Final = """
SELECT c.relname, coalesce(t.relname, c.relname), sum(
    CASE WHEN c.relkind IN ('r', 'p') THEN pg_table_size(coalesce(leaf.relid, c.oid))
         ELSE pg_relation_size(coalesce(leaf.relid, c.oid)) END)::bigint
FROM pg_class c
LEFT JOIN pg_index i ON i.indexrelid = c.oid
LEFT JOIN pg_class t ON t.oid = i.indrelid
LEFT JOIN LATERAL pg_partition_tree(c.oid) leaf ON leaf.isleaf
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'i', 'I') AND NOT c.relispartition
GROUP BY 1, 2 ORDER BY 2, 1
"""
Say = Callable[[str], None]


class Amounts(NamedTuple):
    """What is written. `records` and `singles`, `broken` and `letters` are of each tenant; `small_scans` of one record are of
    one tenant; `statuses` are read by an API that starts."""

    tenants: int = 100
    records: int = 2_000
    singles: int = 1_000
    small_scans: int = 3_000
    broken: int = 50
    letters: int = 10
    statuses: int = 50_000


QUICK: Final = Amounts(20, 1_000, 500, 500, 10, 5, 20_000)


class Figure(NamedTuple):
    """What so many of something (`per`) took together, in bytes."""

    what: str
    per: str
    number: int
    total: float

    @property
    def each(self) -> float:
        """Bytes of one."""
        return self.total / self.number


class Relation(NamedTuple):
    """A table, or an index and its table."""

    name: str
    table: str


def run(folder: Path, amounts: Amounts, say: Say) -> list[Figure]:
    """Measures everything on servers made anew below `folder`. Raises InfraError where something was not stored."""
    with Stack(folder, fresh=True) as stack:
        stack.start_servers()
        stack.start_api()
        stack.start_worker(_NO_LIMIT)
        measuring = _Measuring(stack, amounts)
        for name, step in measuring.steps.items():
            say(name)
            step()
        return measuring.figures


class _Looks(NamedTuple):
    wal: int
    topics: Mapping[str, int]
    relations: Mapping[Relation, int]


class _Measuring:
    """Writes one kind of thing after the other into the same servers, and looks before and after each."""

    def __init__(self, stack: Stack, amounts: Amounts) -> None:
        self._stack = stack
        self._amounts = amounts
        self._dsn = stack.postgres.superuser_dsn()
        self._tenants = [f"size-{number:03}" for number in range(amounts.tenants)]
        self._sent: dict[str, int] = {}  # scan -> records that will be stored
        self._broken: dict[str, str] = {}  # tenant -> the scan with records that are rejected
        self._api = stack.apis[0]
        self._api_memory = memory_mib({"": self._api.pid})["memory "]  # it has just started, and knows no scan
        self.figures: list[Figure] = []

    @property
    def steps(self) -> dict[str, Callable[[], None]]:
        """Name -> what runs it, in the order in which they build on each other."""
        return {
            "arrays": self._arrays,
            "single records": self._singles,
            "small scans": self._small_scans,
            "rejected records": self._rejected,
            "corrections": self._corrections,
            "dead letters": self._dead_letters,
            "bloat": self._bloat,
            "statuses": self._statuses,
        }

    def _arrays(self) -> None:
        lines = {tenant: generator.records(self._amounts.records, 1, tenant) for tenant in self._tenants}
        count = self._amounts.records * len(self._tenants)
        self._add("JSON, as sent", "record", count, sum(len(line) for each in lines.values() for line in each))
        with self._step("arrays of up to 1,000", "record", count):
            self._submit({tenant: generator.ndjson(each) for tenant, each in lines.items()}, self._amounts.records)
        for relation, size in _look(self._stack).relations.items():
            if relation.table == "processing_activities":
                self._add(f"PostgreSQL, {relation.name}", "record", count, size)

    def _singles(self) -> None:
        backlog = Backlog(self._tenants, self._amounts.singles, 2)
        with self._step("single records", "record", backlog.total):
            backlog.publish(self._stack.kafka.bootstrap)
            self._stored(backlog.sent)

    def _small_scans(self) -> None:
        tenant, count = "size-small", self._amounts.small_scans
        bodies = [generator.ndjson([line]) for line in generator.records(count, 3, tenant)]
        with self._step("scans of one record", "scan", count) as looks:
            for at in range(0, count, _AT_ONCE):
                calls = [Call(tenant, body, _NDJSON) for body in bodies[at : at + _AT_ONCE]]
                answers = submit_all([self._api.base_url], calls)
                self._sent |= {answer.scan_id: 1 for answer in answers}
            self._stored({})
        for relation, grown in _grown(looks).items():
            if relation.table != "processing_activities" and grown:
                self._add(f"PostgreSQL, {relation.name}", "scan", count, grown)
        last = self._last_words()
        self._add("status topic, the last word", "scan", len(last), sum(map(_bytes_of, last)))

    def _rejected(self) -> None:
        """Each tenant sends a scan in which every record breaks a rule."""
        bodies = {}
        for tenant in self._tenants:
            records = [json.loads(line) for line in generator.records(self._amounts.broken, 4, tenant)]
            bodies[tenant] = generator.ndjson(
                [json.dumps(record | {"purpose": ""}, ensure_ascii=False).encode() for record in records]
            )
        count = self._amounts.broken * len(self._tenants)
        with self._step("rejected records", "rejected record", count) as looks:
            self._broken = self._submit(bodies, 0)
        self._tables("rejected_records", looks, "rejected record", count)

    def _corrections(self) -> None:
        """All of them are corrected and sent again: rows move from one table to another."""
        count = self._amounts.broken * len(self._tenants)
        with self._step("corrections", "corrected record", count) as looks:
            with ApiClient(self._api.base_url) as api:
                for tenant, scan in self._broken.items():
                    lines = [json.loads(line) for line in api.errors(tenant, scan)]
                    for line in lines:
                        line["record"]["purpose"] = "Chăm sóc khách hàng"
                    pieces = [json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines]
                    api.mend(tenant, scan, pieces, wait=30)
                    self._sent[scan] = len(lines)
            self._stored({})
        self._tables("mended_records", looks, "corrected record", count)
        left = sum(size for each, size in _look(self._stack).relations.items() if each.table == "rejected_records")
        self._add("PostgreSQL, rejected_records, all corrected, before VACUUM", "corrected record", count, left)

    def _dead_letters(self) -> None:
        """Messages that end in the middle of a record."""
        count = self._amounts.letters * len(self._tenants)
        size = 0
        with self._step("dead letters", "dead letter", count):
            with _publishing(self._stack.kafka.bootstrap) as publish:
                for tenant in self._tenants:
                    for line in generator.records(self._amounts.letters, 5, tenant):
                        size += len(line) - 1
                        headers: list[Sendable] = [*headers_for(topics.RECORDS, str(uuid.uuid4()))]
                        publish(topics.RECORDS_TOPIC, tenant.encode(), line[:-1], headers)
            with Topics(self._stack.kafka.bootstrap) as reader:
                _wait(lambda: sum(reader.ends(topics.DLQ_TOPIC).values()), lambda found: found >= count)
        self._add("the message itself, uncompressed", "dead letter", count, size)

    def _bloat(self) -> None:
        """What is left when every table is written anew, without a dead row and with full pages."""
        before = _look(self._stack).relations
        _execute(self._dsn, "VACUUM FULL")
        after = _look(self._stack).relations
        counts: dict[str, int] = {}
        for relation, size in before.items():
            if relation.table not in counts:
                [(counts[relation.table],)] = _execute(self._dsn, f"SELECT count(*) FROM {relation.table}")
            count = counts[relation.table]
            if count and min(size, after[relation]) > _SMALL:
                self._add(f"{relation.name} as it was", "row", count, size)
                self._add(f"{relation.name} after VACUUM FULL", "row", count, after[relation])

    def _statuses(self) -> None:
        """The last words on scans, over and over under other ids: what an API that starts beside them takes more than one that
        started beside none."""
        bootstrap = self._stack.kafka.bootstrap
        last = self._last_words()
        with _publishing(bootstrap) as publish:
            for number in range(self._amounts.statuses):
                entry = last[number % len(last)]
                tenant, old = topics.split_status_key(entry.key)
                new = str(uuid.uuid4())
                value = (entry.value or b"").replace(old.encode(), new.encode())
                publish(topics.STATUS_TOPIC, topics.status_key(tenant, new), value, [*entry.headers.items()])
        known = len(self._last_words())
        second = self._stack.start_api()
        more = memory_mib({"": second.pid})["memory "] - self._api_memory
        self._add("memory of an API process", "scan", known, max(0.0, more) * _MIB)

    def _last_words(self) -> list[Entry]:
        """The last message on each scan: what compaction leaves, and what an API process reads when it starts."""
        with Topics(self._stack.kafka.bootstrap) as reader:
            return list({entry.key: entry for entry in reader.read(topics.STATUS_TOPIC, {})}.values())

    def _submit(self, bodies: Mapping[str, bytes], stored: int) -> dict[str, str]:
        """One scan for each tenant, whose records are all judged when this returns. Returns the scans by tenant."""
        answers = submit_all([self._api.base_url], [Call(tenant, body, _NDJSON) for tenant, body in bodies.items()])
        scans = {answer.tenant: answer.scan_id for answer in answers}
        self._stored(dict.fromkeys(scans.values(), stored))
        return scans

    def _stored(self, scans: Mapping[str, int]) -> None:
        """Waits until these and all before have ended with that many records each."""
        self._sent |= scans
        expected = (len(self._sent), sum(self._sent.values()))
        query = "SELECT count(finished_at), coalesce(sum(records_stored), 0)::bigint FROM scans"
        _wait(lambda: _execute(self._dsn, query)[0], lambda found: found == expected)
        complete = {scan: count for scan, count in self._sent.items() if count}
        if found := differences(self._dsn, complete):
            raise InfraError.of("bench_topic_not_filled", reason=found[0])

    @contextmanager
    def _step(self, name: str, per: str, count: int) -> Iterator[list[_Looks]]:
        """Gives what there was before, and afterwards what there is then; the log and the topics are added to the figures."""
        looks = [_look(self._stack)]
        yield looks
        looks.append(_look(self._stack))
        before, after = looks
        self._add(f"{name}: WAL", per, count, after.wal - before.wal)
        for topic in _TOPICS:
            if grown := after.topics[topic] - before.topics[topic]:
                self._add(f"{name}: {topic}", per, count, grown)

    def _tables(self, table: str, looks: Sequence[_Looks], per: str, count: int) -> None:
        for relation, grown in _grown(looks).items():
            if relation.table == table:
                self._add(f"PostgreSQL, {relation.name}", per, count, grown)

    def _add(self, what: str, per: str, count: int, size: float) -> None:
        self.figures.append(Figure(what, per, count, size))


def _grown(looks: Sequence[_Looks]) -> dict[Relation, int]:
    before, after = looks
    return {relation: size - before.relations.get(relation, 0) for relation, size in after.relations.items()}


def _look(stack: Stack) -> _Looks:
    """Topics by the files of their messages, without indexes, which Kafka makes larger than they are."""
    dsn = stack.postgres.superuser_dsn()
    [(wal,)] = _execute(dsn, WAL_INSERTED)
    logs = {
        topic: sum(file.stat().st_size for file in stack.kafka.log_dir.glob(f"{topic}-*/*.log")) for topic in _TOPICS
    }
    return _Looks(wal, logs, {Relation(name, table): size for name, table, size in _execute(dsn, _RELATIONS)})


def _execute(dsn: str, statement: str) -> list[Any]:
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def _wait(look: Callable[[], Any], done: Callable[[Any], bool]) -> None:
    """Until it is done; raises InfraError where nothing moves any more."""
    last, since = None, time.monotonic()
    while not done(found := look()):
        if found != last:
            last, since = found, time.monotonic()
        elif time.monotonic() - since > _PATIENCE:
            raise InfraError.of("bench_topic_not_filled", reason=str(found))
        time.sleep(0.2)


def _bytes_of(entry: Entry) -> int:
    headers = sum(len(name) + len(value) for name, value in entry.headers.items())
    return len(entry.key) + len(entry.value or b"") + headers


@contextmanager
def _publishing(bootstrap: str) -> Iterator[Callable[[str, bytes, bytes, list[Sendable]], None]]:
    """Takes topic, key, value and headers. Raises InfraError at the end where the broker did not take every message."""
    failures: list[str] = []
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": topics.PARTITIONER})

    def failed(error: object, _: object) -> None:
        if error is not None:
            failures.append(str(error))

    def publish(topic: str, key: bytes, value: bytes, headers: list[Sendable]) -> None:
        producer.produce(topic, value, key, headers=headers, on_delivery=failed)
        producer.poll(0)

    yield publish
    if producer.flush(60) or failures:
        raise InfraError.of("kafka_not_acknowledged", reason=failures[:1])
