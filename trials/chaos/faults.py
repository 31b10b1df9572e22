"""The faults: each strikes a running rig, lasts as long as its block does, and is healed at the end of it.

What a supervisor would start again (systemd, Kubernetes) is started again by the heal; nothing else is touched.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from random import Random
from typing import Final, NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from infra.kafka.broker import KafkaBroker
from infra.postgres.cluster import PostgresCluster
from schemas.topics import RECORDS_TOPIC
from trials.chaos.clocks import Clock
from trials.chaos.links import Link
from trials.chaos.rig import Rig

Strike = Callable[[Rig, Random], AbstractContextManager[None]]
_END_OURS: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('scanline_writer', 'scanline_reader')
"""
_HOUR: Final = 3_600
_CHURN_SECONDS: Final = 1.2  # between two changes of the group


class Fault(NamedTuple):
    """`seconds` is the range its length is drawn from."""

    name: str
    strike: Strike
    seconds: tuple[float, float]
    brokers: int = 1  # that the rig must have
    disk: str = ""  # `kafka`, `postgres` or `postgres-wal`: what must lie on a disk of its own
    clock: bool = False  # processes must have clocks that jump


_faults: list[Fault] = []


def _fault(
    name: str, low: float, high: float, *, brokers: int = 1, disk: str = "", clock: bool = False
) -> Callable[[Callable[..., Iterator[None]]], Strike]:
    def add(strike: Callable[..., Iterator[None]]) -> Strike:
        made: Strike = contextmanager(strike)
        _faults.append(Fault(name, made, (low, high), brokers, disk, clock))
        return made

    return add


@contextmanager
def _away(server: KafkaBroker | PostgresCluster) -> Iterator[None]:
    """Killed, and started again at the end of the block."""
    server.kill()
    yield
    server.start()
    server.wait_until_ready()


@contextmanager
def _silent(server: KafkaBroker | PostgresCluster) -> Iterator[None]:
    """Stopped by SIGSTOP: it keeps its connections and says nothing."""
    server.freeze()
    yield
    server.thaw()


@_fault("worker-sigkill", 0.2, 3)
def _worker_killed(rig: Rig, rng: Random) -> Iterator[None]:
    victim = rng.choice(rig.workers)
    victim.kill()
    yield
    rig.start_worker()


@_fault("workers-all-sigkill", 0.2, 3)
def _workers_killed(rig: Rig, rng: Random) -> Iterator[None]:
    victims = rig.workers
    for victim in victims:
        victim.kill()
    yield
    for _ in victims:
        rig.start_worker()


@_fault("worker-zombie", 5, 8)
def _worker_frozen(rig: Rig, rng: Random) -> Iterator[None]:
    """Longer than the session timeout: its partitions have a new owner when it wakes up and writes on."""
    victim = rng.choice(rig.workers)
    victim.signal(signal.SIGSTOP)
    yield
    victim.signal(signal.SIGCONT)


@_fault("worker-pause", 0.5, 2)
def _worker_hiccup(rig: Rig, rng: Random) -> Iterator[None]:
    """Shorter than the session timeout: it goes on as if nothing had been."""
    victim = rng.choice(rig.workers)
    victim.signal(signal.SIGSTOP)
    yield
    victim.signal(signal.SIGCONT)


@_fault("workers-churn", 6, 10)
def _workers_churn(rig: Rig, rng: Random) -> Iterator[None]:
    """Workers join and leave without rest, by SIGTERM and by SIGKILL."""
    stopping = threading.Event()
    seed = rng.random()

    def churn() -> None:
        own = Random(seed)
        while not stopping.wait(_CHURN_SECONDS):
            rig.start_worker(wait=False)
            leaving = own.choice(rig.workers)
            leaving.kill() if own.random() < 0.5 else leaving.stop()

    thread = threading.Thread(target=churn, name="churn")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


@_fault("api-sigkill", 0.2, 3)
def _api_killed(rig: Rig, rng: Random) -> Iterator[None]:
    """Kills an API process in the middle of whatever it is taking, uploads among it."""
    victim = rng.choice(rig.apis)
    victim.kill()
    yield
    rig.start_api(replacing=victim)


@_fault("api-sigstop", 2, 6)
def _api_frozen(rig: Rig, rng: Random) -> Iterator[None]:
    victim = rng.choice(rig.apis)
    victim.signal(signal.SIGSTOP)
    yield
    victim.signal(signal.SIGCONT)


@_fault("worker-clock", 2, 6, clock=True)
def _worker_clock(rig: Rig, rng: Random) -> Iterator[None]:
    yield from _wrong(rig.clock_of(rng.choice(rig.workers)), rng)


@_fault("api-clock", 2, 6, clock=True)
def _api_clock(rig: Rig, rng: Random) -> Iterator[None]:
    yield from _wrong(rig.clock_of(rng.choice(rig.apis)), rng)


def _wrong(clock: Clock, rng: Random) -> Iterator[None]:
    """An hour ahead or behind, at once, and right again at once: the second jump goes the other way."""
    clock.jump(rng.choice((-_HOUR, _HOUR)))
    yield
    clock.jump(0)


@_fault("kafka-sigkill", 0.2, 4)
def _kafka_killed(rig: Rig, rng: Random) -> Iterator[None]:
    with _away(rig.kafka.brokers[0]):
        yield


@_fault("kafka-sigstop", 2, 8)
def _kafka_frozen(rig: Rig, rng: Random) -> Iterator[None]:
    with _silent(rig.kafka.brokers[0]):
        yield


@_fault("cluster-follower-sigkill", 2, 6, brokers=3)
def _follower_killed(rig: Rig, rng: Random) -> Iterator[None]:
    leader = rig.kafka.leader_of(RECORDS_TOPIC, 0)
    with _away(rng.choice([one for one in rig.kafka.brokers if one is not leader])):
        yield


@_fault("cluster-leader-sigkill", 2, 6, brokers=3)
def _leader_killed(rig: Rig, rng: Random) -> Iterator[None]:
    with _away(rig.kafka.leader_of(RECORDS_TOPIC, rng.randrange(12))):
        yield


@_fault("cluster-leader-sigstop", 4, 12, brokers=3)
def _leader_frozen(rig: Rig, rng: Random) -> Iterator[None]:
    """Its connections stay open and nothing comes back; when it wakes up it may still believe that it leads."""
    with _silent(rig.kafka.leader_of(RECORDS_TOPIC, rng.randrange(12))):
        yield


@_fault("cluster-follower-then-leader", 4, 8, brokers=3)
def _one_after_the_other(rig: Rig, rng: Random) -> Iterator[None]:
    """A broker is lost and comes back; as soon as it is well, the one that led is lost."""
    leader = rig.kafka.leader_of(RECORDS_TOPIC, 0)
    first = rng.choice([one for one in rig.kafka.brokers if one is not leader])
    first.kill()
    first.start()
    first.wait_until_ready()  # the others may not have noticed yet that it was away, and call it in sync
    rig.kafka.wait_until_in_sync()
    with _away(rig.kafka.leader_of(RECORDS_TOPIC, 0)):
        yield


@_fault("cluster-majority-sigkill", 4, 10, brokers=3)
def _majority_killed(rig: Rig, rng: Random) -> Iterator[None]:
    """Kills two brokers of three: nothing can be acknowledged, and no leader be chosen, until one of the two is
    back."""
    victims = rng.sample(rig.kafka.brokers, 2)
    for broker in victims:
        broker.kill()
    yield
    for broker in victims:
        broker.start()
    rig.kafka.wait_until_ready()


@_fault("postgres-sigkill", 0.2, 4)
def _postgres_killed(rig: Rig, rng: Random) -> Iterator[None]:
    with _away(rig.postgres):
        yield


@_fault("postgres-immediate", 0.2, 4)
def _postgres_immediate(rig: Rig, rng: Random) -> Iterator[None]:
    rig.postgres.stop("immediate")
    yield
    rig.postgres.start()
    rig.postgres.wait_until_ready()


@_fault("postgres-sigstop", 2, 8)
def _postgres_frozen(rig: Rig, rng: Random) -> Iterator[None]:
    with _silent(rig.postgres):
        yield


@_fault("postgres-backends-terminated", 2, 5)
def _backends_terminated(rig: Rig, rng: Random) -> Iterator[None]:
    """An administrator ends every connection of ours, again and again (57P01)."""
    stopping = threading.Event()

    def terminate() -> None:
        with _connect(rig) as admin, admin.cursor() as cursor:
            while not stopping.wait(0.3):
                cursor.execute(_END_OURS)

    thread = threading.Thread(target=terminate, name="terminate")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


@_fault("postgres-connections-exhausted", 3, 8)
def _connections_exhausted(rig: Rig, rng: Random) -> Iterator[None]:
    """Others hold every connection that is not reserved; ours are ended, so that new ones are refused (53300)."""
    taken: list[Connection] = []
    with _connect(rig) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE ROLE greedy LOGIN PASSWORD 'greedy'") if not _has_role(cursor, "greedy") else None
        try:
            for _ in range(3):  # ours come back between an end and the next hold: until nothing is left
                cursor.execute(_END_OURS)
                _take_all(rig, "greedy", taken)
            yield
        finally:
            for one in taken:
                one.close()


def _has_role(cursor: Cursor, name: str) -> bool:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
    return cursor.fetchone() is not None


def _take_all(rig: Rig, user: str, taken: list[Connection]) -> None:
    """Every connection that is to be had; the user's password is its name."""
    try:
        while True:
            taken.append(psycopg2.connect(rig.admin_dsn, user=user, password=user))
    except psycopg2.OperationalError:
        return


@contextmanager
def _connect(rig: Rig) -> Iterator[Connection]:
    connection = psycopg2.connect(rig.admin_dsn)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


@_fault("kafka-disk-full", 3, 6, disk="kafka")
def _kafka_disk_full(rig: Rig, rng: Random) -> Iterator[None]:
    """The broker stops itself when it cannot write its log; with space again, it is started again."""
    broker = rig.kafka.brokers[0]
    rig.disks["kafka"].fill()
    yield
    rig.disks["kafka"].free()
    broker.kill()
    broker.start()
    broker.wait_until_ready()


@_fault("postgres-disk-full", 3, 6, disk="postgres")
def _postgres_disk_full(rig: Rig, rng: Random) -> Iterator[None]:
    """Refused writes (53100), or a PANIC when it is the write-ahead log that finds no room first."""
    rig.disks["postgres"].fill()
    yield
    _postgres_with_room(rig, "postgres")


@_fault("postgres-wal-disk-full", 3, 6, disk="postgres-wal")
def _postgres_wal_disk_full(rig: Rig, rng: Random) -> Iterator[None]:
    """The write-ahead log cannot grow: the server goes down (PANIC)."""
    rig.disks["postgres-wal"].fill()
    yield
    _postgres_with_room(rig, "postgres-wal")


def _postgres_with_room(rig: Rig, disk: str) -> None:
    rig.disks[disk].free()
    if not rig.postgres.running:
        rig.postgres.start()
    rig.postgres.wait_until_ready()


def _on_link(name: str, shatter: Callable[[Link, Random], None]) -> Strike:
    """A strike that breaks one link and heals it."""

    @contextmanager
    def strike(rig: Rig, rng: Random) -> Iterator[None]:
        shatter(rig.links[name], rng)
        yield
        rig.links[name].heal()

    return strike


def _slow(link: Link, rng: Random) -> None:
    link.slow(latency_ms=rng.randint(50, 400), jitter_ms=rng.randint(0, 100))


def _narrow(link: Link, rng: Random) -> None:
    """A micro-batch takes longer than a statement may."""
    link.slow(latency_ms=rng.randint(1, 50), rate_kb=rng.randint(5, 40))


def _link_faults() -> None:
    """Every pair that talks, in every way a network fails."""
    for link in ("api-kafka", "worker-kafka", "client-kafka", "api-postgres", "worker-postgres", "client-api-1"):
        _faults.append(Fault(f"{link}-cut", _on_link(link, lambda link, _: link.cut()), (0.5, 5)))
        _faults.append(Fault(f"{link}-slow", _on_link(link, _slow), (2, 6)))
        _faults.append(Fault(f"{link}-blackhole", _on_link(link, lambda link, _: link.blackhole()), (2, 8)))
    for link in ("worker-postgres", "api-kafka"):  # what was under way arrives after all, late: a commit among it
        _faults.append(Fault(f"{link}-stall", _on_link(link, lambda link, _: link.stall()), (4, 8)))
    _faults.append(Fault("worker-postgres-narrow", _on_link("worker-postgres", _narrow), (15, 25)))


_link_faults()
FAULTS: Final[Mapping[str, Fault]] = {fault.name: fault for fault in _faults}
