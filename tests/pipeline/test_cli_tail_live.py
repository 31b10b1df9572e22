"""`scanline tail` misses nothing from the moment it says that it follows."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from schemas.status import Scan, ScanStatus, encode_status, paused_status, status_of
from schemas.topics import PARTITIONER, STATUS_TOPIC, status_key
from tests.commands import PATIENCE, Commands
from tests.helpers import Database, Publisher, StatusTopic, changed, new_scan, wait_for
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def run(servers: Servers, tmp_path: Path) -> Commands:
    return Commands({"SCANLINE_DATA_DIR": str(tmp_path), **servers.env})


@pytest.fixture
def tail(run: Commands, tenant: str) -> Iterator[subprocess.Popen[str]]:
    """Of the tenant, from the moment the test begins."""
    process = run.start("tail", "--tenant", tenant, "--json")
    assert process.stderr is not None
    assert "scan.status.v1" in process.stderr.readline()
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def repeat(servers: Servers) -> Iterator[Callable[[str, str], None]]:
    """Publishes the last status of a scan once more, as the worker does with all that changed in the last minutes."""
    with StatusTopic(servers.bootstrap) as statuses:
        producer = Producer({"bootstrap.servers": servers.bootstrap, "partitioner": PARTITIONER})

        def again(tenant: str, scan: str) -> None:
            status = wait_for(lambda: statuses.read().get(f"{tenant}/{scan}"), "the scan's status")
            producer.produce(STATUS_TOPIC, json.dumps(status, ensure_ascii=False), status_key(tenant, scan))
            assert not producer.flush(PATIENCE)

        yield again


def told(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n") if line]


def test_every_change_of_a_tenant_until_it_is_stopped(
    servers: Servers, database: Database, tenant: str, tail: subprocess.Popen[str]
) -> None:
    lines = generator.records(3_000, 1, tenant)
    with Publisher(servers.bootstrap) as publisher:
        publisher.scan(f"{tenant}-b", lines[:5])
        scan = publisher.scan(tenant, lines)
    assert tail.stdout is not None
    found: list[dict[str, Any]] = []
    while not found or found[-1]["status"] != "completed":
        found += told(tail.stdout.readline())
    assert {(each["tenant_id"], each["scan_id"]) for each in found} == {(tenant, scan)}
    versions = [each["version"] for each in found]
    assert versions == sorted(set(versions))
    assert len(found) >= 3  # progress moves with every 1,000 records
    assert found[-1]["records_stored"] == database.finished(tenant, scan)["records_stored"] == 3_000
    tail.send_signal(signal.SIGINT)
    rest, errors = tail.communicate(timeout=PATIENCE)
    assert (tail.returncode, rest, errors) == (0, "", "")


@pytest.mark.parametrize("form", ["--json", "--from-start"])
def test_a_status_published_once_more_is_no_change(
    servers: Servers, database: Database, run: Commands, tenant: str, repeat: Callable[[str, str], None], form: str
) -> None:
    """Neither of a scan that had ended before, nor of one whose changes were shown."""
    with Publisher(servers.bootstrap) as publisher:
        ended = publisher.scan(tenant, [*generator.records(3, 5, tenant), b"{}"])
        database.finished(tenant, ended)
        repeat(tenant, ended)
        tail = run.start("tail", "--tenant", tenant, form)
        assert tail.stderr is not None and tail.stdout is not None
        assert "scan.status.v1" in tail.stderr.readline()
        repeat(tenant, ended)
        shown = publisher.scan(tenant, generator.records(3, 6, tenant))
        database.finished(tenant, shown)
        repeat(tenant, shown)
        repeat(tenant, ended)
        last = publisher.scan(tenant, generator.records(3, 7, tenant))
    lines: list[str] = []
    while not (last in "".join(lines) and "completed" in lines[-1]):
        lines.append(tail.stdout.readline())
    tail.send_signal(signal.SIGINT)
    _, errors = tail.communicate(timeout=PATIENCE)
    assert tail.returncode == 0, errors
    times = {scan: [line for line in lines if scan in line and "completed" in line] for scan in (ended, shown, last)}
    assert [len(found) for found in times.values()] == [form == "--from-start", 1, 1], lines
    assert len(set(lines)) == len(lines)


def test_corrections_of_a_scan_that_ended_before_are_a_change(
    servers: Servers, database: Database, tenant: str, run: Commands
) -> None:
    """And so is a pause, which is told under the version that the scan has already."""
    key = status_key(tenant, scan := new_scan())
    before = status_of(Scan(tenant, scan, "completed_with_errors", records_total=3, records_stored=2, version=4))
    paused = paused_status(before, "database")
    mended = status_of(Scan(tenant, scan, "completed", records_total=3, records_stored=3, version=5))
    producer = Producer({"bootstrap.servers": servers.bootstrap, "partitioner": PARTITIONER})

    def publish(*statuses: ScanStatus | None) -> None:
        for status in statuses:
            producer.produce(STATUS_TOPIC, None if status is None else encode_status(status), key)
        assert not producer.flush(PATIENCE)

    publish(before)
    tail = run.start("tail", "--tenant", tenant, "--json")
    assert tail.stderr is not None and tail.stdout is not None
    assert "scan.status.v1" in tail.stderr.readline()
    publish(before, paused, paused, before, mended, mended, None)
    found = told("".join(tail.stdout.readline() for _ in range(4)))
    tail.send_signal(signal.SIGINT)
    rest, _ = tail.communicate(timeout=PATIENCE)
    assert [each.get("version") for each in found] == [4, 4, 5, None] and not rest
    assert [each.get("paused") for each in found] == [True, False, False, None]


def test_one_scan_from_what_it_is_to_its_end(servers: Servers, database: Database, run: Commands, tenant: str) -> None:
    lines = generator.records(20, 2, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.scan(tenant, lines)
        publisher.records(tenant, scan, lines[:10])
    following = run.start("tail", "--scan", scan.upper(), "--json")
    assert following.stdout is not None
    assert told(following.stdout.readline())[0]["status"] in ("queued", "processing")
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, [*lines[10:19], changed(lines[19], purpose="")], first=10)
        publisher.closed(tenant, scan, 20)
    output, _ = following.communicate(timeout=PATIENCE)
    assert following.returncode == 1  # a record was rejected
    assert {each["scan_id"] for each in told(output)} == {scan}
    assert told(output)[-1]["status"] == database.finished(tenant, scan)["status"] == "completed_with_errors"


def test_what_is_no_scan(run: Commands) -> None:
    done = run("tail", "--scan", "42")
    assert done.returncode == 1 and "UUID" in done.stderr and not done.stdout
