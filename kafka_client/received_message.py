"""A message that came from a broker, as confluent-kafka hands it out."""

from typing import Protocol

from confluent_kafka import KafkaError


class Received(Protocol):
    """confluent-kafka's own class says that a message may be without a place, since one can also be made by hand. What is polled
    or acknowledged has one, and so has the end of a partition, which comes as an error."""

    def error(self) -> KafkaError | None: ...

    def partition(self) -> int: ...

    def offset(self) -> int: ...

    def key(self) -> bytes | None: ...

    def value(self) -> bytes | None: ...

    def timestamp(self) -> tuple[int, int]: ...
