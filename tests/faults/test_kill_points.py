"""A worker or an API dies by SIGKILL at a chosen point, each of them certain: whoever comes next ends with what was taken, once."""

import signal
from typing import Final

import httpx
import pytest

from infra.processes.child import free_port
from infra.processes.services import Service
from infra.stack import Stack
from tests.dying_worker import VARIABLE
from tests.helpers import Database, Publisher, StatusTopic, wait_for
from tests.load import LONG, Load, Scan, assert_exactly, group_offset, keys_of, offsets, wait_for_messages
from tests.murmur2 import tenants_by_partition
from tests.submissions import JSON, NDJSON, submit, wait_until_taken
from trials import generator

SESSION: Final = {"SCANLINE_SESSION_TIMEOUT_SECONDS": "2"}  # how soon the other worker takes over


def start_dying(stack: Stack, point: str) -> Service:
    """A worker that will end there."""
    port = free_port()
    env = {
        VARIABLE: point,
        "SCANLINE_WORKER_METRICS_PORT": str(port),
        "SCANLINE_STREAM_DATA_DIR": str(stack.data_dir / "faust"),
        # one lane after the other, so that the third transaction is certain to be the last
        "SCANLINE_STREAM_WRITERS": "1",
    }
    return stack._spawn("worker", "tests.dying_worker", port, SESSION | env)


def assert_died(worker: Service) -> None:
    wait_for(lambda: worker.returncode is not None, "it dies", LONG)
    assert worker.returncode == -signal.SIGKILL


def published(stack: Stack) -> dict[Scan, list[str]]:
    """A scan in every partition, each a transaction or two."""
    scans = {}
    with Publisher(stack.kafka.bootstrap) as publisher:
        for tenant in tenants_by_partition("kill"):
            lines = generator.records(200, 1, tenant)
            scans[tenant, publisher.scan(tenant, lines, at_once=50)] = keys_of(lines)
    return scans


@pytest.mark.parametrize(
    ("point", "committed"), [pytest.param("before the commit", 2, marks=pytest.mark.long), ("after the commit", 3)]
)
def test_killed_beside_a_commit(stack: Stack, point: str, committed: int) -> None:
    scans = published(stack)
    assert_died(start_dying(stack, point))
    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        written = database.rows("SELECT partition, next_offset FROM stream_offsets WHERE next_offset > 0")
        assert database.value("SELECT sum(version) FROM scans") == committed  # each transaction is of one scan
        assert database.value("SELECT sum(records_stored) FROM scans") == database.value(
            "SELECT count(*) FROM processing_activities"
        )
        assert all(group_offset(stack, row["partition"]) < row["next_offset"] for row in written)
        assert len(statuses.read()) <= 2  # the third was committed or not, and told in no case
    stack.start_worker(SESSION)
    assert_exactly(stack, scans)


@pytest.mark.parametrize(
    "point",
    [pytest.param("while partitions are taken away", marks=pytest.mark.long), "while partitions are given to it"],
)
def test_killed_during_a_rebalance(stack: Stack, point: str) -> None:
    """The one dies that had partitions, when another comes; or the one that comes, as soon as it has some."""
    with Load(stack.kafka.bootstrap) as load, Database(stack.postgres.superuser_dsn()) as database:
        if "taken" in point:
            dying = start_dying(stack, point)
            dying.wait_until_ready(LONG)
            wait_for_messages(database, 120)
            stack.start_worker(SESSION, wait=False)
        else:
            stack.start_worker(SESSION)
            wait_for_messages(database, 120)
            dying = start_dying(stack, point)
        assert_died(dying)
        wait_for_messages(database, 400)
        assert offsets(database) > 0
    assert_exactly(stack, load.published)


@pytest.mark.parametrize("kind", [JSON, pytest.param(NDJSON, marks=pytest.mark.long)], ids=["json", "ndjson"])
def test_an_api_killed_between_kafkas_answer_and_its_own(stack: Stack, kind: dict[str, str]) -> None:
    """The client knows nothing and sends the same again under its key: it is told of the one scan there is."""
    port = free_port()
    own = {"SCANLINE_API_HOST": "127.0.0.1", "SCANLINE_API_PORT": str(port)}
    dying = stack._spawn("api", "tests.dying_api", port, own)
    dying.wait_until_ready(LONG)
    lines = generator.records(1_500, 1, "tenant")
    body = generator.body(lines) if kind is JSON else generator.ndjson(lines)
    with httpx.Client(base_url=dying.base_url, timeout=60) as http, pytest.raises(httpx.TransportError):
        submit(http, "tenant", body, kind, idempotency_key="k")
    assert_died(dying)
    stack.start_worker(SESSION)
    with httpx.Client(base_url=stack.start_api().base_url, timeout=60) as http:
        scan = wait_until_taken(http, "tenant")
        answer = wait_for(
            lambda: (got := submit(http, "tenant", body, kind, idempotency_key="k")).status_code != 409 and got,
            "the key is free again",
        )
        assert answer.status_code == 202 and answer.json()["scan_id"] == scan
        assert wait_until_taken(http, "tenant") == scan
    assert_exactly(stack, {("tenant", scan): keys_of(lines)})
