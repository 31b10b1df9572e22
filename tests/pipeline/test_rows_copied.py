"""Whatever the sink formats is taken by COPY as it stands, and read back as what it was."""

import io
import random
from collections.abc import Iterator
from typing import Any, Final

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.decoder import Incoming, decode, envelope_of
from schemas.messages import MessageRefused
from sinks.columns import COLUMNS
from sinks.files.rows import Row, fingerprint, row_of
from sinks.postgres.rows import lines_of
from tests.fuzz.seeds import changed
from tests.fuzz.targets import SCAN, Message
from tests.servers import Servers
from tests.unit.examples import FULL, MINIMAL, NOW, encode, sample_lines

_TENANT: Final = "rows-copied"
_AS_TEXT: Final = {"scan_id", "transfer", "attributes"}
_COPY: Final = f"COPY processing_activities ({', '.join(COLUMNS)}) FROM STDIN"
_SELECT: Final = ", ".join(f"{name}::text" if name in _AS_TEXT else name for name in COLUMNS)


@pytest.fixture(scope="module")
def cursor(servers: Servers) -> Iterator[Any]:
    """On a connection that never commits."""
    connection = psycopg2.connect(servers.admin_dsn, options="-c timezone=UTC")
    yield connection.cursor()
    connection.close()


def message_of(value: bytes) -> Incoming | None:
    headers = [(topics.HEADER_TYPE, topics.RECORDS.encode()), (topics.HEADER_SUBJECT, SCAN.encode())]
    message = Message(_TENANT.encode(), headers, value)
    try:
        return decode(message, envelope_of(message), NOW)
    except MessageRefused:
        return None


def assert_read_back(cursor: Any, incoming: Incoming) -> None:
    # one of the same name hides the real one
    cursor.execute(
        "CREATE TEMP TABLE processing_activities (LIKE public.processing_activities INCLUDING DEFAULTS, place serial)"
    )
    try:
        cursor.copy_expert(_COPY, io.BytesIO(lines_of(incoming).data))
        cursor.execute(f"SELECT {_SELECT} FROM processing_activities ORDER BY place")
        found = [fingerprint(Row(values)) for values in cursor.fetchall()]
    finally:
        cursor.connection.rollback()
    assert found == [fingerprint(row_of(incoming, at)) for at in range(len(incoming.records))]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=20))
def test_changed_records_are_read_back_as_they_were_meant(cursor: Any, numbers: list[int]) -> None:
    known = [encode(FULL), encode(MINIMAL)]
    parts = [changed(known[number % 2], random.Random(number)) for number in numbers]
    for value in (b"[" + b",".join(parts) + b"]", parts[0]):
        incoming = message_of(value)
        if incoming is not None and incoming.records:
            assert_read_back(cursor, incoming)


def test_the_real_scans_are_read_back_as_they_were_meant(cursor: Any) -> None:
    lines = sample_lines()
    for first in range(0, len(lines), 1_000):
        incoming = message_of(b"[" + b",".join(lines[first : first + 1_000]) + b"]")
        assert incoming is not None and incoming.plain and not incoming.rejected
        assert_read_back(cursor, incoming)
