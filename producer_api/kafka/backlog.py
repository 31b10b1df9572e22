"""How far the workers are behind, as the consumer group's committed offsets tell it: above a set limit nothing more is taken.

Kafka keeps records for some days. Who takes scans without an end while nobody writes them promises what may not be kept.
"""

import logging
import threading

from confluent_kafka import Consumer, KafkaException, TopicPartition

from producer_api import metrics
from producer_api.settings import ApiSettings
from schemas.topics import RECORDS_TOPIC
from schemas.unexpected import described

log = logging.getLogger("scanline.backlog")
_REQUEST_SECONDS = 5.0


class Backlog:
    """Asks Kafka every few seconds, on a thread of its own. While Kafka does not answer, the last answer holds."""

    def __init__(self, settings: ApiSettings) -> None:
        """Asks for nothing where no limit is set."""
        self._limit = settings.api_backlog_messages
        self._every = settings.api_backlog_poll_seconds
        self._settings = {
            "bootstrap.servers": settings.kafka_bootstrap,
            "client.id": "scanline-api-backlog",
            # asks for the group's offsets without joining it; the admin client's call for them ended the whole process
            # (confluent-kafka 2.16.1) while the broker was still loading its groups
            "group.id": settings.stream_pipeline,
            "enable.auto.commit": False,
            "log.connection.close": False,
        }
        self._messages = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backlog", daemon=True)
        if self._limit:
            self._thread.start()

    @property
    def too_long(self) -> bool:
        """Whether more messages wait for a worker than the settings allow."""
        return bool(self._limit) and self._messages > self._limit

    def close(self) -> None:
        """Stops asking."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_REQUEST_SECONDS)

    def _run(self) -> None:
        consumer = Consumer(self._settings)
        try:
            while not self._stopping.is_set():
                try:
                    self._messages = _measure(consumer)
                    metrics.BACKLOG.set(self._messages)
                except KafkaException as error:
                    log.warning("no word of the backlog: %s", error.args[0].name())
                except Exception as error:  # without an answer the limit would hold, or not hold, for ever
                    log.error("no word of the backlog: %s", described(error))
                self._stopping.wait(self._every)
        finally:
            consumer.close()


def _measure(consumer: Consumer) -> int:
    """Messages of scan.records.v1 beyond the group's offsets, all partitions. Raises KafkaException."""
    topic = consumer.list_topics(RECORDS_TOPIC, timeout=_REQUEST_SECONDS).topics[RECORDS_TOPIC]
    places = [TopicPartition(RECORDS_TOPIC, number) for number in topic.partitions]
    total = 0
    for place in consumer.committed(places, timeout=_REQUEST_SECONDS):
        first, end = consumer.get_watermark_offsets(place, timeout=_REQUEST_SECONDS)
        total += end - max(place.offset, first)  # below 0: none committed yet
    return max(0, total)
