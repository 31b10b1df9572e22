"""Metrics of a pool of database connections, the same in every process that has one; each with what to do about it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from sqlalchemy.engine import Engine
from sqlalchemy.exc import TimeoutError as GaveUp
from sqlalchemy.pool import QueuePool

disable_created_metrics()  # a second series for each, that nobody asks for

CONNECTIONS = Gauge(
    "scanline_pool_connections_count",
    "Connections by state. All in use for long: raise the pool's size or lower the load.",
    ["pool", "state"],
    multiprocess_mode="livesum",
)
LIMIT = Gauge(
    "scanline_pool_limit_count",
    "Most connections the pool may open. All processes' together above PostgreSQL's max_connections: lower one of them.",
    ["pool"],
    multiprocess_mode="livesum",
)
CHECKOUT = Histogram(
    "scanline_pool_checkout_seconds",
    "Time a lane or a read waits for a connection. Growing: more of them than connections.",
    ["pool"],
    buckets=(0.0001, 0.001, 0.01, 0.05, 0.2, 1, 5, 30),
)
WAITING = Gauge(
    "scanline_pool_waiting_count",
    "Lanes or reads that have asked for a connection and have none yet: none is free, or one is being opened. Above 0 for"
    " long: all are in use, see scanline_pool_connections_count.",
    ["pool"],
    multiprocess_mode="livesum",
)
EXHAUSTED = Counter(
    "scanline_pool_exhausted_total",
    "Times a lane or a read gave up waiting, since no connection became free within the deadline. Any: raise"
    " SCANLINE_READ_CONNECTIONS or SCANLINE_WRITE_CONNECTIONS, or look what holds them all.",
    ["pool"],
)


class PoolUse(NamedTuple):
    """Connections of a pool at one moment, and who has asked for one and has none yet."""

    in_use: int
    idle: int
    limit: int
    waiting: int


class WatchedPool:
    """Keeps the gauges of one engine's pool, which its owner measures after each use: nothing else changes it.

    Pools of one name add up, in one process and over several: what a process wrote last can be read when another is asked.
    """

    def __init__(self, name: str, engine: Engine) -> None:
        self._name = name
        self._engine = engine
        self._lock = threading.Lock()
        self._in_use = self._idle = 0  # as the gauges have it
        self._asking = 0
        pool = self._pool
        self._limit = pool.size() + pool._max_overflow
        LIMIT.labels(name).inc(self._limit)
        self._waiting, self._checkout = WAITING.labels(name), CHECKOUT.labels(name)
        self._exhausted = EXHAUSTED.labels(name)
        self.measure()

    @contextmanager
    def checkout(self) -> Iterator[None]:
        """Times what takes a connection from the pool."""
        asked = time.perf_counter()
        self._ask(1)
        try:
            yield
        except GaveUp:
            self._exhausted.inc()
            raise
        else:
            self._checkout.observe(time.perf_counter() - asked)
        finally:
            self._ask(-1)
            self.measure()

    @property
    def use(self) -> PoolUse:
        """As it is now."""
        pool = self._pool
        return PoolUse(pool.checkedout(), pool.checkedin(), self._limit, self._asking)

    def _ask(self, change: int) -> None:
        self._waiting.inc(change)
        with self._lock:
            self._asking += change

    def measure(self) -> None:
        """After a connection was given back."""
        with self._lock:
            pool = self._pool
            self._set(pool.checkedout(), pool.checkedin())

    def close(self) -> None:
        """The pool is gone."""
        with self._lock:
            self._set(0, 0)
            LIMIT.labels(self._name).dec(self._limit)
            self._limit = 0

    @property
    def _pool(self) -> QueuePool:
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)
        return pool

    def _set(self, in_use: int, idle: int) -> None:
        CONNECTIONS.labels(self._name, "in_use").inc(in_use - self._in_use)
        CONNECTIONS.labels(self._name, "idle").inc(idle - self._idle)
        self._in_use, self._idle = in_use, idle
