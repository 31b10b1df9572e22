"""What is looked at, each source on a thread of its own, and what was seen there last. Whoever asks is told at once:
nobody waits for Kafka or PostgreSQL."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from operations.exporter import declarations

log = logging.getLogger("scanline.exporter")
Family = GaugeMetricFamily | CounterMetricFamily


class Sample(NamedTuple):
    """A value of one metric."""

    of: Family
    value: float
    labels: tuple[str, ...] = ()


class Away(Exception):
    """The source does not answer; its text says what came instead, without a value of a setting."""


class Source(Protocol):
    """Kafka, PostgreSQL, the machine."""

    @property
    def name(self) -> str: ...

    def look(self) -> Sequence[Sample]:
        """Raises Away."""
        ...


class _Seen(NamedTuple):
    at: float  # of time.monotonic
    seconds: float
    samples: Sequence[Sample] | None  # None: the source was away


class Watch:
    """Looks at one source again and again until it is stopped."""

    def __init__(self, source: Source, interval: float, valid_seconds: float) -> None:
        """A source that has not been seen for `valid_seconds` is away, whatever its look is waiting for."""
        self.name = source.name
        self._source = source
        self._interval = interval
        self._valid = valid_seconds
        self._stopped = threading.Event()
        self._seen: _Seen | None = None
        self._was_away = False
        self._started = time.monotonic()

    def start(self) -> None:
        # a daemon: a look that hangs must not keep the process
        threading.Thread(target=self._run, name=f"look-{self.name}", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            started = time.monotonic()
            samples: Sequence[Sample] | None = None
            try:
                samples = self._source.look()
                self._tell(None)
            except Away as error:
                self._tell(str(error))
            except Exception as error:  # our own fault; the next look may do better
                if not self._was_away:
                    log.exception("look at %s", self.name)
                self._tell(type(error).__name__)
            now = time.monotonic()
            self._seen = _Seen(now, now - started, samples)
            self._stopped.wait(max(0.1, self._interval - (now - started)))

    def _tell(self, why: str | None) -> None:
        """Logs the first look that fails, and the first that succeeds again."""
        if why is not None and not self._was_away:
            log.warning("%s không trả lời / does not answer: %s", self.name, why)
        elif why is None and self._was_away:
            log.info("%s trả lời lại / answers again", self.name)
        self._was_away = why is not None

    @property
    def looked(self) -> bool:
        """True where the first look has ended, or has taken too long already."""
        return self._seen is not None or time.monotonic() - self._started > self._valid

    @property
    def samples(self) -> Sequence[Sample] | None:
        """Of the last look; None while the source is away."""
        seen = self._seen
        if seen is None or time.monotonic() - seen.at > self._valid:
            return None
        return seen.samples

    @property
    def seconds(self) -> float | None:
        """What the last look took."""
        return None if self._seen is None else self._seen.seconds


_UP: Final = {"kafka": declarations.KAFKA_UP, "postgres": declarations.POSTGRES_UP}


class Told(Collector):
    """The collector of all sources. What was not seen is not told."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self._watches = watches

    def describe(self) -> Iterable[Metric]:
        """The declared metrics, without samples."""
        return [_copy(each) for each in vars(declarations).values() if isinstance(each, Family)]

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Family] = {}
        for sample in self._samples():
            family = families.setdefault(sample.of.name, _copy(sample.of))
            family.add_metric(sample.labels, sample.value)
        yield from families.values()

    def _samples(self) -> Iterator[Sample]:
        for watch in self._watches:
            samples = watch.samples
            if watch.name in _UP:
                yield Sample(_UP[watch.name], 0 if samples is None else 1)
            if watch.seconds is not None:
                yield Sample(declarations.COLLECT_SECONDS, watch.seconds, (watch.name,))
            yield from samples or ()


def _copy(family: Family) -> Family:
    make: Callable[..., Family] = type(family)
    return make(family.name, family.documentation, labels=family._labelnames)
