"""A few tenants are named, those that send most lately; all records are counted, under a name or as those of others."""

from collections.abc import Iterator
from typing import Final

import pytest
from prometheus_client import REGISTRY

from sinks.postgres.metrics import TENANT_RECORDS
from sinks.postgres.tenant_counts import TenantCounts

MINUTE: Final = 60.0


class Clock:
    """One that is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts(clock: Clock) -> Iterator[TenantCounts]:
    """Of two."""
    TENANT_RECORDS.clear()
    yield TenantCounts(2, clock)
    TENANT_RECORDS.clear()


def shown() -> dict[str, float]:
    return {
        sample.labels["tenant"]: sample.value
        for metric in REGISTRY.collect()
        if metric.name == "scanline_tenant_records"
        for sample in metric.samples
    }


def test_who_sends_most_is_named_and_not_who_came_first(counts: TenantCounts, clock: Clock) -> None:
    for at in range(50):
        counts.count({f"early-{at}": 10})
    counts.count({"large": 1_000, "larger": 2_000})
    assert shown() == {"other": 3_500}
    clock.now += MINUTE
    counts.count({"early-1": 1})
    counts.count({"large": 5, "larger": 6, "new": 7})
    assert shown() == {"other": 3_508, "large": 5, "larger": 6}


def test_a_name_stays_until_another_has_half_as_much_again(counts: TenantCounts, clock: Clock) -> None:
    counts.count({"a": 100, "b": 100})
    clock.now += MINUTE
    counts.count({"a": 1, "b": 1})
    assert shown() == {"other": 200, "a": 1, "b": 1}
    counts.count({"c": 120})
    clock.now += MINUTE
    counts.count({"c": 1})
    assert shown() == {"other": 321, "a": 1, "b": 1}
    counts.count({"c": 200})
    clock.now += MINUTE
    counts.count({"c": 2})
    named = shown()
    assert named.keys() > {"other", "c"} and len(named) == 3 and named["c"] == 2


def test_what_was_long_ago_fades(counts: TenantCounts, clock: Clock) -> None:
    counts.count({"once": 1_000, "too": 1_000})
    clock.now += MINUTE
    counts.count({"x": 1})
    assert shown().keys() == {"other"}  # named from their next records on
    for _ in range(24):
        clock.now += 60 * MINUTE
        counts.count({"daily": 10, "always": 10})
    assert shown().keys() == {"other", "daily", "always"}


def test_a_tenant_of_the_rests_name_is_one_of_the_rest(counts: TenantCounts, clock: Clock) -> None:
    counts.count({"other": 5})
    clock.now += MINUTE
    counts.count({"other": 5})
    assert shown() == {"other": 10}
