"""The ends of partitions as the broker knows them, asked by a client of its own: the consumer's word is what is in doubt."""

import logging
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream_app.bounds import answered, ask_offsets

log = logging.getLogger("scanline.watchdog")
_SECONDS: Final = 5.0


class Ends:
    """Blocks, for a thread."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._client: AdminClient | None = None

    def __call__(self, partitions: list[int]) -> Mapping[int, int]:
        """The offset after the last message of each partition that can be read; nothing of those whose leader does not answer."""
        if not partitions:
            return {}
        if self._client is None:
            self._client = AdminClient(
                {"bootstrap.servers": self._bootstrap, "client.id": "scanline-watchdog", "log_level": 0}
            )
        try:
            (answers,) = ask_offsets(self._client, partitions, [OffsetSpec.latest()], _SECONDS, readable=True)
        except KafkaException as error:
            log.info("no ends of partitions this time: %s", error.args[0].name())
            return {}
        return answered(answers, _SECONDS)
