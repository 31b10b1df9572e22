"""Measures what PostgreSQL takes at most: COPY of ready-made lines into the same table, and nothing else."""

import io
import statistics
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final, NamedTuple

import psycopg2

from schemas import topics
from schemas.decoder import Incoming
from schemas.messages import Envelope
from schemas.record import decode_records
from schemas.tables import HASH_PARTITIONS
from sinks.columns import COLUMNS
from sinks.postgres.rows import lines_of
from trials import generator
from trials.bench.together import Transaction, run_together

ROWS_PER_TRANSACTION: Final = 1_000
SCHEMA: Final = "bench_raw"
TABLE: Final = f"{SCHEMA}.processing_activities"
COPY: Final = f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN"


class RawCopy(NamedTuple):
    """Rows a second: every repeat, and the median."""

    connections: int
    repeats: list[float]

    @property
    def rate(self) -> float:
        return statistics.median(self.repeats)


def copy_lines(tenants: Sequence[str], records: int = ROWS_PER_TRANSACTION) -> list[str]:
    """One transaction's worth of COPY text per tenant, as the sink itself would write it."""
    return [lines_of(message).data.decode() for message in new_scans(tenants, records)]


def new_scans(tenants: Sequence[str], records: int = ROWS_PER_TRANSACTION) -> Iterator[Incoming]:
    """One message for each tenant: the same records each time, in a scan that is new."""
    for number, tenant in enumerate(tenants):
        decoded = decode_records(generator.array(generator.records(records, number, tenant)))
        envelope = Envelope(topics.RECORDS, tenant, str(uuid.uuid4()), 0)
        yield Incoming(0, envelope, decoded, range(len(decoded)), plain=True)


def make_scratch(dsn: str) -> None:
    """The table once more, with its primary key, its defaults and its hash partitions, in a schema of its own."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
        cursor.execute(
            f"CREATE TABLE {TABLE} (LIKE public.processing_activities INCLUDING ALL) PARTITION BY HASH (tenant_id)"
        )
        for number in range(HASH_PARTITIONS):
            cursor.execute(
                f"CREATE TABLE {TABLE}_{number:02} PARTITION OF {TABLE}"
                f" FOR VALUES WITH (MODULUS {HASH_PARTITIONS}, REMAINDER {number})"
            )


def drop_scratch(dsn: str) -> None:
    """Takes the scratch schema away again."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def measure(dsn: str, texts: Sequence[str], connections: int, repeats: int) -> list[float]:
    """Rows a second of each repeat; every repeat begins with the empty table and open connections."""
    return [_once(dsn, texts, connections) for _ in range(repeats)]


def _once(dsn: str, texts: Sequence[str], connections: int) -> float:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {TABLE}")
    shares = [[copying(text) for text in texts[at::connections]] for at in range(connections)]
    seconds, _ = run_together(dsn, "-c synchronous_commit=off", shares)
    return sum(text.count("\n") for text in texts) / seconds


def copying(text: str) -> Transaction:
    """What copies these lines, with everything prepared that is not the database's work."""
    file = io.BytesIO(text.encode())
    return lambda cursor: cursor.copy_expert(COPY, file, size=1 << 16)
