"""Makes the writes of chosen scans slow, for as long as a test likes: another session holds their rows."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

import psycopg2

from infra.stack import Stack
from tests.load import Scan


@contextmanager
def held(stack: Stack, scans: Iterable[Scan]) -> Iterator[None]:
    """Until the block ends nobody else can write these scans, which must exist."""
    with closing(psycopg2.connect(stack.postgres.superuser_dsn())) as connection, connection.cursor() as cursor:
        for tenant, scan in scans:
            cursor.execute("SELECT 1 FROM scans WHERE tenant_id = %s AND scan_id = %s FOR UPDATE", (tenant, scan))
            assert cursor.rowcount == 1, (tenant, scan)
        yield
