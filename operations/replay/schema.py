"""A replay into PostgreSQL tables of its own: the live tables' twins in another schema, written by the pipeline's own sink.

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
from infra.postgres.routines import CLOSE_TAKE_REJECTIONS, TAKE_REJECTIONS
from infra.settings import InfraSettings
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
SET lock_timeout = '10s'; SELECT pg_advisory_lock(%s, hashtext(%s)); SET lock_timeout = DEFAULT
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
            connection.execute(text("SET synchronous_commit = on"))
            connection.execute(text("UPDATE replay SET finished_at = clock_timestamp()"))
            return dict(connection.execute(text(_TOTALS)).mappings().one())


def check_name(name: str) -> None:
    """Raises InfraError where it is no name for a replay's schema."""
    if not _NAME.fullmatch(name) or name.startswith("pg_") or name in _PROTECTED:
        raise InfraError(
            f"«{name}» không dùng được làm tên lược đồ. Hãy dùng chữ thường, chữ số và gạch dưới; trừ public, pg_… và "
            "information_schema.",
            f"«{name}» cannot be the schema. Use lower-case letters, digits and underscores; not public, pg_… or "
            "information_schema.",
        )


@contextmanager
def opened(
    settings: InfraSettings, name: str, selection: str, topic_id: str | None, *, overwrite: bool
) -> Iterator[ReplaySchema]:
    """The schema, new or that of the same selection of the same topic. Raises InfraError where it is another's."""
    check_name(name)
    url = settings.postgres_replay_url or settings.postgres_migrate_url
    if url is None:
        raise InfraError(
            "--to-schema cần SCANLINE_POSTGRES_REPLAY_URL hoặc SCANLINE_POSTGRES_MIGRATE_URL.",
            "--to-schema needs SCANLINE_POSTGRES_REPLAY_URL or SCANLINE_POSTGRES_MIGRATE_URL.",
        )
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
        engine = write_engine(
            url, connections=1, deadline_seconds=_DEADLINE, schema=name, application="scanline-replay"
        )
    except ArgumentError:
        raise InfraError(
            "SCANLINE_POSTGRES_REPLAY_URL không phải là URL của SQLAlchemy.",
            "SCANLINE_POSTGRES_REPLAY_URL is not a SQLAlchemy URL.",
        ) from None

    # Whoever writes holds the lock. What a killed replay's session still does is done, or undone, before the next one looks.
    @event.listens_for(engine, "connect")
    def lock(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
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
            raise InfraError(
                f"{RECORDS_TOPIC} đã được tạo lại sau khi lược đồ {name} được ghi. Hãy chọn tên khác, hoặc dùng --overwrite.",
                f"{RECORDS_TOPIC} was made anew after the schema {name} was written. Choose another name, or use --overwrite.",
            )
        if not overwrite:
            raise InfraError(
                f"Lược đồ {name} chứa một lần phát lại khác: {known}. Hãy chọn tên khác, hoặc dùng --overwrite.",
                f"The schema {name} holds another replay: {known}. Choose another name, or use --overwrite.",
            )
        metadata.drop_all(connection, checkfirst=False)
        connection.execute(text("DROP FUNCTION take_rejections; DROP TABLE replay"))
    _make(connection, selection, topic_id)


def _insist_on_nothing(connection: Connection, name: str) -> None:
    """What no replay made is never written into, and never replaced: it may be a live pipeline's."""
    held = "SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE nspname = :name)"
    if connection.execute(text(held), {"name": name}).scalar_one():
        raise InfraError(
            f"Lược đồ {name} chứa những thứ không do phát lại tạo ra. Hãy chọn tên khác.",
            f"The schema {name} holds things that no replay made. Choose another name.",
        )


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
        raise InfraError(
            f"Có ai khác đã ghi vào lược đồ {name}. Hãy chạy lại cùng lệnh.",
            f"Somebody else has written into the schema {name}. Run the same command again.",
        ) from None
    except Unstorable as error:
        raise InfraError(
            f"PostgreSQL từ chối mọi lần ghi (SQLSTATE {error.cause_code}), kể cả khi không có thông điệp nào. Hãy xem ràng"
            " buộc và trigger của lược đồ.",
            f"PostgreSQL refuses everything (SQLSTATE {error.cause_code}), even without any message. Look at the schema's"
            " constraints and triggers.",
        ) from None
    except Unavailable as error:
        raise InfraError(
            f"PostgreSQL không nhận dữ liệu (SQLSTATE {error.cause_code}). Hãy chạy lại cùng lệnh để làm tiếp.",
            f"PostgreSQL takes nothing (SQLSTATE {error.cause_code}). Run the same command again to go on.",
        ) from None
    except DBAPIError as error:
        where, what = make_url(url), str(error.orig).strip()
        state = sqlstate(error)
        if state in (errorcodes.LOCK_NOT_AVAILABLE, errorcodes.QUERY_CANCELED):
            raise InfraError(
                f"Một lần phát lại khác đang ghi vào lược đồ {name}.",
                f"Another replay is writing into the schema {name}.",
            ) from None
        if state == errorcodes.INSUFFICIENT_PRIVILEGE:
            raise InfraError(
                f"Vai trò {where.username} không tạo được lược đồ {name}: {what}. Cần GRANT CREATE ON DATABASE.",
                f"The role {where.username} may not make the schema {name}: {what}. It needs GRANT CREATE ON DATABASE.",
            ) from None
        raise InfraError(
            f"Không chuẩn bị được lược đồ {name} tại {where.host}:{where.port or 5432}/{where.database}: {what}",
            f"The schema {name} at {where.host}:{where.port or 5432}/{where.database} could not be made ready: {what}",
        ) from None
