"""Plans a retry: what would become of each letter, before anything is sent. Pure: values in, values out."""

import datetime as dt
from collections import Counter
from typing import Final, Literal, NamedTuple

from operations.dead_letters.dead_letter import DeadLetter, State, judge
from schemas.messages import MessageRefused
from schemas.topics import MAX_MESSAGE_BYTES

Outcome = Literal[
    "sent", "recognised", "retried_before", "dropped_before", "replay_limit", "unreadable", "too_large", "not_kept"
]
# meant, and not sent
LEFT: Final[frozenset[Outcome]] = frozenset({"replay_limit", "unreadable", "too_large", "not_kept"})


class RetryRules(NamedTuple):
    """The rules of what may be sent. `anyway`: also what today's code still cannot read. `rate` in messages a second, 0
    without end; `limit` in messages, 0 without end."""

    max_replays: int = 3
    anyway: bool = False
    dropped_too: bool = False
    rate: float = 0
    limit: int = 0


class Would(NamedTuple):
    """The expected result for a letter: an outcome ("sent" where it would be sent), and what the worker would make of
    it."""

    outcome: Outcome
    becomes: str  # "records", "control", or why it still cannot be read
    records: int = 0
    rejected: int = 0


def would(letter: DeadLetter, state: State, rules: RetryRules, now: dt.datetime) -> Would:
    """Judges one letter by today's code."""
    if state == "retried":
        return Would("retried_before", "")
    if state == "dropped" and not rules.dropped_too:
        return Would("dropped_before", "")
    if letter.not_kept:  # without a value it could even pass for a message that opens or cancels a scan
        return Would("not_kept", "")
    try:
        read = judge(letter, now)
        seen = Would("sent", "records" if read.control is None else "control", len(read.records), len(read.rejected))
    except MessageRefused as refused:
        seen = Would("sent" if rules.anyway else "unreadable", refused.code)
    if letter.size > MAX_MESSAGE_BYTES:
        return seen._replace(outcome="too_large")
    if seen.outcome == "sent" and letter.replays >= rules.max_replays:
        return seen._replace(outcome="replay_limit")
    return seen


class Group(NamedTuple):
    """Letters of one reason that would fare alike."""

    reason: str
    outcome: Outcome
    becomes: str


class Sums(NamedTuple):
    """The sums of a group."""

    letters: int = 0
    records: int = 0
    rejected: int = 0


class RetryPlan:
    """A retry's expected results, summed up: as many entries as there are reasons and outcomes, however many
    letters."""

    def __init__(self, rules: RetryRules) -> None:
        self.groups: dict[Group, Sums] = {}
        self.reasons: Counter[str] = Counter()
        self._rules = rules
        self._sent = 0

    @property
    def full(self) -> bool:
        """True when a run would stop here."""
        return bool(self._rules.limit) and self._sent >= self._rules.limit

    def add(self, letter: DeadLetter, state: State, now: dt.datetime) -> None:
        """One letter more, unless a run would have stopped before it."""
        if self.full:
            return
        seen = would(letter, state, self._rules, now)
        group = Group(letter.reason, seen.outcome, seen.becomes)
        before = self.groups.get(group, Sums())
        self.groups[group] = Sums(before.letters + 1, before.records + seen.records, before.rejected + seen.rejected)
        self.reasons[letter.reason] += 1
        self._sent += seen.outcome == "sent"
