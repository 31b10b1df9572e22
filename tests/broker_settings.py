"""Settings of a running broker and of its topics, changed for a test."""

from collections.abc import Mapping
from typing import Final

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

COMPACTED: Final = {
    "cleanup.policy": "compact",
    "segment.ms": "100",  # a segment is compacted once another one has begun
    "min.cleanable.dirty.ratio": "0.0",
}


def configure(bootstrap: str, kind: ResourceType, name: str, settings: Mapping[str, str]) -> None:
    """Waits until the broker has taken them."""
    resource = ConfigResource(kind, name)
    for key, value in settings.items():
        resource.add_incremental_config(ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET))
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(30)
