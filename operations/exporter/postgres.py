"""What PostgreSQL tells of itself. It needs a role with pg_monitor; what a lesser one may not see is left out."""

import logging
import select
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import psycopg2
import psycopg2.extensions as extensions

from operations.exporter import declarations as told
from operations.exporter.sources import Away, Family, Sample
from schemas.server_queries import CHECKPOINTER_VIEW_SINCE, CHECKPOINTS, CHECKPOINTS_BEFORE, CONNECTIONS_LIMIT
from schemas.session_settings import AT_REST, NAMES, OF_ROLES, lacking_text, local, reading

log = logging.getLogger("scanline.exporter")
_STATES: Final = (
    "active",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "fastpath function call",
    "disabled",
)
_SELDOM: Final = 6  # looks
_LOCK_MILLISECONDS: Final = OF_ROLES["scanline_monitor"]["lock_timeout"]
_SEES_ALL: Final = "SELECT pg_has_role('pg_monitor', 'USAGE')"
_POSITION: Final = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
# a partition counts for its table; schemas of replays do not count
_TABLES: Final = """
SELECT coalesce((SELECT relname FROM pg_class WHERE oid = pg_partition_root(s.relid)), s.relname), sum({what})
FROM pg_stat_user_tables AS s WHERE s.schemaname = 'public' GROUP BY 1
"""


class Question(NamedTuple):
    """A query, and what its rows are. It is asked of versions (as 170000) from `oldest` on and below `beyond`; with
    `monitor` only by a role that has pg_monitor, since PostgreSQL hides from others rather than refuse."""

    text: str
    samples: Callable[[list[Any]], Iterator[Sample]]
    oldest: int = 0
    beyond: int = 10_000_000
    monitor: bool = False
    seldom: bool = False  # it reads much: asked at one look of some, and told again at the others


def _one(family: Family) -> Callable[[list[Any]], Iterator[Sample]]:
    def samples(rows: list[Any]) -> Iterator[Sample]:
        for (value,) in rows:
            if value is not None:
                yield Sample(family, float(value))

    return samples


def _each(family: Family) -> Callable[[list[Any]], Iterator[Sample]]:
    """Of rows with a label's value and a number."""

    def samples(rows: list[Any]) -> Iterator[Sample]:
        for label, value in rows:
            if value is not None:
                yield Sample(family, float(value), (str(label),))

    return samples


def _checkpoints(rows: list[Any]) -> Iterator[Sample]:
    for timed, requested in rows:
        yield Sample(told.CHECKPOINTS, float(timed), ("timed",))
        yield Sample(told.CHECKPOINTS, float(requested), ("requested",))


def _connections(rows: list[Any]) -> Iterator[Sample]:
    counts = dict.fromkeys(_STATES, 0) | {state: count for state, count in rows if state is not None}
    for state, count in counts.items():
        yield Sample(told.CONNECTIONS, float(count), (state,))


def _records(rows: list[Any]) -> Iterator[Sample]:
    for category, *counts in rows:
        for kind, count in zip(("stored", "sensitive", "cross_border"), counts, strict=True):
            yield Sample(told.COMPLIANCE_RECORDS, float(count), (category, kind))


QUESTIONS: Final = (
    Question(CHECKPOINTS_BEFORE, _checkpoints, beyond=CHECKPOINTER_VIEW_SINCE),
    Question(CHECKPOINTS, _checkpoints, oldest=CHECKPOINTER_VIEW_SINCE),
    Question(f"SELECT pg_wal_lsn_diff({_POSITION}, '0/0')", _one(told.WAL_BYTES)),
    Question("SELECT count(*) FROM pg_locks WHERE NOT granted", _one(told.LOCKS_WAITING)),
    Question(_TABLES.format(what="s.n_dead_tup"), _each(told.DEAD_ROWS)),
    Question(_TABLES.format(what="pg_total_relation_size(s.relid)"), _each(told.TABLE_BYTES), seldom=True),
    Question(
        "SELECT category, sum(stored), sum(sensitive), sum(cross_border) FROM tenant_day_counts"
        " WHERE day = (now() AT TIME ZONE 'Asia/Ho_Chi_Minh')::date GROUP BY 1",
        _records,
        seldom=True,
    ),
    Question(
        "SELECT state, count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1",
        _connections,
        monitor=True,
    ),
    Question(CONNECTIONS_LIMIT, _one(told.CONNECTIONS_LIMIT)),
    Question(
        "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'",
        _one(told.ARCHIVE_PENDING),
        monitor=True,
    ),
    Question("SELECT failed_count FROM pg_stat_archiver", _one(told.ARCHIVE_FAILURES)),
    Question(
        f"SELECT application_name, max(pg_wal_lsn_diff({_POSITION}, replay_lsn)) FROM pg_stat_replication GROUP BY 1",
        _each(told.REPLICATION_LAG),
        monitor=True,
    ),
    Question(
        "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        _one(told.LONGEST_TRANSACTION),
        monitor=True,
    ),
)


def bound_answers(seconds: float) -> None:
    """No answer to any connection of this process is waited for longer: a server that takes everything and says nothing is
    not noticed by any timeout of its own, or of TCP's."""

    def wait(connection: Any) -> None:
        deadline = time.monotonic() + seconds
        while True:
            state = connection.poll()
            if state == extensions.POLL_OK:
                return
            left = max(0.0, deadline - time.monotonic())
            reads = [connection] if state == extensions.POLL_READ else []
            writes = [connection] if state == extensions.POLL_WRITE else []
            if not any(select.select(reads, writes, [], left)):
                raise psycopg2.OperationalError("no answer within the time")

    extensions.set_wait_callback(wait)


class Session:
    """One connection, made again where it was lost."""

    def __init__(self, url: str, seconds: float) -> None:
        self._dsn = f"postgresql://{url.partition('://')[2]}"  # what SQLAlchemy takes, without loading it
        self._settings = local({**reading(seconds), "lock_timeout": _LOCK_MILLISECONDS})
        self._connection: Any = None

    def rows(self, query: str, parameters: Mapping[str, Any] | tuple[Any, ...] | None = None) -> list[Any]:
        """Raises psycopg2.Error."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(self._settings + query, parameters)  # without any, a % means itself
                return list(cursor.fetchall())
        except psycopg2.Error as error:
            if error.pgcode is None:  # not the server's word: the connection is of no more use
                self.close()
            raise

    @property
    def connection(self) -> Any:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self._dsn, application_name="scanline-exporter")
            self._connection.autocommit = True
        return self._connection

    @property
    def is_open(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Postgres:
    """See Source."""

    name: Final = "postgres"

    def __init__(self, url: str, seconds: float) -> None:
        self._session = Session(url, seconds)
        self._looks = 0
        self._last: dict[str, list[Sample]] = {}  # answers to what is asked seldom
        self._told: set[str] = set()

    def look(self) -> list[Sample]:
        """See Source."""
        try:
            version = self._session.connection.server_version
            ((sees_all,),) = self._session.rows(_SEES_ALL)
            if not sees_all:
                self._tell_once(_SEES_ALL, "SCANLINE_POSTGRES_MONITOR_URL: thiếu quyền / lacks pg_monitor")
            if not self._looks:
                self._look_at_role()
            found: list[Sample] = []
            for question in QUESTIONS:
                if question.oldest <= version < question.beyond and (sees_all or not question.monitor):
                    found += self._answer(question)
        except psycopg2.Error as error:
            self._session.close()
            self._looks = 0
            raise Away(f"{type(error).__name__} {error.pgcode or ''}".strip()) from None
        self._looks += 1
        return found

    def _look_at_role(self) -> None:
        """Says once what the role lacks; the deadline holds all the same."""
        ((role, _, found),) = self._session.rows(AT_REST, (NAMES,))
        text = lacking_text(role, found)
        if text and AT_REST not in self._told:
            self._told.add(AT_REST)
            log.warning(text)

    def _answer(self, question: Question) -> list[Sample]:
        """Nothing where the server refuses this one: a right that is missing, a table that somebody has locked. Raises
        psycopg2.Error where it does not answer at all."""
        if question.seldom and self._looks % _SELDOM:
            return self._last[question.text]
        try:
            answer = list(question.samples(self._session.rows(question.text)))
        except psycopg2.Error as error:
            if error.pgcode is None or not self._session.is_open or error.pgcode.startswith(("08", "57P")):
                raise
            self._tell_once(question.text, f"SQLSTATE {error.pgcode}: {question.text.strip()}")
            answer = []
        if question.seldom:
            self._last[question.text] = answer
        return answer

    def _tell_once(self, about: str, what: str) -> None:
        if about not in self._told:
            self._told.add(about)
            log.warning("PostgreSQL không cho biết / does not tell: %s", what)
