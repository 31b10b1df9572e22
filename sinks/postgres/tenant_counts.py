"""Records by tenant for the metrics: of a few tenants only, those that send most.

A label for each tenant would grow without a bound, and whoever came first is not who matters. Counts of all tenants
fade by half in an hour; once a minute those with the most are chosen. One that is chosen begins at 0, one that is not
any more has no series: rate() and increase() take both for what they are. What was not counted under a name is «other».
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from sinks.postgres.metrics import TENANT_RECORDS

OTHER: Final = "other"
_CHOOSE_SECONDS: Final = 60.0
_HALF_LIFE: Final = 3600.0
_KEPT: Final = 20_000  # tenants whose counts are kept; above it those with the least are forgotten
_STAYS: Final = 1.5  # times: so much more must another have, so that two that are near do not take turns


class TenantCounts:
    """The metric of at most `limit` tenants. Thread-safe."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._recent: dict[str, float] = {}
        self._named: frozenset[str] = frozenset()
        self._chosen_at = clock()
        TENANT_RECORDS.labels(OTHER)

    def count(self, records: Mapping[str, int]) -> None:
        """Adds the records of a micro-batch, by tenant."""
        with self._lock:
            for tenant, count in records.items():
                self._recent[tenant] = self._recent.get(tenant, 0.0) + count
            if self._clock() - self._chosen_at >= _CHOOSE_SECONDS:
                self._choose()
            shown: Counter[str] = Counter()
            for tenant, count in records.items():
                shown[tenant if tenant in self._named else OTHER] += count
            for name, count in shown.items():
                TENANT_RECORDS.labels(name).inc(count)

    def _choose(self) -> None:
        now = self._clock()
        fading = 0.5 ** ((now - self._chosen_at) / _HALF_LIFE)
        self._chosen_at = now

        def weight(tenant: str) -> float:
            return self._recent[tenant] * (_STAYS if tenant in self._named else 1)

        ranked = sorted(self._recent, key=weight, reverse=True)
        # a tenant may have any name that a topic's key allows, and that of the rest belongs to the rest
        chosen = frozenset([tenant for tenant in ranked if tenant != OTHER][: self._limit])
        for tenant in self._named - chosen:
            TENANT_RECORDS.remove(tenant)
        self._named = chosen
        self._recent = {tenant: self._recent[tenant] * fading for tenant in ranked[:_KEPT]}
