"""What is told of a pool is what it holds; pools of one name add up, and one that is gone is not told of."""

from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine
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
    return create_engine(f"sqlite:///{folder / 'pool'}", poolclass=QueuePool, pool_size=2, max_overflow=1)


def test_what_is_told_is_what_the_pools_hold(tmp_path: Path) -> None:
    one, other = engine(tmp_path), engine(tmp_path)
    first, second = WatchedPool(NAME, one), WatchedPool(NAME, other)
    assert told() == (0, 0, 6)
    with one.connect(), one.connect(), one.connect():
        first.taken(0.0)
        with other.connect():
            second.taken(0.0)
            assert told() == (4, 0, 6)
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
