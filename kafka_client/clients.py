"""Clients of confluent-kafka that say what is wrong with their answers, not on standard error."""

from typing import Any

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient


def quiet_admin(bootstrap: str, name: str = "scanline") -> AdminClient:
    """Asks brokers, and changes nothing by itself."""
    return AdminClient({"bootstrap.servers": bootstrap, "client.id": name, "log_level": 0})


def unjoined_consumer(bootstrap: str, name: str, **settings: Any) -> Consumer:
    """Reads partitions that it is assigned. No group is joined and nothing committed: librdkafka asks for a group's name all the
    same, and brokers' ACLs go by it. Underscores in `settings` stand for dots."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": name,
            "client.id": name,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "log_level": 0,
            **{key.replace("_", "."): value for key, value in settings.items()},
        }
    )
