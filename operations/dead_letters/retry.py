"""Sends letters again: claim, send, mark, some at a time; stops at a replay count; goes on where an earlier run stopped."""

import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

from infra.errors import InfraError
from operations.dead_letters.dead_letter import DeadLetter, State
from operations.dead_letters.ledger import DeadLetterLedger
from operations.dead_letters.plan import Outcome, RetryRules, would
from operations.dead_letters.recovery import record_ends, settled
from operations.dead_letters.sender import RetrySender

_BATCH_LETTERS: Final = 200
_BATCH_BYTES: Final = 4 * 1024 * 1024


class Retry:
    """One run. `counts` says what became of the letters that were meant."""

    def __init__(self, ledger: DeadLetterLedger, bootstrap: str, rules: RetryRules, stopping: threading.Event) -> None:
        """`stopping` ends the run after the batch it is in."""
        self.counts: Counter[Outcome] = Counter()
        self._ledger = ledger
        self._bootstrap = bootstrap
        self._rules = rules
        self._stopping = stopping
        self._ends: dict[int, int] = {}
        self._waiting: list[DeadLetter] = []
        self._bytes = 0

    def run(self, chunks: Iterable[list[DeadLetter]]) -> None:
        """Raises InfraError; what was done until then is marked."""
        self._ledger.take_turn()
        self._ends = record_ends(self._bootstrap)
        sender = RetrySender(self._bootstrap)
        for chunk in chunks:
            states, recognised = settled(self._ledger, self._bootstrap, chunk)
            self.counts["recognised"] += len(recognised)
            for letter in chunk:
                if self._stopping.is_set() or self._full():
                    break
                if letter.id not in recognised:
                    self._offer(letter, states[letter.id])
                if len(self._waiting) >= self._batch_letters() or self._bytes >= _BATCH_BYTES:
                    self._send(sender)
            if self._stopping.is_set() or self._full():
                break
        if not self._stopping.is_set():
            self._send(sender)

    def _full(self) -> bool:
        return bool(self._rules.limit) and self.counts["sent"] + len(self._waiting) >= self._rules.limit

    def _batch_letters(self) -> int:
        """Small enough that a slow rate still moves every second."""
        return min(_BATCH_LETTERS, max(1, int(self._rules.rate))) if self._rules.rate else _BATCH_LETTERS

    def _offer(self, letter: DeadLetter, state: State) -> None:
        outcome = would(letter, state, self._rules, dt.datetime.now(dt.UTC)).outcome
        if outcome == "sent":
            self._waiting.append(letter)
            self._bytes += letter.size
        else:
            self.counts[outcome] += 1

    def _send(self, sender: RetrySender) -> None:
        batch, self._waiting, self._bytes = self._waiting, [], 0
        if not batch:
            return
        started = time.monotonic()
        self._ledger.claim(batch, self._ends)
        places, failure = sender.send(batch)
        self._ledger.mark_sent(
            [
                (letter, {"partition": place[0], "offset": place[1], "replay_count": letter.replays + 1})
                for letter in batch
                for place in [places.get(letter.id)]
                if place is not None
            ]
        )
        self.counts["sent"] += len(places)
        if failure is not None:
            raise InfraError.of("dlq_not_acknowledged", count=len(batch) - len(places), reason=failure)
        if self._rules.rate:
            self._stopping.wait(max(0.0, len(batch) / self._rules.rate - (time.monotonic() - started)))
