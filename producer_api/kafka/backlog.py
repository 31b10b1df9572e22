"""The backlog: how far the workers are behind by the consumer group's committed offsets. Above a set limit nothing more
is taken.

Kafka keeps records for some days. Who takes scans without an end while nobody writes them promises what may not be
kept."""

import logging
import threading

from confluent_kafka import Consumer, KafkaException

from kafka_client.clients import unjoined_consumer
from kafka_client.offsets import committed_of, partitions_of, spans_of
from producer_api import metrics
from producer_api.settings import ApiSettings
from schemas.exception_summary import described
from schemas.topics import RECORDS_TOPIC

log = logging.getLogger("scanline.backlog")
_REQUEST_SECONDS = 5.0


class Backlog:
    """Asks Kafka every few seconds, on a thread of its own. While Kafka does not answer, the last answer holds."""

    def __init__(self, settings: ApiSettings) -> None:
        """Asks for nothing where no limit is set."""
        self._limit = settings.api_backlog_messages
        self._every = settings.api_backlog_poll_seconds
        self._bootstrap, self._group = settings.kafka_bootstrap, settings.stream_pipeline
        self._messages = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backlog", daemon=True)
        if self._limit:
            self._thread.start()

    @property
    def too_long(self) -> bool:
        """True where more messages wait for a worker than the settings allow."""
        return bool(self._limit) and self._messages > self._limit

    def close(self) -> None:
        """Stops asking."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_REQUEST_SECONDS)

    def _run(self) -> None:
        consumer = unjoined_consumer(self._bootstrap, self._group, client_id="scanline-api-backlog")
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
    partitions = partitions_of(consumer, RECORDS_TOPIC, _REQUEST_SECONDS)
    told = committed_of(consumer, RECORDS_TOPIC, partitions, _REQUEST_SECONDS)
    committed = {number: each.offset for number, each in told.items()}
    spans = spans_of(consumer, RECORDS_TOPIC, partitions, _REQUEST_SECONDS)
    return max(0, sum(end - max(committed.get(number, 0), first) for number, (first, end) in spans.items()))
