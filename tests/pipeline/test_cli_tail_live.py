"""`scanline tail` misses nothing from the moment it says that it follows."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import PATIENCE, Commands
from tests.helpers import Database, Publisher, changed, new_scan
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
