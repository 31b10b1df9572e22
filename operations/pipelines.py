"""The pipelines whose offsets PostgreSQL holds. Without SQLAlchemy, which takes longer to be loaded than this takes."""

from contextlib import closing
from typing import Any, Final

import psycopg2

from infra.errors import InfraError
from infra.nearest import nearest
from schemas.session_settings import local, reading

_SECONDS: Final = 5
_KNOWN: Final = "SELECT DISTINCT pipeline FROM stream_offsets ORDER BY pipeline"


def check(url: str, pipeline: str) -> None:
    """Raises InfraError where offsets of other pipelines are stored and none of this one: its name is mistyped, and
    every answer about it would be that of a pipeline that has read nothing. Says nothing where PostgreSQL does not
    answer, or where nothing has been read yet."""
    kind, _, where = url.partition("://")
    if kind.partition("+")[0] != "postgresql":
        return
    try:
        connection: Any = psycopg2.connect(f"postgresql://{where}", connect_timeout=_SECONDS)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(local(reading(_SECONDS)) + _KNOWN)
            known = [name for (name,) in cursor]
    except psycopg2.Error:
        return
    if known and pipeline not in known:
        raise InfraError.of(
            "pipeline_unknown", pipeline=pipeline, known=", ".join(known), near=nearest(pipeline, known)
        )
