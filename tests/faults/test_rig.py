"""The rig breaks what it says it breaks: each break is seen by real clients, and nothing of it is left at the end."""

import datetime as dt
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg2
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from infra.processes.services import Service
from tests.helpers import RECORDS, wait_for
from trials.chaos.clocks import can_jump
from trials.chaos.disks import can_mount, mounted_below
from trials.chaos.links import Link
from trials.chaos.rig import Rig

pytestmark = pytest.mark.long

SLOW_MS = 300


class NotAcknowledged(Exception):
    """A message came to nothing."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One broker, all on the machine's disk."""
    with Rig(tmp_path_factory.mktemp("rig"), partitions=2) as running:
        running.start_servers()
        yield running


@pytest.fixture(autouse=True)
def healed(rig: Rig) -> Iterator[None]:
    """A test that fails leaves nothing broken for the next."""
    yield
    rig.heal()
    rig.postgres.thaw()
    rig.kafka.brokers[0].thaw()


def query(rig: Rig, connection: Any = None, timeout: int = 3) -> float:
    """Seconds that an answer took, on a new connection or on one that is open."""
    began = time.monotonic()
    if connection is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return time.monotonic() - began
    with closing(connect(rig, timeout)):
        return time.monotonic() - began


def connect(rig: Rig, timeout: int = 3) -> Any:
    """Through the link, as the worker does."""
    port = rig.links["worker-postgres"].port
    made = psycopg2.connect(rig.admin_dsn, port=port, connect_timeout=timeout)
    made.autocommit = True
    return made


def silent(port: int, greeting: bytes, seconds: float = 1.0) -> bool:
    """Whether a new connection is taken and then not answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as made:
        made.sendall(greeting)
        try:
            return made.recv(1) is None
        except TimeoutError:
            return True


SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")  # PostgreSQL answers it with one byte


def test_a_cut_link_closes_what_is_open_and_refuses_what_is_new(rig: Rig) -> None:
    link = rig.links["worker-postgres"]
    with closing(connect(rig)) as opened:
        query(rig, opened)
        link.cut()
        with pytest.raises(psycopg2.OperationalError):
            query(rig, opened)
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        connect(rig)
    with closing(psycopg2.connect(rig.admin_dsn)):
        pass  # those who check see nothing of it
    link.heal()
    query(rig)


def test_a_slow_link_delays_open_and_new_connections(rig: Rig) -> None:
    link = rig.links["worker-postgres"]
    with closing(connect(rig)) as opened:
        query(rig, opened)
        link.slow(SLOW_MS)
        assert query(rig, opened) >= 2 * SLOW_MS / 1000
        assert query(rig, timeout=30) >= 2 * SLOW_MS / 1000
        link.heal()
        query(rig, opened)  # the same connection goes on


def test_a_slow_link_has_a_rate(rig: Rig) -> None:
    link = rig.links["worker-postgres"]
    with closing(connect(rig)) as opened, opened.cursor() as cursor:
        link.slow(0, rate_kb=100)
        began = time.monotonic()
        cursor.execute("SELECT repeat('x', 100000)")
        assert time.monotonic() - began >= 0.8
        link.heal()


def test_a_black_hole_swallows_what_is_sent_and_closes_at_the_heal(rig: Rig) -> None:
    link = rig.links["worker-postgres"]
    with socket.create_connection(("127.0.0.1", link.port), timeout=1) as opened:
        link.blackhole()
        opened.sendall(SSL_REQUEST)
        with pytest.raises(TimeoutError):
            opened.recv(1)
        assert silent(link.port, SSL_REQUEST)
        link.heal()
        opened.settimeout(10)
        assert opened.recv(1) == b""  # it ends without the answer: what was sent is lost
    query(rig)


def test_a_stalled_link_is_silent_and_delivers_late(rig: Rig) -> None:
    link = rig.links["worker-postgres"]
    with socket.create_connection(("127.0.0.1", link.port), timeout=1) as opened:
        link.stall()
        opened.sendall(SSL_REQUEST)
        with pytest.raises(TimeoutError):
            opened.recv(1)
        assert silent(link.port, SSL_REQUEST)
        link.heal()
        opened.settimeout(10)
        assert opened.recv(1) in (b"S", b"N")
    query(rig)


@pytest.mark.parametrize("harm", [Link.cut, Link.blackhole, Link.stall])
def test_kafka_clients_know_no_way_around_their_link(rig: Rig, harm: Callable[[Link], None]) -> None:
    """They learn the brokers' addresses from the broker: each link has its own."""
    link = rig.links["client-kafka"]
    client = AdminClient({"bootstrap.servers": rig.client_bootstrap, "log_level": 0})
    told = client.list_topics(timeout=20)
    assert {broker.port for broker in told.brokers.values()} == {hop.listen for hop in link.hops}
    publish(rig.client_bootstrap)
    harm(link)
    with pytest.raises(NotAcknowledged):
        publish(rig.client_bootstrap, patience_ms=1500)
    publish(rig.admin_bootstrap)
    publish(rig.links["worker-kafka"].bootstrap)
    link.heal()
    publish(rig.client_bootstrap)


def publish(bootstrap: str, patience_ms: int = 30_000) -> None:
    """One message, to all copies. Raises NotAcknowledged."""
    told: list[str] = []
    producer = Producer(
        {"bootstrap.servers": bootstrap, "acks": "all", "message.timeout.ms": patience_ms, "log_level": 0}
    )
    producer.produce(RECORDS, b"{}", b"nobody", on_delivery=lambda error, _: told.append(str(error)))
    producer.flush(patience_ms / 1000 + 10)
    if told != ["None"]:
        raise NotAcknowledged(told)


def test_frozen_servers_are_silent_and_go_on(rig: Rig) -> None:
    with closing(psycopg2.connect(rig.admin_dsn)) as opened:
        opened.autocommit = True
        rig.postgres.freeze()
        rig.kafka.brokers[0].freeze()
        assert silent(rig.postgres.port, SSL_REQUEST)
        with pytest.raises(NotAcknowledged):
            publish(rig.admin_bootstrap, patience_ms=1500)
        rig.postgres.thaw()
        rig.kafka.brokers[0].thaw()
        query(rig, opened)
        publish(rig.admin_bootstrap)


def test_killed_servers_come_back_where_they_were(rig: Rig) -> None:
    with closing(psycopg2.connect(rig.admin_dsn)) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 1 AS one")
        admin.commit()
    rig.postgres.freeze()  # the frozen can be killed as well
    rig.kafka.brokers[0].freeze()
    rig.postgres.kill()
    rig.kafka.brokers[0].kill()
    rig.postgres.start()
    rig.kafka.brokers[0].start()
    rig.postgres.wait_until_ready()
    rig.kafka.brokers[0].wait_until_ready()
    with closing(connect(rig)) as again, again.cursor() as cursor:
        cursor.execute("SELECT one FROM kept")
        assert cursor.fetchone() == (1,)
    publish(rig.client_bootstrap)


def test_processes_reach_the_servers_through_their_links_alone(rig: Rig) -> None:
    api, worker = rig.start_api(), rig.start_worker()
    link = rig.link_of(api)
    for process, links in ((api, ("api-kafka", "api-postgres")), (worker, ("worker-kafka", "worker-postgres"))):
        ways = {hop.listen for name in links for hop in rig.links[name].hops}
        reached = {
            made.raddr.port
            for made in psutil.Process(process.pid).net_connections("tcp")
            if made.raddr and made.status == psutil.CONN_ESTABLISHED
        }
        servers = {rig.postgres.port, rig.kafka.brokers[0].port, *(one.port for one in rig.kafka.brokers[0].listeners)}
        assert reached & ways, (process.name, reached, ways)
        assert not reached & servers, (process.name, reached, servers)
    assert rig.api_urls == [f"http://127.0.0.1:{link.port}"]
    api.kill()
    again = rig.start_api(replacing=api)
    assert rig.link_of(again) is link
    worker.signal(19)  # SIGSTOP: stopping the rig must end it all the same


@pytest.mark.skipif(not can_jump(), reason="a clock of one's own takes a C compiler")
def test_a_process_has_a_clock_that_jumps_while_it_runs(rig: Rig) -> None:
    one, other = rig.start_api(), rig.start_api()

    def ahead(api: Service) -> float:
        told = parsedate_to_datetime(httpx.get(f"{api.base_url}/healthz", timeout=30).headers["date"])
        return (told - dt.datetime.now(dt.UTC)).total_seconds()

    for seconds in (3_600, -3_600, 0):
        rig.clock_of(one).jump(seconds)
        wait_for(lambda: abs(ahead(one) - seconds) < 600, f"its clock is {seconds} s ahead")  # noqa: B023
        assert abs(ahead(other)) < 600
    for api in (one, other):
        api.kill()


def test_three_brokers_lose_their_leader_and_go_on_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with Rig(tmp_path / "rig", brokers=3, partitions=2) as rig:
        rig.start_servers()
        publish(rig.client_bootstrap)
        rig.kafka.leader_of(RECORDS, 0).kill()
        publish(rig.client_bootstrap, patience_ms=60_000)
        lost = next(broker for broker in rig.kafka.brokers if not broker.running)
        assert wait_for(lambda: rig.kafka.leader_of(RECORDS, 0) is not lost, "another leads")
        lost.start()
        lost.wait_until_ready()
        rig.kafka.wait_until_in_sync()
        rig.kafka.brokers[1].freeze()
        ports = [
            rig.postgres.port,
            *(broker.port for broker in rig.kafka.brokers),
            *(each.port for each in rig.links.values()),
        ]
        children = psutil.Process().children(recursive=True)
    assert not [child for child in children if child.is_running() and str(rig.data_dir) in " ".join(child.cmdline())]
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)


@pytest.mark.skipif(not can_mount(), reason="a small disk takes root's rights to mount")
def test_full_disks_refuse_writes_and_servers_recover(tmp_path: Path) -> None:
    with Rig(tmp_path / "rig", partitions=2, kafka_disk_mb=200, postgres_disk_mb=200) as rig:
        rig.start_servers()
        assert len(mounted_below(rig.data_dir)) == 2
        rig.disks["postgres"].fill(leave_kb=64)
        with closing(psycopg2.connect(rig.admin_dsn)) as admin, admin.cursor() as cursor:
            with pytest.raises(psycopg2.Error) as refused:
                cursor.execute("CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
        assert refused.value.pgcode == "53100"
        rig.disks["postgres"].free()
        with closing(psycopg2.connect(rig.admin_dsn)) as admin, admin.cursor() as cursor:
            cursor.execute("CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 1000)")

        broker = rig.kafka.brokers[0]
        publish(rig.admin_bootstrap)
        rig.disks["kafka"].fill()
        with pytest.raises(NotAcknowledged):
            while broker.running:
                publish(rig.admin_bootstrap, patience_ms=3000)
        rig.disks["kafka"].free()
        broker.kill()
        broker.start()
        broker.wait_until_ready()
        publish(rig.admin_bootstrap)
    assert not mounted_below(rig.data_dir)
