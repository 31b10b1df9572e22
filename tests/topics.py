"""The records topic deleted and made anew under its name, as somebody may do by mistake, or cut as retention does."""

import base64

from confluent_kafka import TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.kafka.topics import reconcile, specs
from infra.stack import Stack
from tests.helpers import RECORDS, wait_for


def make_anew(bootstrap: str, partitions: int = 12) -> str:
    """As soon as the broker lets. Returns the new topic's id."""
    before = topic_id(bootstrap)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([RECORDS])[RECORDS].result(30)
    wait_for(lambda: RECORDS not in admin.list_topics(timeout=15).topics, "the topic is gone")
    reconcile(bootstrap, specs(partitions), apply=True)
    after = topic_id(bootstrap)
    assert after != before
    return after


def topic_id(bootstrap: str) -> str:
    """As kafka-topics.sh shows it."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    found = admin.describe_topics(TopicCollection([RECORDS]))[RECORDS].result(30).topic_id
    bits = [found.get_most_significant_bits(), found.get_least_significant_bits()]
    return (
        base64.urlsafe_b64encode(b"".join(each.to_bytes(8, "big", signed=True) for each in bits)).decode().rstrip("=")
    )


def delete_before(stack: Stack, partition: int, offset: int) -> None:
    """Of a partition's messages, as retention would."""
    admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap})
    place = TopicPartition(RECORDS, partition, offset)
    assert admin.delete_records([place])[place].result(30).low_watermark == offset
