"""The backoff rule, how often and how soon to try again, as a value that tests can ask."""

import random
from typing import NamedTuple


class Backoff(NamedTuple):
    """Exponential with equal jitter: attempt n waits between half and all of base * 2^(n-1), at most `limit`
    seconds."""

    attempts: int = 3
    base: float = 0.2
    limit: float = 5.0

    def delay(self, attempt: int, spread: float | None = None) -> float:
        """Seconds to wait after the failed attempt number `attempt` (from 1). `spread` 0..1 replaces the dice in
        tests."""
        full = min(self.limit, self.base * 2.0 ** (attempt - 1))
        return full / 2 + full / 2 * (random.random() if spread is None else spread)
