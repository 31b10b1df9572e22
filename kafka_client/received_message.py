"""A message that came from a broker, as confluent-kafka hands it out."""

from typing import Protocol

from confluent_kafka import KafkaError


class ReceivedMessage(Protocol):
    """A message that was polled or acknowledged, which has a partition and an offset. confluent-kafka's own class says
    that it may have none, since a message can also be made by hand. The end of a partition, which comes as an error,
    has both, too."""

    def error(self) -> KafkaError | None: ...

    def partition(self) -> int: ...

    def offset(self) -> int: ...

    def key(self) -> bytes | None: ...

    def value(self) -> bytes | None: ...

    def timestamp(self) -> tuple[int, int]: ...
