"""The write pool: never more than fifty connections, all of them at once no harm to others, and metrics that tell."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import httpx
import psycopg2
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.engine import make_url
from sqlalchemy.exc import TimeoutError as PoolTimeout

from infra.processes.services import Service
from infra.stack import Stack
from sinks.postgres import PostgresSink
from sinks.postgres.engine import MAX_CONNECTIONS, write_engine
from sinks.protocol import Unavailable
from tests.api.api_client import assert_problem
from tests.helpers import Database, Publisher, StatusTopic, assert_accounted, assert_told, wait_for
from tests.load import metric
from tests.murmur2 import partition_of
from tests.own import views_of_own
from tests.refusals import locked as nobody_else
from trials import generator
from trials.bench.http import Call, submit_all
from trials.bench.reads import ReadsWhileWriting

PARTITIONS: Final = 64  # more lanes than connections
TENANTS: Final = 100
WORKER: Final = "scanline-worker"
AT_MOST: Final = {"SCANLINE_STREAM_WRITERS": "50", "SCANLINE_WRITE_CONNECTIONS": "50"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("connections"), partitions=PARTITIONS) as stack:
        stack.start_servers()
        yield stack


database, statuses = views_of_own()


def tenants(prefix: str) -> list[str]:
    """A hundred, at least one in every partition."""
    found: dict[int, list[str]] = {}
    number = 0
    while len(found) < PARTITIONS or sum(map(len, found.values())) < TENANTS:
        name = f"{prefix}-{number}"
        found.setdefault(partition_of(name.encode(), PARTITIONS), []).append(name)
        number += 1
    first = [names[0] for names in found.values()]
    rest = [name for names in found.values() for name in names[1:]]
    return [*first, *rest][:TENANTS]


def publish(own: Stack, names: list[str], seed: int) -> dict[str, str]:
    with Publisher(own.kafka.bootstrap) as publisher:
        return {name: publisher.scan(name, generator.records(200, seed, name), at_once=50) for name in names}


def connections(database: Database, application: str = WORKER) -> int:
    """As the server counts them, whatever they are doing."""
    return int(database.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", application))


def waiting_for_locks(database: Database) -> int:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
    return int(database.value(waiting, WORKER))


def pool_of(worker: Service) -> dict[str, float]:
    lines = httpx.get(worker.metrics_url, timeout=30).text.splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if line.startswith("scanline_pool_") and "pool=" in line)
    return {name: float(value) for name, value in samples}


IN_USE: Final = 'scanline_pool_connections_count{pool="write",state="in_use"}'
IDLE: Final = 'scanline_pool_connections_count{pool="write",state="idle"}'
LIMIT: Final = 'scanline_pool_limit_count{pool="write"}'
EXHAUSTED: Final = 'scanline_pool_exhausted_total{pool="write"}'


def finish(database: Database, statuses: StatusTopic, scans: dict[str, str]) -> None:
    for name, scan in scans.items():
        row = database.finished(name, scan)
        assert (row["status"], row["records_stored"], row["records_duplicate"]) == ("completed", 200, 0)
        assert_accounted(database, name, scan)
    assert_told(database, statuses, scans)


@contextmanager
def locked(own: Stack) -> Iterator[None]:
    """Whoever writes rows waits, with the connection in hand."""
    holder: Any = psycopg2.connect(own.postgres.superuser_dsn())
    try:
        with holder.cursor() as cursor:
            cursor.execute("LOCK TABLE processing_activities IN EXCLUSIVE MODE")  # readers may
        yield
    finally:
        holder.close()


@pytest.fixture
def worker(own: Stack, request: pytest.FixtureRequest) -> Iterator[Service]:
    """One with the settings of the test's parameter."""
    service = own.start_worker(request.param)
    yield service
    assert service.stop() == 0


@pytest.mark.parametrize("worker", [AT_MOST], indirect=True, ids=["at most"])
def test_a_hundred_tenants_waiting_take_fifty_connections_and_no_more(
    own: Stack, database: Database, statuses: StatusTopic, worker: Service, tenant: str
) -> None:
    with locked(own):
        scans = publish(own, tenants(tenant), 50)
        wait_for(
            lambda: waiting_for_locks(database) == MAX_CONNECTIONS, "every connection of the pool waits for the lock"
        )
        assert connections(database) == MAX_CONNECTIONS
        pool = wait_for(lambda: (found := pool_of(worker))[IN_USE] == 50 and found, "the pool says that all are in use")
        assert (pool[IDLE], pool[LIMIT]) == (0, 50)
        # others get theirs, and their answers
        with ExitStack() as others:
            for url in [own.postgres.urls.read] * 20 + [own.postgres.urls.migrate]:
                opened = others.enter_context(psycopg2_of(url))
                with opened.cursor() as cursor:
                    cursor.execute("SELECT count(*) FROM scans")
            assert connections(database) <= MAX_CONNECTIONS
    finish(database, statuses, scans)
    wait_for(lambda: pool_of(worker)[IN_USE] == 0, "given back")
    pool = pool_of(worker)
    assert (pool[IDLE], pool[LIMIT]) == (connections(database), 50)
    assert pool[EXHAUSTED] == 0  # a lane without a connection waits for its turn, and nobody is refused


@contextmanager
def psycopg2_of(url: str) -> Iterator[Any]:
    connection: Any = psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("worker", "limit"),
    [(AT_MOST, 50), ({"SCANLINE_STREAM_WRITERS": "50", "SCANLINE_WRITE_CONNECTIONS": "3"}, 3)],
    indirect=["worker"],
    ids=["fifty", "three for fifty writers"],
)
def test_under_load_the_pool_stays_within_its_limit(
    own: Stack, database: Database, statuses: StatusTopic, worker: Service, tenant: str, limit: int
) -> None:
    scans = publish(own, tenants(tenant), 51)
    names = list(scans)
    most = 0

    def look() -> bool:
        nonlocal most
        most = max(most, connections(database))
        done = "SELECT count(*) FROM scans WHERE tenant_id = ANY(%s) AND status = 'completed'"
        return database.value(done, names) == TENANTS

    wait_for(look, "every scan is completed")
    assert 1 <= most <= limit
    finish(database, statuses, scans)
    assert pool_of(worker)[LIMIT] == limit


def test_the_fifty_first_waits_and_is_answered_so(own: Stack, database: Database) -> None:
    engine = write_engine(own.postgres.urls.write, connections=MAX_CONNECTIONS, deadline_seconds=1)
    sink = PostgresSink(engine, "connections")
    with ExitStack() as held:
        for _ in range(MAX_CONNECTIONS):
            held.enter_context(engine.connect())
        assert connections(database) == MAX_CONNECTIONS
        with pytest.raises(PoolTimeout):
            engine.raw_connection()
        exhausted = told("scanline_pool_exhausted_total")
        with pytest.raises(Unavailable):  # the lane waits; nothing is dropped
            sink.probe()
        assert told("scanline_pool_exhausted_total") == exhausted + 1
        assert connections(database) == MAX_CONNECTIONS
    sink.probe()
    sink.close()
    wait_for(lambda: connections(database) == 0, "every connection is given back")


def test_the_fifty_first_gets_the_first_connection_that_is_free(own: Stack, database: Database) -> None:
    engine = write_engine(own.postgres.urls.write, connections=MAX_CONNECTIONS, deadline_seconds=60)
    sink = PostgresSink(engine, "connections")
    exhausted = told("scanline_pool_exhausted_total")
    with ExitStack() as held, ThreadPoolExecutor(1) as lane:
        first = engine.connect()
        for _ in range(MAX_CONNECTIONS - 1):
            held.enter_context(engine.connect())
        probed = lane.submit(sink.probe)
        wait_for(lambda: told("scanline_pool_waiting_count") == 1, "the pool says that one waits")
        assert not probed.done()
        first.close()
        probed.result(60)
        assert connections(database) == MAX_CONNECTIONS
    assert (told("scanline_pool_waiting_count"), told("scanline_pool_exhausted_total")) == (0, exhausted)
    sink.close()
    wait_for(lambda: connections(database) == 0, "every connection is given back")


def told(name: str) -> float:
    """Of the write pool of this process."""
    value = REGISTRY.get_sample_value(name, {"pool": "write"})
    assert value is not None
    return value


@pytest.mark.parametrize("worker", [{}], indirect=True, ids=["as it comes"])
def test_a_hundred_tenants_at_once_write_and_read_and_nobody_is_refused(
    own: Stack, database: Database, statuses: StatusTopic, worker: Service, tenant: str
) -> None:
    api = own.start_api()
    names = tenants(tenant)
    bodies = {name: generator.body(generator.records(200, 52, name)) for name in names}
    taken = submit_all([api.base_url], [Call(name, bodies[name], headers=(("Prefer", "wait=30"),)) for name in names])
    assert {answer.status for answer in taken} <= {200, 202}, taken
    scans = {answer.tenant: answer.scan_id for answer in taken}
    paths = ("/scans", "/scans/{}", "/scans/{}/errors", "/processing-activities")
    reads = [Call(name, path=path.format(scans[name]), method="GET") for path in paths for name in names]
    assert {answer.status for answer in submit_all([api.base_url], reads)} == {200}
    finish(database, statuses, scans)
    for service, pool in ((api, "read"), (worker, "write")):
        assert metric(service, "scanline_pool_exhausted_total", pool=pool) == 0
        assert metric(service, "scanline_pool_checkout_seconds_count", pool=pool) > 0
    api.stop()


READS: Final = 12


def read_at_once(api: Service, tenant: str) -> list[httpx.Response]:
    """In turn in Vietnamese and in English."""

    def read(number: int) -> httpx.Response:
        language = {"Accept-Language": ("vi", "en")[number % 2]}
        return httpx.get(f"{api.base_url}/v1/tenants/{tenant}/processing-activities", headers=language, timeout=120)

    with ThreadPoolExecutor(READS) as callers:
        return list(callers.map(read, range(READS)))


def test_reads_wait_for_a_connection(own: Stack, tenant: str) -> None:
    api = own.start_api({"SCANLINE_READ_CONNECTIONS": "2", "SCANLINE_READ_DEADLINE_SECONDS": "60"})
    with ThreadPoolExecutor(1) as callers:
        with nobody_else(own.postgres.superuser_dsn(), "processing_activities"):
            answers = callers.submit(read_at_once, api, tenant)
            waiting = ("scanline_pool_waiting_count", READS - 2)
            wait_for(lambda: metric(api, waiting[0], pool="read") == waiting[1], "all but two wait for a connection")
            assert metric(api, "scanline_pool_connections_count", pool="read", state="in_use") == 2
        assert [answer.status_code for answer in answers.result(120)] == [200] * READS
    assert metric(api, "scanline_pool_waiting_count", pool="read") == 0
    assert metric(api, "scanline_pool_exhausted_total", pool="read") == 0
    api.stop()


def test_reads_that_waited_too_long_are_told_when_to_come_back(own: Stack, tenant: str) -> None:
    api = own.start_api({"SCANLINE_READ_CONNECTIONS": "2", "SCANLINE_READ_DEADLINE_SECONDS": "1"})
    with nobody_else(own.postgres.superuser_dsn(), "processing_activities"):
        for answer in read_at_once(api, tenant):
            assert_problem(answer, 503, "reads_unavailable")  # in its language, with Retry-After
        assert metric(api, "scanline_pool_exhausted_total", pool="read") > 0
        assert httpx.get(f"{api.base_url}/readyz", timeout=60).status_code == 200  # scans are taken all the while
    wait_for(lambda: {answer.status_code for answer in read_at_once(api, tenant)} == {200}, "reads are answered again")
    api.stop()


@pytest.mark.long
def test_reads_are_answered_while_workers_write_as_fast_as_they_can(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """How fast is for `scanline bench --only reads-while-writing` to say, on a machine that does nothing else."""
    stack.start_api()
    names = [f"tenant-{number:03}" for number in range(TENANTS)]
    result = ReadsWhileWriting(stack, names, 2_000, lambda: stack.workers or stack.start_worker())()
    with capsys.disabled():
        print(f"\n{result.rate:,.0f} rows/s; {result.note}")
    assert result.problems == []
    assert len(result.latencies) >= 20
    p99 = result.latency(0.99)
    assert p99 is not None and p99 < 10


@pytest.mark.parametrize("count", [0, 51])
def test_no_setting_makes_the_pool_larger(own: Stack, count: int) -> None:
    with pytest.raises(ValueError, match="1 to 50"):
        write_engine(own.postgres.urls.write, connections=count, deadline_seconds=1)
    service = own.start_worker({"SCANLINE_WRITE_CONNECTIONS": str(count)}, wait=False)
    wait_for(lambda: service.returncode is not None, "the worker refuses to start")
    assert service.returncode == 1
    assert "SCANLINE_WRITE_CONNECTIONS" in service.log_file.read_text()
