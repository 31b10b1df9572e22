"""`scanline tail`: a line for each change, as it comes."""

import datetime as dt
import json
import signal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from confluent_kafka import Producer

from infra.processes.services import Service
from schemas.status import Scan, encode_status, paused_status, status_of
from schemas.topics import PARTITIONER, STATUS_TOPIC, status_key
from tests.commands import PATIENCE, Commands
from tests.helpers import Database, Publisher, new_scan, wait_for
from tests.servers import Servers
from trials import generator


@pytest.fixture
def run(servers: Servers, worker: Service, tmp_path: Path) -> Commands:
    return Commands({"SCANLINE_DATA_DIR": str(tmp_path), **servers.env})


def test_a_scan_until_it_ends(servers: Servers, run: Commands, database: Database, tenant: str) -> None:
    scan = new_scan()
    tail = run.start("tail", "--scan", scan, "--json")
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, generator.records(3_000, 1, tenant), at_once=500)
        publisher.closed(tenant, scan, 3_000)
    out, errors = tail.communicate(timeout=PATIENCE)
    assert tail.returncode == 0, errors
    told = [json.loads(line) for line in out.split("\n") if line]
    assert {status["scan_id"] for status in told} == {scan}
    stored = [status["records_stored"] for status in told]
    assert stored == sorted(stored)
    assert (told[-1]["status"], stored[-1]) == ("completed", 3_000)
    assert all(status["status"] != "completed" for status in told[:-1])


def test_of_one_tenant_for_people(servers: Servers, run: Commands, database: Database, tenant: str) -> None:
    lines = generator.records(9, 2, tenant)
    with Publisher(servers.bootstrap) as publisher:
        mine = publisher.scan(tenant, [*lines, b"{}"])
        publisher.scan(f"{tenant}-x", lines)
    database.finished(tenant, mine)
    tail = run.start("tail", "--tenant", tenant, "--from-start")
    assert tail.stdout is not None
    line = wait_for(tail.stdout.readline, "the scan is told of")
    tail.send_signal(signal.SIGINT)
    rest, errors = tail.communicate(timeout=PATIENCE)
    assert tail.returncode == 0, errors
    assert mine in line and "completed with errors" in line and "rejected 1" in line
    assert f"{tenant}-x" not in line + rest


def test_a_scan_that_does_not_end_well_is_an_exit_code(
    servers: Servers, run: Commands, database: Database, tenant: str
) -> None:
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, [b"{}"])
    database.finished(tenant, scan)
    assert run("tail", "--scan", scan).returncode == 1


def test_a_kafka_that_is_away(tmp_path: Path) -> None:
    run = Commands({"SCANLINE_DATA_DIR": str(tmp_path), "SCANLINE_KAFKA_BOOTSTRAP": "127.0.0.1:9"})
    done = run("tail")
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "Không đọc được" in done.stderr and "cannot be read" in done.stderr


def test_an_unknown_scan_is_waited_for_and_said_to_be_unknown(run: Commands) -> None:
    scan = new_scan()
    tail = run.start("tail", "--scan", scan)
    assert tail.stderr is not None
    line = next(each for each in tail.stderr if scan in each)
    tail.send_signal(signal.SIGINT)
    _, errors = tail.communicate(timeout=PATIENCE)
    assert tail.returncode == 0, errors
    assert "Chưa có lượt quét" in line and "No scan" in line


def test_what_happened_before_is_reported_with_its_own_time(
    servers: Servers, run: Commands, database: Database, tenant: str
) -> None:
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, generator.records(3, 4, tenant))
    finished = database.finished(tenant, scan)["finished_at"]
    wait_for(lambda: dt.datetime.now(dt.UTC) > finished + dt.timedelta(seconds=5), "some time has passed")
    begun = dt.datetime.now(dt.UTC).replace(microsecond=0)
    done = run("tail", "--scan", scan)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        at = dt.datetime.strptime(line[:19], "%d/%m/%Y %H:%M:%S").replace(tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
        assert at < begun, line


def test_a_scan_that_waits_says_so(servers: Servers, run: Commands, tenant: str) -> None:
    """Told by the worker while its lane is paused; here by the test, so that nothing has to be broken."""
    scan = new_scan()
    key = status_key(tenant, scan)
    waiting = paused_status(status_of(Scan(tenant, scan)), "database")
    producer = Producer({"bootstrap.servers": servers.bootstrap, "partitioner": PARTITIONER})
    producer.produce(STATUS_TOPIC, encode_status(waiting), key)
    assert not producer.flush(PATIENCE)
    tail = run.start("tail", "--tenant", tenant, "--from-start")
    assert tail.stdout is not None
    line = wait_for(tail.stdout.readline, "the scan is told of")
    tail.send_signal(signal.SIGINT)
    _, errors = tail.communicate(timeout=PATIENCE)
    producer.produce(STATUS_TOPIC, None, key)
    assert not producer.flush(PATIENCE)
    assert tail.returncode == 0, errors
    assert scan in line and "tạm dừng / paused" in line
