"""What the log no longer holds: retention took it before it was read."""

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from infra import generator
from infra.stack import Stack
from tests.blocking import tenants_by_partition
from tests.helpers import RECORDS, Database, Publisher
from tests.load import LONG, metric
from tests.murmur2 import partition_of


def delete_before(stack: Stack, partition: int, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap})
    place = TopicPartition(RECORDS, partition, offset)
    assert admin.delete_records([place])[place].result(30).low_watermark == offset


def offset_of(database: Database, partition: int) -> int:
    return int(database.value("SELECT next_offset FROM stream_offsets WHERE partition = %s", partition))


def test_retention_took_what_was_not_read(stack: Stack) -> None:
    """A lane goes on at the first message that is left, and counts what is gone."""
    tenant = tenants_by_partition("cut")[3]
    partition = partition_of(tenant.encode())
    worker = stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database:
        with Publisher(stack.kafka.bootstrap) as publisher:
            first = publisher.scan(tenant, generator.records(10, 1, tenant))
        database.finished(tenant, first, LONG)
        assert worker.stop(60) == 0
        read = offset_of(database, partition)
        with Publisher(stack.kafka.bootstrap) as publisher:
            publisher.scan(tenant, generator.records(10, 2, tenant), at_once=1)  # eleven messages, never read
            left = publisher.scan(tenant, generator.records(10, 3, tenant))
        delete_before(stack, partition, read + 11)
        worker = stack.start_worker()
        assert database.finished(tenant, left, LONG)["records_stored"] == 10
        assert offset_of(database, partition) == read + 13
        assert database.value("SELECT count(*) FROM processing_activities") == 20
        assert metric(worker, "scanline_stream_gap_offsets_total") == 11
