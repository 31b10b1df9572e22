"""`scanline up` from its start to its end, and the commands that find a running system without options."""

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.commands import PATIENCE, Commands, one, rows, written
from tests.helpers import wait_for
from trials import generator


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """They are told of nothing but the data folder."""
    return Commands({"SCANLINE_DATA_DIR": str(tmp_path / "data")})


@pytest.fixture
def up(commands: Commands) -> Iterator[subprocess.Popen[str]]:
    process = commands.start("up", "--json")
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)


def test_a_running_system_is_found_and_leaves_nothing_behind(
    commands: Commands, up: subprocess.Popen[str], tmp_path: Path
) -> None:
    running = tmp_path / "data" / "up" / "running.env"
    wait_for(lambda: running.exists() or up.poll() is not None, "the system is announced", PATIENCE)
    assert up.poll() is None, up.communicate()
    assert stat.S_IMODE(running.stat().st_mode) == 0o600
    names = {line.partition("=")[0] for line in running.read_text().splitlines()}
    assert {"SCANLINE_API_URL", "SCANLINE_KAFKA_BOOTSTRAP", "SCANLINE_POSTGRES_READ_URL"} <= names
    children = psutil.Process(up.pid).children(recursive=True)
    assert len(children) >= 5  # Kafka, PostgreSQL, API, worker, exporter

    file = written(tmp_path, generator.records(1_500, 1))
    sent = [
        one(commands("publish", file, "--tenant", "tenant-a", "--follow", "--json", *way)) for way in ([], ["--kafka"])
    ]
    assert [(each["status"], each["records_stored"]) for each in sent] == [("completed", 1_500)] * 2
    assert rows(commands("status", "--tenant", "tenant-a", "--json")) == sent[::-1]

    told = rows(commands("doctor", "--settings", "--json"))
    values = {(row["process"], row["setting"]): str(row["value"]) for row in told}
    assert {process for process, _ in values} == {"infra", "api", "worker", "exporter"}
    assert not [place for place, value in values.items() if value.startswith("?")]
    address = values["infra", "SCANLINE_API_URL"]
    assert address.endswith(f":{values['api', 'SCANLINE_API_PORT']}")
    assert values["worker", "SCANLINE_STREAM_DATA_DIR"] == str(tmp_path / "data" / "up" / "faust")

    up.send_signal(signal.SIGINT)
    out, errors = up.communicate(timeout=PATIENCE)
    assert up.returncode == 0
    assert "worker-1" in errors and "\x1b" not in out + errors
    assert not list(running.parent.glob("running*"))
    assert not [child for child in children if child.is_running()]
    done = commands("status", "--tenant", "tenant-a")
    assert done.returncode == 1 and "scanline up" in done.stderr


@pytest.mark.long
def test_what_a_killed_run_left_is_not_believed(commands: Commands, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "up"
    folder.mkdir(parents=True)
    (folder / "running.env").write_text("SCANLINE_API_URL=http://127.0.0.1:9\n")
    commands.env |= {"SCANLINE_KAFKA_LIBS": os.fspath(tmp_path / "nowhere")}  # so that it ends at once
    done = commands("up")
    assert done.returncode == 1 and "make setup" in done.stderr
    assert not (folder / "running.env").exists()
