"""What is told of a pool is what it holds; pools of one name add up, and one that is gone is not told of."""

from pathlib import Path
from typing import Final

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.exc import TimeoutError as GaveUp
from sqlalchemy.pool import QueuePool

from schemas.pool_metrics import WatchedPool

NAME: Final = "of a test"


def told() -> tuple[float | None, ...]:
    """In use, idle, and the limit."""
    states = (
        REGISTRY.get_sample_value("scanline_pool_connections_count", {"pool": NAME, "state": state})
        for state in ("in_use", "idle")
    )
    return (*states, REGISTRY.get_sample_value("scanline_pool_limit_count", {"pool": NAME}))


def engine(folder: Path) -> Engine:
    return create_engine(
        f"sqlite:///{folder / 'pool'}", poolclass=QueuePool, pool_size=2, max_overflow=1, pool_timeout=0.2
    )


def test_what_is_reported_is_what_the_pools_hold(tmp_path: Path) -> None:
    one, other = engine(tmp_path), engine(tmp_path)
    first, second = WatchedPool(NAME, one), WatchedPool(NAME, other)
    assert told() == (0, 0, 6)
    with one.connect(), one.connect(), one.connect():
        first.measure()
        with second.checkout():
            connection = other.connect()
        assert told() == (4, 0, 6)
        connection.close()
        second.measure()
        assert told() == (3, 1, 6)
    first.measure()
    assert told() == (0, 3, 6)
    second.close()
    assert told() == (0, 2, 3)
    first.close()
    assert told() == (0, 0, 0)
    one.dispose()
    other.dispose()


def test_who_waits_is_counted_and_who_gives_up(tmp_path: Path) -> None:
    def value(name: str) -> float | None:
        return REGISTRY.get_sample_value(name, {"pool": "that is full"})

    full = engine(tmp_path)
    pool = WatchedPool("that is full", full)
    assert value("scanline_pool_exhausted_total") == 0
    with full.connect(), full.connect(), full.connect(), pytest.raises(GaveUp), pool.checkout():
        assert value("scanline_pool_waiting_count") == 1
        full.connect()
    assert value("scanline_pool_waiting_count") == 0
    assert value("scanline_pool_exhausted_total") == 1
    assert value("scanline_pool_checkout_seconds_count") == 0
    with pool.checkout():
        full.connect().close()
    assert (value("scanline_pool_checkout_seconds_count"), value("scanline_pool_exhausted_total")) == (1, 1)
    pool.close()
    full.dispose()
