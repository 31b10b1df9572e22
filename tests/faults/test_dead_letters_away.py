"""A dead-letter topic that takes nothing: the offset does not move past what could not be put there."""

import pytest
from confluent_kafka.admin import ResourceType

from infra.stack import Stack
from tests.broker_settings import configure
from tests.helpers import DEAD_LETTERS, Database, Publisher, new_scan, wait_for
from tests.load import LONG, worker_log
from tests.murmur2 import partition_of, tenants_by_partition
from trials import generator

pytestmark = pytest.mark.long

SMALL, USUAL = "100", str(2 * 1024 * 1024)


def limit_dead_letters(stack: Stack, size: str) -> None:
    """The broker refuses larger ones."""
    configure(stack.kafka.bootstrap, ResourceType.TOPIC, DEAD_LETTERS, {"max.message.bytes": size})


def test_nothing_is_passed_over_while_it_refuses(stack: Stack) -> None:
    """As the complaint about other sinks goes: the letter is lost and the offset committed."""
    tenant = tenants_by_partition("letters")[5]
    partition = partition_of(tenant.encode())
    broken = new_scan()
    stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database:
        with Publisher(stack.kafka.bootstrap) as publisher:
            before = publisher.scan(tenant, generator.records(5, 1, tenant))
        database.finished(tenant, before, LONG)
        stored = "SELECT next_offset FROM stream_offsets WHERE partition = %s"
        read = database.value(stored, partition)
        limit_dead_letters(stack, SMALL)
        with Publisher(stack.kafka.bootstrap) as publisher:
            publisher.send(tenant, broken, "records", b"\x00 no JSON " * 50)
            after = publisher.scan(tenant, generator.records(5, 2, tenant))
        wait_for(lambda: f"partition {partition} is paused" in worker_log(stack.workers[0]), "the lane waits", LONG)
        assert database.value(stored, partition) == read
        limit_dead_letters(stack, USUAL)
        assert database.finished(tenant, after, LONG)["records_stored"] == 5
        scan = database.scan(tenant, broken)
        assert scan is not None and scan["messages_unreadable"] == 1
