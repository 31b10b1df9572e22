"""aiokafka's fetcher, within bounds: what a broker sends is bounded by what it weighs compressed only."""

from typing import Any, Final

from aiokafka.consumer import consumer, fetcher

from kafka_client.bounded_fetch.codecs import bound_the_client
from kafka_client.bounded_fetch.record_batches import Batches, Oversized

_SLICE_BYTES: Final = 2 * 1024 * 1024  # of message values, decompressed
_BUSY_WAIT_MS: Final = 20
_IDLE_WAIT_MS: Final = 100


class _SliceRecords(fetcher.PartitionRecords):
    """Hands out the parsed record as it is. Wrapping each record into a ConsumerRecord took
    half of the consumer's time, and nothing here reads more than offset, timestamp, key, value and headers."""

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        return record


class _BoundedResult(fetcher.FetchResult):
    """Hands out no more than a slice's worth of bytes at a time; the rest stays compressed until it is asked for. A
    fetch is bounded by what it weighs compressed, and well compressed arrays are fifty times that."""

    _partition_records: Any

    def getall(self, max_records: int | None = None) -> list[Any]:
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return []
        taken: list[Any] = []
        size = 0
        for message in self._partition_records:
            taken.append(message)
            size += len(message.value or b"") if type(message) is not Oversized else _SLICE_BYTES
            if size >= _SLICE_BYTES or len(taken) == max_records:
                self._update_position()
                return taken
        self._update_position()
        self._partition_records = None
        return taken


def bound_the_fetcher() -> None:
    """Makes every consumer of this process hand out records as they are parsed, a slice at a time, and unpack no batch
    beyond its bounds. The fetcher looks the classes up by name."""
    fetcher.MemoryRecords = Batches
    fetcher.PartitionRecords = _SliceRecords
    fetcher.FetchResult = _BoundedResult
    bound_the_client()


class _PatientFetcher(fetcher.Fetcher):
    """Lets the broker hold a fetch longer while nothing is going on, so that an idle worker asks ten times a second instead of
    fifty.

    One fetch is under way to a broker at a time. One that leaves partitions out, because what they brought is not handed over
    yet, must come back soon: until then those cannot be fetched again. One that asks for all of them comes back as soon as any
    has news, and a seek or a new assignment waits for it 0.1 s at most."""

    def _get_actions_per_node(self, assignment: Any) -> Any:
        states = map(assignment.state_value, assignment.tps)
        idle = not self._records and all(state.has_valid_position and not state.paused for state in states)
        self._fetch_max_wait_ms = _IDLE_WAIT_MS if idle else _BUSY_WAIT_MS
        return super()._get_actions_per_node(assignment)


def let_the_fetcher_wait() -> None:
    """Makes every consumer of this process wait for news as a worker should, whatever its own setting."""
    consumer.Fetcher = _PatientFetcher
