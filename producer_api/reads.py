"""Reads from PostgreSQL: rejected records and processing activities, through a pool of their own."""

import datetime as dt
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, create_engine, select, text, tuple_
from sqlalchemy.exc import SQLAlchemyError

from producer_api.http.page import Page, PageBounds, SourceFailed, page_of
from producer_api.rows import ACTIVITY_COLUMNS, DAILY_COUNT_SUMS, REJECTED_COLUMNS, activity, daily_count, rejected
from producer_api.settings import ApiSettings
from schemas.pool_metrics import PoolUse, WatchedPool
from schemas.server_queries import CONNECTIONS_LIMIT, LETTERS_DONE, WRITTEN
from schemas.session_settings import AT_REST, NAMES, begin_with, lacking_text, reading
from schemas.stored_offset import StoredOffset
from schemas.tables import processing_activities, rejected_records, scans, tenant_day_counts
from schemas.topics import RECORDS_TOPIC

log = logging.getLogger("scanline.reads")
# Rows that come from PostgreSQL at a time, and so are held beside the page: one can have a quarter of a megabyte.
_AT_ONCE: Final = 16
_DOWNLOAD: Final = PageBounds(1_000, 1024 * 1024)  # of what an NDJSON download reads and holds at a time
# The names of others' applications are nobody's business here.
_CONNECTIONS: Final = text("""
SELECT CASE WHEN application_name LIKE 'scanline-%' THEN application_name ELSE 'other' END AS name, count(*)
FROM pg_stat_activity WHERE datid IS NOT NULL GROUP BY name ORDER BY name
""")


class ReadsUnavailable(SourceFailed):
    """PostgreSQL did not answer in time."""


class Filters(NamedTuple):
    """Filters of processing activities; None means all."""

    scan_id: uuid.UUID | None = None
    category: str | None = None
    sensitive: bool | None = None
    cross_border: bool | None = None


class Days(NamedTuple):
    """From one day to another, both included; None: no bound."""

    since: dt.date | None = None
    until: dt.date | None = None


class DatabaseFacts(NamedTuple):
    """What operators are told of PostgreSQL. `letters_done` counts dead letters within the bounds that were asked about
    and need nothing more; None where none were."""

    written: dict[int, StoredOffset]
    letters_done: int | None
    connections: dict[str, int]  # by application; those that are not ours together
    connections_limit: int


class LetterBounds(NamedTuple):
    """The dead letters that are still there: partitions, the first offset of each, and the one after its last."""

    partitions: list[int]
    begins: list[int]
    ends: list[int]


class DatabaseReader:
    """Blocking calls, made from the thread pool. Each raises ReadsUnavailable."""

    def __init__(self, settings: ApiSettings) -> None:
        seconds = self._seconds = settings.read_deadline_seconds
        self._engine = create_engine(
            settings.postgres_read_url.get_secret_value(),
            pool_size=settings.read_connections,
            max_overflow=0,
            pool_timeout=seconds,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(2, int(seconds)),
                "tcp_user_timeout": int(seconds * 1000),
                "application_name": "scanline-api",
            },
        )
        begin_with(self._engine, reading(seconds))
        self._looked = False
        self._pool = WatchedPool("read", self._engine)

    @property
    def pool_use(self) -> PoolUse:
        """Of the connections of this process."""
        return self._pool.use

    def facts(self, pipeline: str, letters: LetterBounds | None) -> DatabaseFacts:
        """What operators are told, by one connection."""
        of = {"pipeline": pipeline, "topic": RECORDS_TOPIC}
        with self._connected() as connection:
            written = connection.exec_driver_sql(WRITTEN, of)
            found = {number: StoredOffset(offset, topic_id) for number, offset, topic_id in written}
            done = None
            if letters is not None:
                done = connection.exec_driver_sql(LETTERS_DONE, letters._asdict()).scalar_one()
            counts = {str(name): int(count) for name, count in connection.execute(_CONNECTIONS)}
            limit = connection.exec_driver_sql(CONNECTIONS_LIMIT).scalar_one()
        return DatabaseFacts(found, done, counts, limit)

    def close(self) -> None:
        """Gives every connection back."""
        self._engine.dispose()
        self._pool.close()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._pool.checkout():
                connection = self._engine.connect()
            with connection:
                self._look_at_role(connection)
                yield connection
        except SQLAlchemyError as error:
            raise ReadsUnavailable(type(error).__name__) from None
        finally:
            self._pool.measure()

    def _look_at_role(self, connection: Connection) -> None:
        """Says once what the role lacks; the deadline holds all the same."""
        if self._looked:
            return
        self._looked = True
        role, _, found = connection.exec_driver_sql(AT_REST, (NAMES,)).one()
        if text_of_it := lacking_text(role, found):
            log.warning(text_of_it)

    def _page(self, query: Select[Any], encode: Callable[[Any], bytes], bounds: PageBounds) -> Page[Any]:
        """Rows come by a cursor of the server's, some at a time: a page that is full leaves the others where they are.
        One that has anything ends after half the deadline, so that rows which take long are read all the same, page by
        page."""
        query = query.limit(bounds.items + 1)
        with self._connected() as connection:
            in_pieces = connection.execution_options(stream_results=True, max_row_buffer=_AT_ONCE)
            return page_of(_given(in_pieces, query), encode, bounds._replace(seconds=self._seconds / 2))

    def has_scan(self, tenant_id: str, scan_id: str) -> bool:
        """True where anything of the scan was written yet."""
        query = select(scans.c.scan_id).where(scans.c.tenant_id == tenant_id, scans.c.scan_id == uuid.UUID(scan_id))
        with self._connected() as connection:
            return connection.execute(query).first() is not None

    def errors(self, tenant_id: str, scan_id: str, after: int, bounds: PageBounds) -> Page[Any]:
        """A page of rejected records in the order they were rejected; each has its `id`."""
        table = rejected_records
        query = (
            select(*REJECTED_COLUMNS)
            .where(table.c.tenant_id == tenant_id, table.c.scan_id == uuid.UUID(scan_id), table.c.id > after)
            .order_by(table.c.id)
        )
        return self._page(query, rejected, bounds)

    def all_errors(self, tenant_id: str, scan_id: str) -> Iterator[bytes]:
        """Every rejected record as NDJSON, read in chunks."""
        after: int | None = 0
        while after is not None:
            page = self.errors(tenant_id, scan_id, after, _DOWNLOAD)
            after = None if page.last is None else page.last.id
            yield b"".join([each + b"\n" for each in page.items])

    def activities(
        self, tenant_id: str, filters: Filters, after: tuple[uuid.UUID, str] | None, bounds: PageBounds
    ) -> Page[Any]:
        """A page of processing activities in the order of (scan_id, activity_key); each has both."""
        table = processing_activities
        query = select(*ACTIVITY_COLUMNS).where(table.c.tenant_id == tenant_id)
        if filters.scan_id is not None:
            query = query.where(table.c.scan_id == filters.scan_id)
        if filters.category is not None:
            query = query.where(table.c.data_categories.any_() == filters.category)
        if filters.sensitive is not None:
            query = query.where(table.c.sensitive == filters.sensitive)
        if filters.cross_border is not None:
            query = query.where(table.c.cross_border == filters.cross_border)
        if after is not None:
            query = query.where(tuple_(table.c.scan_id, table.c.activity_key) > tuple_(*after))
        return self._page(query.order_by(table.c.scan_id, table.c.activity_key), activity, bounds)

    def daily_counts(
        self, tenant_id: str, days: Days, category: str | None, after: tuple[dt.date, str] | None, bounds: PageBounds
    ) -> Page[Any]:
        """A page of the tenant's counts in the order of (day, category); each has both."""
        table = tenant_day_counts.c
        query = select(table.day, table.category, *DAILY_COUNT_SUMS).where(table.tenant_id == tenant_id)
        if days.since is not None:
            query = query.where(table.day >= days.since)
        if days.until is not None:
            query = query.where(table.day <= days.until)
        if category is not None:
            query = query.where(table.category == category)
        if after is not None:
            query = query.where(tuple_(table.day, table.category) > tuple_(*after))
        query = query.group_by(table.day, table.category).order_by(table.day, table.category)
        return self._page(query, daily_count, bounds)


def _given(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    try:
        yield from connection.execute(query)
    except SQLAlchemyError as error:
        raise ReadsUnavailable(type(error).__name__) from None
