"""The README's first command."""

import json
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.commands import PATIENCE, Commands
from tests.helpers import wait_for


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands({"SCANLINE_DATA_DIR": str(tmp_path)})


def test_every_record_of_the_demo_is_accounted_for(commands: Commands) -> None:
    done = commands("demo", "--json")
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    document = json.loads(done.stdout)
    assert document["accounted"]
    assert document["problems"] == []
    scans = document["scans"]
    assert [scan["way"] for scan in scans[:4]] == ["JSON", "NDJSON", "gzip", "Kafka"]
    assert [scan["stored"] for scan in scans[:4]] == [1348, 1353, 527, 430]
    assert {(scan["stored"], scan["rejected"], scan["duplicate"]) for scan in scans[4:]} == {(990, 5, 5)}
    assert len(scans) == 104
    assert all(scan["seconds"] > 0 for scan in scans)
    assert set(document["api_latency_ms"]) == {"p50", "p95", "p99"}


@pytest.mark.long
def test_an_interrupted_demo_leaves_no_process(commands: Commands) -> None:
    process = commands.start("demo")
    ours = psutil.Process(process.pid)
    children = wait_for(lambda: len(ours.children(recursive=True)) > 4 and ours.children(recursive=True), "started")
    assert children
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Interrupted" in errors
    time.sleep(0.2)
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
