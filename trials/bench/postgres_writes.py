"""Ways to write the same rows into PostgreSQL, under its default settings and under ours, in turns in one run."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import psycopg2
import psycopg2.extras

from infra.postgres.cluster import PostgresCluster
from infra.postgres.migrate import prepare
from schemas.server_queries import CHECKPOINTER_VIEW_SINCE, CHECKPOINTS, CHECKPOINTS_BEFORE, WAL_INSERTED
from sinks.columns import COLUMNS
from sinks.postgres.rows import texts_of
from trials.bench.bulk_insert import bulk_rows, inserting
from trials.bench.copy_baseline import SCHEMA, TABLE, copy_lines, copying, make_scratch
from trials.bench.together import Transaction, run_together

_INSERT: Final = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES %s"
_TENANTS: Final = 16
Say = Callable[[str], None]
Batch = Sequence[Any]  # what one transaction writes: lines of COPY, or rows by their columns


class Way(NamedTuple):
    """A way to write: rows of a transaction, connections, and how: `bulk` is SQLAlchemy's INSERT of many rows, `insert` the
    same statement made from texts that are there already."""

    name: str
    rows: int
    connections: int
    how: Literal["bulk", "insert", "copy"]


WAYS: Final = (
    Way("row", 1, 1, "insert"),
    Way("insert-100", 100, 1, "insert"),
    Way("insert-1000", 1_000, 1, "insert"),
    Way("bulk-1000", 1_000, 1, "bulk"),
    Way("copy-1", 1_000, 1, "copy"),
    Way("copy-4", 1_000, 4, "copy"),
    Way("copy-16", 1_000, 16, "copy"),
)
# Settings of the server, and whether a commit waits for the disk.
VARIANTS: Final[Mapping[str, tuple[str, bool]]] = {
    "defaults": ("defaults", True),
    "ours, durable": ("ours", True),
    "ours": ("ours", False),  # as deployed
    "ours, archiving": ("archiving", False),
}
_ARCHIVED: Final = "copy-4"  # the one way that is also measured with archiving


class Amounts(NamedTuple):
    """Rows of a measurement, by the rows of a transaction and by COPY; and how often each is taken."""

    single: int = 2_000
    inserted: int = 50_000
    copied: int = 1_500_000
    rounds: int = 3

    def of(self, way: Way) -> int:
        """The rows that this way writes."""
        return self.copied if way.how == "copy" else self.single if way.rows == 1 else self.inserted


QUICK: Final = Amounts(500, 10_000, 100_000, 1)


class Measured(NamedTuple):
    """One way under one variant, the median of its rounds. Times are of transactions, in milliseconds."""

    way: str
    variant: str
    rows_per_second: float
    p50: float
    p99: float
    longest: float
    forced_checkpoints: float
    wal_mib: float


def run(folder: Path, amounts: Amounts, say: Say, ways: Sequence[Way] = WAYS) -> list[Measured]:
    """Measures these ways on clusters made anew below `folder`."""
    with _clusters(folder) as clusters:
        dsns = {name: cluster.superuser_dsn() for name, cluster in clusters.items()}
        rounds: dict[tuple[str, str], list[Measured]] = {}
        for _ in range(amounts.rounds):
            for way in ways:
                for variant, (server, durable) in VARIANTS.items():
                    if server == "archiving" and way.name != _ARCHIVED:
                        continue
                    say(f"{way.name}, {variant}")
                    found = _measure(dsns[server], way, variant, amounts.of(way), durable=durable)
                    rounds.setdefault((way.name, variant), []).append(found)
    return [_median(each) for each in rounds.values()]


@contextmanager
def _clusters(folder: Path) -> Iterator[dict[str, PostgresCluster]]:
    """PostgreSQL three times: one is used at a time, the others are idle."""
    archive = folder / "archive"
    archiving = {"archive_mode": "on", "archive_command": f"cp %p {archive}/%f"}
    clusters = {
        "defaults": PostgresCluster(folder / "defaults", tuned=False),
        "ours": PostgresCluster(folder / "ours"),
        "archiving": PostgresCluster(folder / "archiving", settings=archiving),
    }
    archive.mkdir(parents=True, exist_ok=True)
    archive.chmod(0o777)  # the server may run as another user
    with ExitStack() as running:
        for cluster in clusters.values():
            running.callback(cluster.stop, "immediate")
            cluster.start()
            cluster.wait_until_ready()
            prepare(cluster)
            make_scratch(cluster.superuser_dsn())
        yield clusters


def _batches(way: Way, rows: int) -> list[list[Batch]]:
    """What each connection writes: batches of lines, each line with a key of its own."""
    tenants = [f"bench-{number:03}" for number in range(_TENANTS)]
    made: list[Any] = []
    while len(made) < rows:
        # each time the same records under new scans
        if way.how == "bulk":
            made += bulk_rows(tenants)
        else:
            made += [line for text in copy_lines(tenants) for line in text.splitlines(keepends=True)]
    batches: list[Batch] = [made[at : at + way.rows] for at in range(0, rows, way.rows)]
    return [batches[number :: way.connections] for number in range(way.connections)]


class _Counters(NamedTuple):
    wal: int
    forced: int


def _measure(dsn: str, way: Way, variant: str, rows: int, *, durable: bool) -> Measured:
    shares = [[_call(way, batch) for batch in share] for share in _batches(way, rows)]
    options = f"-c synchronous_commit={'on' if durable else 'off'}"
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {TABLE}")
            cursor.execute("CHECKPOINT")
            before = _counters(cursor)
            seconds, times = run_together(dsn, options, shares)
            after = _counters(cursor)
    times.sort()
    return Measured(
        way.name,
        variant,
        rows / seconds,
        1_000 * statistics.median(times),
        1_000 * times[min(len(times) - 1, len(times) * 99 // 100)],
        1_000 * times[-1],
        after.forced - before.forced,
        (after.wal - before.wal) / (1 << 20),
    )


def _counters(cursor: Any) -> _Counters:
    """WAL written so far, and checkpoints that were requested."""
    cursor.execute(WAL_INSERTED)
    [(wal,)] = cursor.fetchall()
    has_view = cursor.connection.server_version >= CHECKPOINTER_VIEW_SINCE
    cursor.execute(CHECKPOINTS if has_view else CHECKPOINTS_BEFORE)
    [(_, requested)] = cursor.fetchall()
    return _Counters(wal, requested)


def _call(way: Way, batch: Batch) -> Transaction:
    """What writes the batch, with everything prepared that is not the database's work."""
    if way.how == "copy":
        return copying("".join(batch))
    if way.how == "bulk":
        return inserting(batch, SCHEMA)
    values = [texts_of(line.encode()) for line in batch]
    return lambda cursor: psycopg2.extras.execute_values(cursor, _INSERT, values, page_size=way.rows)


def _median(found: Sequence[Measured]) -> Measured:
    numbers = [statistics.median(column) for column in zip(*(each[2:] for each in found), strict=True)]
    return Measured(found[0].way, found[0].variant, *numbers)


class Comparison(NamedTuple):
    """Two measurements as a ratio, and what it says."""

    name: str
    ratio: float
    target: float | None  # at least; None: no target, printed so that nothing is taken for more than it is
    text: str


def comparisons(found: Sequence[Measured]) -> list[Comparison]:
    """The comparisons, apart from each other: what is due to the way, to the commit, to the settings, to archiving. Those of
    which a side was not measured are left out."""
    rates = {(each.way, each.variant): each.rows_per_second for each in found}
    return [
        Comparison(name, rates[better] / rates[worse], target, text)
        for name, better, worse, target, text in _COMPARED
        if better in rates and worse in rates
    ]


_COMPARED: Final[Sequence[tuple[str, tuple[str, str], tuple[str, str], float | None, str]]] = (
    (
        "as deployed, 1 connection",
        ("copy-1", "ours"),
        ("bulk-1000", "defaults"),
        5.0,
        "COPY with our settings against SQLAlchemy's INSERT of 1,000 rows on default settings",
    ),
    (
        "as deployed, 4 connections",
        ("copy-4", "ours"),
        ("bulk-1000", "defaults"),
        None,
        "the same with four connections against one",
    ),
    (
        "without SQLAlchemy's cost",
        ("copy-1", "ours"),
        ("insert-1000", "defaults"),
        None,
        "COPY with our settings against the same INSERT from ready texts",
    ),
    (
        "synchronous_commit alone",
        ("row", "ours"),
        ("row", "ours, durable"),
        None,
        "row at a time, off against on",
    ),
    (
        "settings alone",
        ("copy-4", "ours, durable"),
        ("copy-4", "defaults"),
        None,
        "COPY with four connections, both durable: about 1.1 is usual, the way matters more",
    ),
    (
        "archiving",
        ("copy-4", "ours, archiving"),
        ("copy-4", "ours"),
        0.95,
        "COPY with four connections, WAL archived by cp, against not archived",
    ),
)
