"""Asks the brokers for the bounds and ends of the partitions' logs. Nothing is raised; what is not answered is left
out.

It asks through clients of its own, because what its consumer believes is what is in doubt. Both block, for a thread.
"""

import logging
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from kafka_client.clients import quiet_admin
from kafka_client.offsets import BEGIN_AND_END, Log, TopicLogs, answered, ask_offsets, ask_topic_id, topic_id_in
from schemas.topics import RECORDS_TOPIC

_SECONDS: Final = 5.0


class _Asker:
    def __init__(self, bootstrap: str, name: str) -> None:
        self._bootstrap, self._name = bootstrap, name
        self._client: AdminClient | None = None

    def _admin(self) -> AdminClient:
        if self._client is None:
            self._client = quiet_admin(self._bootstrap, self._name)
        return self._client


class LogBounds(_Asker):
    """Asks what the logs of scan.records.v1 hold, and which topic it is."""

    _log: Final = logging.getLogger("scanline.logs")

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap, "scanline-logs")

    def __call__(self, partitions: list[int]) -> TopicLogs:
        """Everything is asked at once."""
        admin = self._admin()
        try:
            asked_begins, asked_ends = ask_offsets(admin, RECORDS_TOPIC, partitions, BEGIN_AND_END, _SECONDS)
            asked_id = ask_topic_id(admin, RECORDS_TOPIC, _SECONDS)
        except KafkaException as error:
            self._log.info("no bounds of logs this time: %s", error.args[0].name())
            return TopicLogs(None, {})
        begins, ends = answered(asked_begins, _SECONDS), answered(asked_ends, _SECONDS)
        logs = {number: Log(begin, ends[number]) for number, begin in begins.items() if number in ends}
        try:
            return TopicLogs(topic_id_in(asked_id.result(_SECONDS + 1)), logs)
        except (KafkaException, TimeoutError):
            return TopicLogs(None, logs)


class Ends(_Asker):
    """Asks for the end of what can be read of each partition of scan.records.v1; a transaction under way is not
    read."""

    _log: Final = logging.getLogger("scanline.watchdog")

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap, "scanline-watchdog")

    def __call__(self, partitions: list[int]) -> Mapping[int, int]:
        """The offset after the last message of each partition."""
        try:
            (answers,) = ask_offsets(
                self._admin(), RECORDS_TOPIC, partitions, [OffsetSpec.latest()], _SECONDS, readable=True
            )
        except KafkaException as error:
            self._log.info("no ends of partitions this time: %s", error.args[0].name())
            return {}
        return answered(answers, _SECONDS)
