"""The runs of the commands about dead letters, without anything printed: which letters are read, what is asked of the
ledger, and in which order."""

import datetime as dt
import heapq
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from infra.errors import InfraError
from infra.settings import InfraSettings
from operations.dead_letters.arguments import letter_place, unknown_letter
from operations.dead_letters.dead_letter import DeadLetter, DeadLetterSelection, State
from operations.dead_letters.drop import drop as drop_letters
from operations.dead_letters.ledger import DeadLetterLedger
from operations.dead_letters.masking import summary
from operations.dead_letters.plan import Outcome, RetryPlan, RetryRules
from operations.dead_letters.reader import DeadLetterReader
from operations.dead_letters.retry import Retry
from schemas.dead_letters import DeadLetterId

# called with the number of offsets to read; gives a function to call with the number read since the last call
Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]


class Listing(NamedTuple):
    """The newest letters of a selection, newest first, and how many there are by reason."""

    newest: list[dict[str, Any]]
    reasons: Counter[str]


def states_of(letters: Sequence[DeadLetter], ledger: DeadLetterLedger | None) -> dict[DeadLetterId, State | None]:
    """The state of each letter; None where the ledger cannot be asked."""
    if ledger is None:
        return dict.fromkeys(letter.id for letter in letters)
    return {**ledger.states(letter.id for letter in letters)}


def listed(
    settings: InfraSettings,
    ledger: DeadLetterLedger | None,
    selection: DeadLetterSelection,
    limit: int,
    progress: Progress,
    *,
    everything: bool,
) -> Listing:
    """Lists at most `limit` letters; with `everything` also those that were retried or dropped. Raises InfraError."""
    reasons: Counter[str] = Counter()
    kept: list[tuple[Any, dict[str, Any]]] = []  # a heap of the newest
    with DeadLetterReader(settings.kafka_bootstrap, selection) as reader, progress(reader.total) as advance:
        for chunk in reader.letters(advance):
            states = states_of(chunk, ledger)
            for letter in chunk:
                state = states[letter.id]
                if state in ("retried", "dropped") and not everything:
                    continue
                reasons[letter.reason] += 1
                heapq.heappush(kept, ((letter.id.failed_at_ms, letter.id), {**summary(letter), "state": state}))
                if len(kept) > limit:
                    heapq.heappop(kept)
    return Listing([line for _, line in sorted(kept, key=lambda each: each[0], reverse=True)], reasons)


def letter_at(settings: InfraSettings, place: str) -> DeadLetter:
    """The letter itself. Raises InfraError."""
    with DeadLetterReader(
        settings.kafka_bootstrap, DeadLetterSelection(ids=frozenset({letter_place(place)}))
    ) as reader:
        for chunk in reader.letters():
            return chunk[0]
    raise unknown_letter(place)


class _Named:
    """Notes which of the letters that were named are there; of a filter nothing is kept."""

    def __init__(self, selection: DeadLetterSelection) -> None:
        self._missing = set(selection.ids)

    def watch(self, chunks: Iterator[list[DeadLetter]]) -> Iterator[list[DeadLetter]]:
        for chunk in chunks:
            self._missing.difference_update(letter.id[:2] for letter in chunk)
            yield chunk

    def check(self) -> None:
        """Raises InfraError where one is not there."""
        if self._missing:
            raise unknown_letter(", ".join(f"{partition}:{offset}" for partition, offset in sorted(self._missing)))


def planned(
    settings: InfraSettings, selection: DeadLetterSelection, rules: RetryRules, progress: Progress
) -> RetryPlan:
    """Plans a retry; nothing is done. Raises InfraError."""
    plan, named = RetryPlan(rules), _Named(selection)
    with (
        DeadLetterLedger(settings.url("read")) as ledger,
        DeadLetterReader(settings.kafka_bootstrap, selection) as reader,
    ):
        with progress(reader.total) as advance:
            for chunk in named.watch(reader.letters(advance)):
                states, now = ledger.states(letter.id for letter in chunk), dt.datetime.now(dt.UTC)
                for letter in chunk:
                    plan.add(letter, states[letter.id], now)
                if plan.full:
                    break
    if not plan.full:
        named.check()
    return plan


def retry(
    settings: InfraSettings,
    selection: DeadLetterSelection,
    rules: RetryRules,
    stoppable: AbstractContextManager[threading.Event],
    progress: Progress,
    on_end: Callable[[Counter[Outcome]], None],
) -> Counter[Outcome]:
    """Sends letters again, until the event of `stoppable` is set. `on_end` is called with what became of them, also
    where the run broke off. Raises InfraError."""
    named = _Named(selection)
    url, bootstrap = settings.url("write"), settings.kafka_bootstrap
    with DeadLetterLedger(url) as ledger, DeadLetterReader(bootstrap, selection) as reader, stoppable as stopping:
        run = Retry(ledger, bootstrap, rules, stopping)
        try:
            with progress(reader.total) as advance:
                run.run(named.watch(reader.letters(advance)))
        except InfraError:
            if run.counts.total():
                on_end(run.counts)
            raise
    on_end(run.counts)
    if not stopping.is_set() and not rules.limit:
        named.check()
    return run.counts


def drop(
    settings: InfraSettings, selection: DeadLetterSelection, note: str, most: int, progress: Progress
) -> Counter[State]:
    """Puts letters aside for good. Raises InfraError."""
    named = _Named(selection)
    with (
        DeadLetterLedger(settings.url("write")) as ledger,
        DeadLetterReader(settings.kafka_bootstrap, selection) as reader,
    ):
        with progress(reader.total) as advance:
            letters = named.watch(reader.letters(advance))
            done = drop_letters(ledger, settings.kafka_bootstrap, letters, note, most)
    if not most:
        named.check()
    return done
