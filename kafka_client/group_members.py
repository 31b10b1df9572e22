"""Asks brokers who is in a consumer group, and which partitions each member owns."""

import struct
import warnings
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from confluent_kafka.admin import AdminClient

_SHORT: Final = struct.Struct(">h")
_INT: Final = struct.Struct(">i")


class Member(NamedTuple):
    """A member of a group; `client_id` is what it calls itself, `host` where the broker sees it."""

    id: str
    client_id: str
    host: str


def owners_in(admin: AdminClient, group: str, topic: str, seconds: float) -> dict[int, Member]:
    """The owner of each partition of the topic that has one. Raises KafkaException.

    By the older of the client's two calls: describe_consumer_groups ended the whole process by an assertion
    (confluent-kafka 2.16.1) while a broker was restarted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        groups: list[Any] = admin.list_groups(group, timeout=seconds)
    found = {}
    for each in groups:
        if each.id == group and each.protocol_type == "consumer":
            for member in each.members:
                owner = Member(member.id, member.client_id, member.client_host.lstrip("/"))
                found.update(dict.fromkeys(_partitions_in(member.assignment, topic), owner))
    return found


def _partitions_in(assignment: bytes | None, topic: str) -> Iterator[int]:
    """A member's partitions of the topic, from the consumer protocol's bytes: a version, then topics with their
    partitions. A member that is about to get its share has none."""
    if not assignment:
        return
    at = _SHORT.size
    (topics,) = _INT.unpack_from(assignment, at)
    at += _INT.size
    for _ in range(topics):
        (length,) = _SHORT.unpack_from(assignment, at)
        at += _SHORT.size
        name = assignment[at : at + length].decode()
        at += length
        (count,) = _INT.unpack_from(assignment, at)
        at += _INT.size
        if name == topic:
            yield from struct.unpack_from(f">{count}i", assignment, at)
        at += count * _INT.size
