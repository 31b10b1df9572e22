"""A replay into PostgreSQL tables of its own: the live tables' twins in another schema, written by the pipeline's own
sink.

Its offsets stand in that schema, so an interrupted replay goes on from there, each record exactly once.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from psycopg2 import errorcodes
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from infra.errors import InfraError
from infra.postgres.poolers import refuse_pooler
from infra.postgres.routines import CLOSE_TAKE_REJECTIONS, TAKE_REJECTIONS
from infra.settings import InfraSettings
from schemas.session_settings import for_session, writing
from schemas.tables import HASH_PARTITIONS, metadata
from schemas.topics import RECORDS_TOPIC
from sinks.postgres import PostgresSink
from sinks.postgres.engine import write_engine
from sinks.postgres.errors import sqlstate
from sinks.protocol import Fenced, Unavailable, Unstorable

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PROTECTED: Final = frozenset({"public", "information_schema"})
_PIPELINE: Final = "replay"
_DEADLINE: Final = 60.0  # seconds of one statement
_OURS_ALONE: Final = 8_201_508  # any number, of advisory locks; with the schema's name as the second
# a session whose client was killed is gone after 2 s (client_connection_check_interval)
_LOCK: Final = """
SET LOCAL lock_timeout = '10s'; SELECT pg_advisory_lock(%s, hashtext(%s))
"""
_MAKE_MARK: Final = """
CREATE TABLE replay (
    selection text NOT NULL, topic_id text, begun_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz
)
"""
_TOTALS: Final = """
SELECT count(*) AS scans, coalesce(sum(records_stored), 0)::bigint AS stored,
       coalesce(sum(records_rejected), 0)::bigint AS rejected, coalesce(sum(records_duplicate), 0)::bigint AS duplicate
FROM scans
"""


class ReplaySchema:
    """Tables that are there, and that nobody else writes into."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self._engine = engine

    def sink(self) -> PostgresSink:
        """The pipeline's own, over these tables."""
        return PostgresSink(self._engine, _PIPELINE)

    def finish(self) -> dict[str, int]:
        """Remembers that everything is there, when the disk has it; returns counts of everything it holds."""
        with self._engine.begin() as connection:
            # the sink's commits do not wait for the disk; this one does, and takes them along
            connection.execute(text("SET LOCAL synchronous_commit = on"))
            connection.execute(text("UPDATE replay SET finished_at = clock_timestamp()"))
            return dict(connection.execute(text(_TOTALS)).mappings().one())


def check_name(name: str) -> None:
    """Raises InfraError where it is no name for a replay's schema."""
    if not _NAME.fullmatch(name) or name.startswith("pg_") or name in _PROTECTED:
        raise InfraError.of("replay_schema_name_invalid", name=name)


@contextmanager
def opened(
    settings: InfraSettings, name: str, selection: str, topic_id: str | None, *, overwrite: bool
) -> Iterator[ReplaySchema]:
    """The schema, new or that of the same selection of the same topic. Raises InfraError where it is another's."""
    check_name(name)
    url = settings.postgres_replay_url or settings.postgres_migrate_url
    if url is None:
        raise InfraError.of("replay_schema_url_missing")
    engine = _engine(url.get_secret_value(), name)
    try:
        with _refusals(url.get_secret_value(), name):
            with engine.begin() as connection:
                _prepare(connection, name, selection, topic_id, overwrite=overwrite)
            yield ReplaySchema(name, engine)
    finally:
        engine.dispose()


def _engine(url: str, name: str) -> Engine:
    try:
        engine = write_engine(url, connections=1, deadline_seconds=_DEADLINE, application="scanline-replay")
    except ArgumentError:
        raise InfraError.of("postgres_url_invalid", name="SCANLINE_POSTGRES_REPLAY_URL") from None

    settings = for_session(
        {**writing(_DEADLINE), "synchronous_commit": "off", "search_path": name}
    )  # no tables but those

    # Whoever writes holds the lock. What a killed replay's session still does is done, or undone, before the next one looks.
    @event.listens_for(engine, "connect")
    def lock(connection: Any, _: Any) -> None:
        refuse_pooler(connection, "SCANLINE_POSTGRES_REPLAY_URL")
        with connection.cursor() as cursor:
            cursor.execute(settings)
            cursor.execute(_LOCK, (_OURS_ALONE, name))
        connection.commit()

    return engine


def _prepare(connection: Connection, name: str, selection: str, topic_id: str | None, *, overwrite: bool) -> None:
    """All of it in one transaction: tables that are half made are never seen."""
    there = connection.execute(text("SELECT FROM pg_namespace WHERE nspname = :name"), {"name": name}).first()
    if there is None:
        connection.execute(text(f'CREATE SCHEMA "{name}"'))
    marked = connection.execute(text("SELECT to_regclass('replay') IS NOT NULL")).scalar_one()
    if not marked:
        _insist_on_nothing(connection, name)
    else:
        known, read, finished = connection.execute(
            text("SELECT selection, topic_id, finished_at IS NOT NULL FROM replay")
        ).one()
        anew = None not in (read, topic_id) and read != topic_id
        if known == selection and not anew and not (finished and overwrite):
            connection.execute(
                text("UPDATE replay SET finished_at = NULL, topic_id = coalesce(topic_id, :id)"), {"id": topic_id}
            )
            return
        if not overwrite and known == selection:
            raise InfraError.of("replay_schema_topic_replaced", topic=RECORDS_TOPIC, name=name)
        if not overwrite:
            raise InfraError.of("replay_schema_of_another", name=name, known=known)
        metadata.drop_all(connection, checkfirst=False)
        connection.execute(text("DROP FUNCTION take_rejections; DROP TABLE replay"))
    _make(connection, selection, topic_id)


def _insist_on_nothing(connection: Connection, name: str) -> None:
    """Refuses a schema that no replay made: it may be a live pipeline's, and is never written into or replaced."""
    held = "SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE nspname = :name)"
    if connection.execute(text(held), {"name": name}).scalar_one():
        raise InfraError.of("replay_schema_foreign", name=name)


def _make(connection: Connection, selection: str, topic_id: str | None) -> None:
    metadata.create_all(connection, checkfirst=False)
    for number in range(HASH_PARTITIONS):
        connection.execute(
            text(
                f"CREATE TABLE processing_activities_{number:02} PARTITION OF processing_activities"
                f" FOR VALUES WITH (MODULUS {HASH_PARTITIONS}, REMAINDER {number})"
            )
        )
    connection.execute(text(TAKE_REJECTIONS))
    connection.execute(text(CLOSE_TAKE_REJECTIONS))
    connection.execute(text(_MAKE_MARK))
    mark = {"selection": selection, "topic_id": topic_id}
    connection.execute(text("INSERT INTO replay (selection, topic_id) VALUES (:selection, :topic_id)"), mark)


@contextmanager
def _refusals(url: str, name: str) -> Iterator[None]:
    """PostgreSQL's words, and the sink's, in ours."""
    try:
        yield
    except Fenced:
        raise InfraError.of("replay_schema_written_by_others", name=name) from None
    except Unstorable as error:
        raise InfraError.of("replay_schema_refuses_all", sqlstate=error.cause_code) from None
    except Unavailable as error:
        raise InfraError.of("replay_schema_refuses", sqlstate=error.cause_code) from None
    except DBAPIError as error:
        where, what = make_url(url), str(error.orig).strip()
        state = sqlstate(error)
        if state in (errorcodes.LOCK_NOT_AVAILABLE, errorcodes.QUERY_CANCELED):
            raise InfraError.of("replay_schema_busy", name=name) from None
        if state == errorcodes.INSUFFICIENT_PRIVILEGE:
            raise InfraError.of("replay_schema_not_allowed", role=where.username, name=name, reason=what) from None
        raise InfraError.of(
            "replay_schema_failed",
            name=name,
            host=where.host,
            port=where.port or 5432,
            database=where.database,
            reason=what,
        ) from None
