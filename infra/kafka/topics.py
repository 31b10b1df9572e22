"""The topics as they should be, and what to do where they are not."""

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from infra.errors import InfraError
from schemas import topics

_DAY_MS: Final = 24 * 60 * 60 * 1000


class TopicSpec(NamedTuple):
    """A topic as the design wants it. One that does not grow has its partitions from when it was made."""

    name: str
    partitions: int
    settings: dict[str, str]
    grows: bool = True


class TopicChange(NamedTuple):
    """One difference between what is and what should be; `applied` says whether it was repaired."""

    topic: str
    what: str
    found: str
    wanted: str
    applied: bool


def specs(partitions: int = 12, min_insync_replicas: int = 1) -> list[TopicSpec]:
    """The three topics (docs/kafka-contract.md#topics)."""
    common = {"min.insync.replicas": str(min_insync_replicas), "max.message.bytes": str(1024 * 1024)}
    return [
        TopicSpec(
            topics.RECORDS_TOPIC,
            partitions,
            # The broker's clock, not the publisher's: a message says when it came in, whoever reads it and however late, and
            # no publisher's clock gone astray makes retention delete messages before their time.
            common
            | {
                "cleanup.policy": "delete",
                "retention.ms": str(7 * _DAY_MS),
                "message.timestamp.type": "LogAppendTime",
            },
        ),
        TopicSpec(
            topics.STATUS_TOPIC,
            partitions,
            # Compacted often: a follower reads all of it when it starts. Stamped by the broker: how long ago an upload was
            # heard of must not hang on the clocks of those who tell.
            common
            | {
                "cleanup.policy": "compact",
                "message.timestamp.type": "LogAppendTime",
                "min.cleanable.dirty.ratio": "0.2",
                "segment.ms": str(10 * 60 * 1000),
                "delete.retention.ms": str(_DAY_MS),
            },
            # More partitions would move keys: what was published about a scan before would stay in the old partition for
            # ever, and who reads the topic from its beginning could take that for the last word.
            grows=False,
        ),
        TopicSpec(
            topics.DLQ_TOPIC,
            3,
            common
            | {
                "cleanup.policy": "delete",
                "retention.ms": str(30 * _DAY_MS),
                "max.message.bytes": str(topics.MAX_DEAD_LETTER_BYTES),
            },
        ),
    ]


def reconcile(
    bootstrap: str, wanted: list[TopicSpec] | None = None, *, apply: bool, replication: int = 1
) -> list[TopicChange]:
    """Compares, and with `apply` creates, adds partitions and alters settings. Returns every difference found.

    Partitions are never taken away: Kafka cannot, and the order of a tenant's messages hangs on them. Where a topic
    does not grow, none are added. Raises InfraError when the broker does not answer or refuses."""
    try:
        return _reconcile(
            AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}), wanted or specs(), apply, replication
        )
    except KafkaException as error:
        reason = error.args[0].str()
        raise InfraError.of("kafka_topics_failed", bootstrap=bootstrap, reason=reason) from error


def _reconcile(admin: AdminClient, wanted: list[TopicSpec], apply: bool, replication: int) -> list[TopicChange]:
    present = admin.list_topics(timeout=15).topics
    changes: list[TopicChange] = []
    wanted = [_as_large_as_it_was_made(spec, present) for spec in wanted]
    for spec in wanted:
        if spec.name not in present:
            changes.append(TopicChange(spec.name, "topic", "-", f"{spec.partitions} partitions", apply))
            if apply:
                new = NewTopic(spec.name, spec.partitions, replication, config=spec.settings)
                admin.create_topics([new])[spec.name].result(30)
            continue
        changes += _reconcile_partitions(admin, spec, len(present[spec.name].partitions), apply=apply)
        changes += _reconcile_settings(admin, spec, apply=apply)
    if apply:
        _wait_until_told(admin, wanted)
    return changes


def _as_large_as_it_was_made(spec: TopicSpec, present: Mapping[str, TopicMetadata]) -> TopicSpec:
    if spec.grows or spec.name not in present:
        return spec
    return spec._replace(partitions=min(spec.partitions, len(present[spec.name].partitions)))


def _wait_until_told(admin: AdminClient, wanted: list[TopicSpec], seconds: float = 30) -> None:
    """A topic is made before its broker lists it: a client that asks in between sees a topic without partitions."""
    deadline = time.monotonic() + seconds
    while True:
        known = admin.list_topics(timeout=15).topics
        missing = [
            spec.name for spec in wanted if spec.name not in known or len(known[spec.name].partitions) < spec.partitions
        ]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise InfraError.of("kafka_partitions_unknown", topics=", ".join(missing), seconds=seconds)
        time.sleep(0.05)


def _reconcile_partitions(admin: AdminClient, spec: TopicSpec, found: int, *, apply: bool) -> list[TopicChange]:
    if found == spec.partitions:
        return []
    grow = found < spec.partitions
    if grow and apply:
        admin.create_partitions([NewPartitions(spec.name, spec.partitions)])[spec.name].result(30)
    return [TopicChange(spec.name, "partitions", str(found), str(spec.partitions), grow and apply)]


def _reconcile_settings(admin: AdminClient, spec: TopicSpec, *, apply: bool) -> list[TopicChange]:
    resource = ConfigResource(ResourceType.TOPIC, spec.name)
    found = admin.describe_configs([resource])[resource].result(30)
    different = {name: value for name, value in spec.settings.items() if found[name].value != value}
    if different and apply:
        for name, value in different.items():
            resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
        admin.incremental_alter_configs([resource])[resource].result(30)
    return [TopicChange(spec.name, name, str(found[name].value), value, apply) for name, value in different.items()]
