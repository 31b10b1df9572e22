"""The topic's id beside its offset in PostgreSQL: when it is taken on, and what it fences."""

from collections.abc import Iterator

import pytest

from schemas.stored_offset import StoredOffset
from schemas.topics import RECORDS_TOPIC
from sinks.postgres import PostgresSink
from sinks.postgres.engine import write_engine
from sinks.protocol import Fenced, MicroBatch
from tests.helpers import Database
from tests.servers import Servers

OLD, NEW = "8xq2VnRZTnGm1Jr0Q5Yb7w", "Zp3xv0EoQkqkN2i8c1l2Vg"


@pytest.fixture
def sink(servers: Servers, tenant: str) -> Iterator[PostgresSink]:
    """Of a pipeline of the test's own."""
    made = PostgresSink(write_engine(servers.urls.write, connections=2, deadline_seconds=30), tenant)
    yield made
    made.close()


def load(sink: PostgresSink, topic_id: str | None = None) -> StoredOffset:
    return sink.load_offsets(RECORDS_TOPIC, [0], topic_id)[0]


def move(sink: PostgresSink, start: int, end: int, topic_id: str | None) -> None:
    sink.write(sink.prepare(MicroBatch(RECORDS_TOPIC, 0, start, end, (), topic_id)))


def test_an_id_is_taken_on_where_none_is_known_and_where_nothing_was_read(sink: PostgresSink) -> None:
    assert load(sink) == (0, None)
    assert load(sink, OLD) == (0, OLD)
    assert load(sink, NEW) == (0, NEW)  # made anew before the first message was read
    move(sink, 0, 5, NEW)
    assert load(sink, OLD) == (5, NEW)
    assert load(sink) == (5, NEW)


def test_an_offset_from_before_the_ids_takes_on_the_topic_it_meets(sink: PostgresSink) -> None:
    load(sink)
    move(sink, 0, 5, None)
    assert load(sink) == (5, None)
    assert load(sink, OLD) == (5, OLD)
    move(sink, 5, 6, OLD)


def test_what_was_read_of_the_old_topic_is_not_written_at_the_same_offset_of_the_new(
    sink: PostgresSink, database: Database, tenant: str
) -> None:
    """A worker that held it while the offset was set anew, to where it had stood."""
    load(sink, OLD)
    move(sink, 0, 5, OLD)
    database.rows("UPDATE stream_offsets SET topic_id = %s WHERE pipeline = %s", NEW, tenant)
    for stale in (OLD, None):
        with pytest.raises(Fenced):
            move(sink, 5, 9, stale)
    assert load(sink) == (5, NEW)
    move(sink, 5, 9, NEW)
    assert load(sink) == (9, NEW)
