"""The ends of partitions as the broker knows them, asked by a client of its own: the consumer's word is what is in doubt."""

import logging
from collections.abc import Mapping
from typing import Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.topics import RECORDS_TOPIC

log = logging.getLogger("scanline.watchdog")
_SECONDS: Final = 5.0


class Ends:
    """Blocks, for a thread."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._client: AdminClient | None = None

    def __call__(self, partitions: list[int]) -> Mapping[int, int]:
        """The offset after the last message of each partition that can be read; nothing where the broker does not answer."""
        if not partitions:
            return {}
        if self._client is None:
            self._client = AdminClient(
                {"bootstrap.servers": self._bootstrap, "client.id": "scanline-watchdog", "log_level": 0}
            )
        found = {}
        try:
            answers = self._client.list_offsets(
                {TopicPartition(RECORDS_TOPIC, number): OffsetSpec.latest() for number in partitions},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=_SECONDS,
            )
            for place, answer in answers.items():
                found[place.partition] = int(answer.result(_SECONDS + 1).offset)
        except (KafkaException, TimeoutError) as error:
            log.info("no ends of partitions this time: %s", type(error).__name__)
            return {}
        return found
