"""One look at Kafka and PostgreSQL, by blocking calls on a thread of its own."""

import time
from typing import Final, NamedTuple

from confluent_kafka import KafkaException

from kafka_client.clients import quiet_admin
from kafka_client.lag import LagMeter, Look, NoTopic
from kafka_client.offsets import BEGIN_AND_END, offsets_of
from producer_api.reads import DatabaseFacts, DatabaseReader, LetterBounds, ReadsUnavailable
from producer_api.settings import ApiSettings
from schemas.topics import DLQ_TOPIC

_KAFKA_SECONDS: Final = 3.0


class Answer(NamedTuple):
    """Whether a server answered, and how long that took."""

    ok: bool
    seconds: float
    reason: str | None = None  # a word of a closed list, for the page's texts


class ServersLook(NamedTuple):
    """What was seen of the servers at one moment; None where it is not known."""

    at: float  # of time.monotonic
    kafka: Answer
    postgres: Answer
    lag: Look | None
    facts: DatabaseFacts | None
    letters: LetterBounds | None

    @property
    def letters_there(self) -> int | None:
        """Dead letters that the topic still has."""
        return None if self.letters is None else sum(self.letters.ends) - sum(self.letters.begins)


class Servers:
    """Looks as often as it is asked to, with the same connections. Belongs to one thread."""

    def __init__(self, settings: ApiSettings, reader: DatabaseReader) -> None:
        self._pipeline = settings.stream_pipeline
        self._reader = reader
        self._meter = LagMeter(settings.kafka_bootstrap, self._pipeline, _KAFKA_SECONDS)
        self._admin = quiet_admin(settings.kafka_bootstrap, "scanline-api-overview")
        self._letters: LetterBounds | None = None

    def look(self) -> ServersLook:
        """PostgreSQL first, whose offsets the lag is counted from; of dead letters it is asked about those that Kafka
        had at the look before."""
        facts, postgres = self._ask_postgres()
        lag, kafka = self._ask_kafka(facts)
        return ServersLook(time.monotonic(), kafka, postgres, lag, facts, self._letters)

    def close(self) -> None:
        self._meter.close()

    def _ask_postgres(self) -> tuple[DatabaseFacts | None, Answer]:
        begun = time.monotonic()
        try:
            facts = self._reader.facts(self._pipeline, self._letters)
        except ReadsUnavailable as error:
            # SQLAlchemy's own TimeoutError: no connection of the pool became free, which says nothing of the server
            reason = "pool" if str(error) == "TimeoutError" else "away"
            return None, Answer(False, time.monotonic() - begun, reason)
        return facts, Answer(True, time.monotonic() - begun)

    def _ask_kafka(self, facts: DatabaseFacts | None) -> tuple[Look | None, Answer]:
        begun = time.monotonic()
        try:
            look = self._meter.look(None if facts is None else facts.written)
            begins, ends = offsets_of(self._admin, DLQ_TOPIC, None, *BEGIN_AND_END, seconds=_KAFKA_SECONDS)
        except NoTopic:
            return None, Answer(False, time.monotonic() - begun, "topic")
        except (KafkaException, TimeoutError):
            return None, Answer(False, time.monotonic() - begun, "away")
        numbers = sorted(begins)
        self._letters = LetterBounds(numbers, [begins[each] for each in numbers], [ends[each] for each in numbers])
        return look, Answer(True, time.monotonic() - begun)
