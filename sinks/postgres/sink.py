"""One transaction per micro-batch (docs/architecture.md#the-transaction): offset, rows, rejects, progress and audit, or
nothing.

Why it is exactly once: the offset moves by compare-and-swap in the same transaction as the rows. A worker that wakes up
late, or repeats an attempt whose answer was lost, finds the offset moved and writes nothing.
"""

import datetime as dt
import logging
import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psycopg2
from psycopg2 import errorcodes
from sqlalchemy.engine import Engine

from schemas.pool_metrics import WatchedPool
from schemas.session_settings import AT_REST, NAMES, lacking_text, local, writing
from schemas.status import Scan, ScanStatus, status_of
from schemas.stored_offset import StoredOffset
from sinks.effects import Effects, Key, Plan, Stored, Taken, key_of
from sinks.postgres import metrics, scans
from sinks.postgres.calls import Calls, TimedCursor
from sinks.postgres.copy_command import copy_staged, copy_straight
from sinks.postgres.day_counts import add_day_counts
from sinks.postgres.engine import DEADLINE
from sinks.postgres.errors import DATABASE_ERRORS, may_be_a_messages, meaning, sqlstate
from sinks.postgres.ledger import PostgresLedger
from sinks.postgres.parts import Parts
from sinks.postgres.rejects import first_errors, insert_rejects
from sinks.postgres.rows import Lines, lines_of
from sinks.postgres.tenant_counts import TenantCounts
from sinks.protocol import Fenced, LaneStore, MicroBatch, RecordReader, Unavailable, Unstorable

log = logging.getLogger("scanline.sink")
_MOVE: Final = """
UPDATE stream_offsets SET next_offset = %s, owner = %s, updated_at = clock_timestamp()
WHERE pipeline = %s AND topic = %s AND partition = %s AND next_offset = %s AND topic_id IS NOT DISTINCT FROM %s
RETURNING clock_timestamp()
"""
_ENSURE_OFFSETS: Final = """
INSERT INTO stream_offsets (pipeline, topic, partition, next_offset, topic_id, owner)
SELECT %(pipeline)s, %(topic)s, p, 0, %(topic_id)s::text, %(owner)s FROM unnest(%(partitions)s::int[]) AS p
ON CONFLICT DO NOTHING;
UPDATE stream_offsets SET topic_id = %(topic_id)s
WHERE pipeline = %(pipeline)s AND topic = %(topic)s AND partition = ANY (%(partitions)s)
  AND (topic_id IS NULL OR next_offset = 0) AND %(topic_id)s IS NOT NULL AND topic_id IS DISTINCT FROM %(topic_id)s;
SELECT partition, next_offset, topic_id FROM stream_offsets
WHERE pipeline = %(pipeline)s AND topic = %(topic)s AND partition = ANY (%(partitions)s)
"""
_AUDIT: Final = """
INSERT INTO audit_log (tenant_id, scan_id, actor, action, details, message)
SELECT tenant_id, scan_id, actor, action, details, message FROM json_populate_recordset(NULL::audit_log, %(audit)s::json)
"""
_FINISH: Final = f"""
{scans.UPDATE};
{_AUDIT};
SET LOCAL synchronous_commit TO {{commit}};
COMMIT
"""

# statement_timeout does not reach a COPY that waits for its client. A worker that is frozen in the middle of one would hold
# its partition's offset for as long as it stays frozen; its session is ended after the time its statement was given.
_END_ABANDONED: Final = """
ROLLBACK;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = current_setting('application_name')
  AND state = 'active' AND wait_event = 'ClientRead' AND state_change < clock_timestamp() - make_interval(secs => %s)
"""
_ALLOWED: Final = """
SELECT coalesce(max(before_offset), 0) FROM dead_letter_allowances WHERE pipeline = %s AND topic = %s AND partition = %s
"""
_OTHERS: Final = """
SELECT EXISTS (SELECT FROM scans WHERE kafka_partition = %s AND updated_at > clock_timestamp() - interval '7 days'
               AND tenant_id IS DISTINCT FROM %s)
"""
_WAITED_IN_VAIN: Final = frozenset({errorcodes.QUERY_CANCELED, errorcodes.LOCK_NOT_AVAILABLE})


class Prepared(NamedTuple):
    """A micro-batch with the rows of each of its messages formatted."""

    plan: Plan
    lines: list[Lines]

    def has_twins(self) -> bool:
        """True when a scan has the same activity_key twice in here."""
        keys: defaultdict[Key, list[bytes]] = defaultdict(list)
        for message, lines in zip(self.plan.batch.messages, self.lines, strict=True):
            keys[key_of(message)] += lines.keys
        return any(len(set(each)) != len(each) for each in keys.values())

    def of(self, taken: Iterable[Taken]) -> tuple[list[Lines], dict[Key, Stored]]:
        """The rows of all records taken, and what each scan gains where all of them are stored."""
        rows: list[Lines] = []
        gained: defaultdict[Key, Stored] = defaultdict(Stored)
        for at, message, kept in taken:
            whole = self.lines[at]
            lines = whole if kept is None else whole.only(kept)
            if lines.ends:
                rows.append(lines)
            gained[key_of(message)].update(lines.kinds)
        return rows, gained


class PostgresSink:
    """Sink for one pipeline. Thread-safe: every call takes a connection of its own from the write pool."""

    def __init__(
        self,
        engine: Engine,
        pipeline: str,
        tenants: TenantCounts | None = None,
        reader: RecordReader | None = None,
    ) -> None:
        """`tenants` counts records by tenant; None: nobody does. `reader` is what LaneStore says of it."""
        self.reader: Final = reader
        metrics.NATIVE.set(reader is not None)
        self._engine = engine
        self._tenants = tenants
        self._pipeline = pipeline
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._pool = WatchedPool("write", engine)
        self._looked = False
        deadline = engine.get_execution_options()[DEADLINE]
        self._deadline = deadline
        self._settings = local(writing(deadline))
        self._parts = Parts(deadline)
        self._calls = Calls(deadline)
        metrics.PART_BYTES.set_function(lambda: self._parts.limit or 0)

    def load_offsets(
        self, topic: str, partitions: Iterable[int], topic_id: str | None = None
    ) -> dict[int, StoredOffset]:
        """Makes the rows that do not exist yet."""
        parameters = {
            "pipeline": self._pipeline,
            "topic": topic,
            "owner": self._owner,
            "partitions": sorted(partitions),
            "topic_id": topic_id,
        }
        with self._cursor() as cursor:
            cursor.alone(_ENSURE_OFFSETS, parameters)
            found = {partition: StoredOffset(*place) for partition, *place in cursor.fetchall()}
            self._look_at_role(cursor)
        return found

    def _look_at_role(self, cursor: TimedCursor) -> None:
        """Says once what the role lacks; deadlines hold all the same."""
        if self._looked:
            return
        self._looked = True
        cursor.alone(AT_REST, (NAMES,))
        [(role, _, found)] = cursor.fetchall()
        if text := lacking_text(role, found):
            log.warning(text)

    def prepare(self, batch: MicroBatch) -> Prepared:
        """Formats the rows."""
        return Prepared(Plan(batch), [lines_of(message) for message in batch.messages])

    def write(self, prepared: Prepared) -> list[ScanStatus]:
        """Straight COPY first; after a conflict or bad data the whole transaction again through staging."""
        started = time.perf_counter()
        staged = prepared.has_twins()  # then a straight COPY is bound to fail
        while True:
            try:
                with self._cursor() as cursor:
                    statuses, effects = self._transaction(cursor, prepared, staged=staged)
                break
            except _Staging:
                staged = True
            except Unavailable as failure:
                error = failure.__cause__
                if error is not None and may_be_a_messages(error):
                    raise Unstorable(failure.cause_code) from error
                raise
        metrics.SECONDS.observe(time.perf_counter() - started)
        metrics.BATCHES.labels("staged" if staged else "direct").inc()
        metrics.BATCH_BYTES.observe(sum([message.bytes for message in prepared.plan.batch.messages]))
        for outcome, count in effects.outcomes().items():
            metrics.RECORDS.labels(outcome).inc(count)
        for code, count in effects.reject_codes().items():
            metrics.REJECTS.labels(code).inc(count)
        if self._tenants is not None:
            self._tenants.count(effects.records_by_tenant())
        return statuses

    def _transaction(
        self, cursor: TimedCursor, prepared: Prepared, *, staged: bool
    ) -> tuple[list[ScanStatus], Effects]:
        plan, batch = prepared.plan, prepared.plan.batch
        place = batch.topic, batch.partition, batch.start, batch.topic_id
        cursor.begin(_MOVE, (batch.end, self._owner, self._pipeline, *place))
        if cursor.rowcount != 1:
            metrics.FENCED.inc()
            raise Fenced(f"{batch.topic}[{batch.partition}] is no longer at {batch.start} of that topic")
        [(now,)] = cursor.fetchall()
        locked = scans.lock(cursor, batch.partition, plan.scan_keys)
        effects = plan.apply(locked, PostgresLedger(cursor, batch))
        rows, gained = prepared.of(effects.taken)
        refused: dict[int, str] = {}
        if rows:
            if staged:
                gained, refused = copy_staged(cursor, rows)
            else:
                try:
                    copy_straight(cursor, rows)
                except psycopg2.Error as error:
                    if meaning(error) == "unavailable":
                        raise
                    raise _Staging from error
        effects.settle(gained, refused)
        insert_rejects(cursor, batch.partition, effects.rejects)
        add_day_counts(cursor, batch.partition, effects.gained)
        for key in effects.mended:
            locked[key].errors_sample = first_errors(cursor, *key)
        for scan in locked.values():
            scan.settle(now)
        # Whoever reads that a scan is finished must be able to rely on it: that commit waits for the disk, and takes
        # everything written before it along. All others may lose their tail in a crash, with their offsets.
        durable = any(scan.finished for scan in locked.values())
        self._finish(cursor, batch.partition, list(locked.values()), effects.audit_rows(self._owner), durable=durable)
        return [status_of(scan) for scan in locked.values()], effects

    @staticmethod
    def _finish(
        cursor: TimedCursor, partition: int, changed: list[Scan], audit: list[dict[str, Any]], *, durable: bool
    ) -> None:
        """Progress and audit; what is left of them when parts of them were sent goes with the commit."""
        *scan_parts, last_scans = list(cursor.parts.cut_json(changed)) or ["[]"]
        for part in scan_parts:
            cursor.execute(scans.UPDATE, {"partition": partition, "scan_rows": part})
        *audit_parts, last_audit = list(cursor.parts.cut_json(audit)) or ["[]"]
        for part in audit_parts:
            cursor.execute(_AUDIT, {"audit": part})
        cursor.execute(
            _FINISH.format(commit="on" if durable else "off"),
            {"partition": partition, "scan_rows": last_scans, "audit": last_audit},
        )

    def statuses(self, partition: int, changed_within: dt.timedelta) -> list[ScanStatus]:
        with self._cursor() as cursor:
            return [status_of(scan) for scan in scans.changed_within(cursor, partition, changed_within)]

    def dead_letters_allowed(self, topic: str, partition: int) -> int:
        with self._cursor() as cursor:
            cursor.alone(_ALLOWED, (self._pipeline, topic, partition))
            [(offset,)] = cursor.fetchall()
            return int(offset)

    def used_by_others(self, partition: int, tenant_id: str | None) -> bool:
        """Lately: as far back as the records topic reaches."""
        with self._cursor() as cursor:
            cursor.alone(_OTHERS, (partition, tenant_id))
            [(others,)] = cursor.fetchall()
            return bool(others)

    def interrupt(self, thread: int) -> None:
        self._calls.end(thread)

    def answers(self, thread: int | None) -> int:
        return self._calls.answers(thread)

    @property
    def batch_bytes(self) -> int | None:
        return self._parts.batch_bytes

    def probe(self) -> None:
        """Writes nothing, but asks for the right to: a standby or a full server must not look healthy."""
        with self._cursor() as cursor:
            cursor.begin("CREATE TEMP TABLE probe (x int) ON COMMIT DROP; COMMIT")

    def close(self) -> None:
        self._calls.close()
        self._engine.dispose()
        self._pool.close()

    @contextmanager
    def _cursor(self) -> Iterator[TimedCursor]:
        """A cursor of a pooled connection in autocommit; transactions are opened and closed by our own statements,
        which saves round trips. Any error gives the connection up, so that no half-done transaction returns to the
        pool."""
        try:
            with self._pool.checkout():
                connection = self._engine.raw_connection()
        except DATABASE_ERRORS as error:
            raise self._unavailable(error) from error
        try:
            driver: Any = connection.driver_connection
            driver.autocommit = True
            cursor = driver.cursor(cursor_factory=TimedCursor)
            cursor.call, cursor.parts, cursor.settings = self._calls.begin(driver), self._parts, self._settings
            yield cursor
            cursor.close()
        except (_Staging, Fenced):
            self._roll_back(connection)
            raise
        except DATABASE_ERRORS as error:
            if sqlstate(error) in _WAITED_IN_VAIN:
                with suppress(*DATABASE_ERRORS):
                    connection.cursor().execute(_END_ABANDONED, (self._deadline,))
            connection.invalidate()
            raise self._unavailable(error) from error
        except BaseException:
            connection.invalidate()
            raise
        finally:
            self._calls.finish()
            connection.close()
            self._pool.measure()

    @staticmethod
    def _roll_back(connection: Any) -> None:
        try:
            connection.cursor().execute("ROLLBACK")
        except DATABASE_ERRORS:
            connection.invalidate()

    @staticmethod
    def _unavailable(error: BaseException) -> Unavailable:
        code = sqlstate(error)
        metrics.ERRORS.labels(code[:2]).inc()
        return Unavailable(code, type(error).__name__)


if TYPE_CHECKING:
    _keeps: type[LaneStore[Prepared]] = PostgresSink


class _Staging(Exception):
    """A conflict or bad data: the transaction must be done again, through the staging table."""
