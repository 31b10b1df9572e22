"""Ctrl-C ends a command at every moment without a traceback, and leaves no process behind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

import psutil
import pytest

from infra.processes.services import Service
from schemas.scan_ids import scan_id_for
from tests.commands import PATIENCE, SCANLINE, Commands, one, written
from tests.helpers import Database, wait_for
from tests.servers import Servers
from trials import generator

INTERRUPTED: Final = 130


def read_until(errors: IO[str], word: str) -> str:
    """What was written up to the first line with this word in it."""
    found = ""
    for line in errors:
        found += line
        if word in line:
            break
    return found


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("lag", "typer"),
        ("lag", "rich.table"),
        ("lag", "confluent_kafka"),
        ("lag", "confluent_kafka"),
        ("lag", "operations.lag"),
        ("dlq list", "sqlalchemy"),
        ("status --tenant nobody", "operations.api_client"),
        ("status --help", "operations.api_client"),
    ],
)
def test_while_it_still_loads(command: str, module: str, tmp_path: Path) -> None:
    """Python itself says which modules are there already."""
    env = os.environ | {"PYTHONPROFILEIMPORTTIME": "1", "SCANLINE_DATA_DIR": str(tmp_path)}
    line = [sys.executable, SCANLINE, *command.split()]
    process = subprocess.Popen(line, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert f" {module}\n" in read_until(process.stderr, f" {module}\n")
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=PATIENCE)
    assert process.returncode == INTERRUPTED
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    "sign",
    [
        "kafka/kafka.log",
        *(pytest.param(each, marks=pytest.mark.long) for each in ("postgres", "logs/api-1.log", "running.worker.env")),
    ],
)
def test_while_a_system_starts(sign: str, tmp_path: Path) -> None:
    """Sent when this file or folder is there: from the first server to the last moment before it runs."""
    commands = Commands({"SCANLINE_DATA_DIR": str(tmp_path)})
    up = commands.start("up")
    wait_for((tmp_path / "up" / sign).exists, sign)
    children = psutil.Process(up.pid).children(recursive=True)
    up.send_signal(signal.SIGINT)
    out, errors = up.communicate(timeout=PATIENCE)
    assert "Traceback" not in out + errors
    assert up.returncode in (0, INTERRUPTED)  # the last of them comes as it begins to run
    assert up.returncode == 0 or "Interrupted; everything is stopped" in errors
    # what a server had begun itself sees its end a moment later
    wait_for(lambda: not any(map(is_alive, children)), f"all of {children} have ended")
    assert not list((tmp_path / "up").glob("running*"))


@pytest.mark.parametrize("process", ["api", "worker"])
def test_while_a_process_loads_in_the_foreground(process: str, servers: Servers, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    own = {"SCANLINE_API_PORT": port, "SCANLINE_WORKER_METRICS_PORT": port, "SCANLINE_STREAM_DATA_DIR": str(tmp_path)}
    # a group of its own, so that nobody else's partitions move
    env = Commands({**servers.env, **own, "SCANLINE_STREAM_PIPELINE": f"interrupted-{port}"}).env
    env |= {"PYTHONPROFILEIMPORTTIME": "1"}
    child = subprocess.Popen([SCANLINE, process], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    module = {"api": "uvicorn.config", "worker": "aiokafka.structs"}[process]
    assert module in read_until(child.stderr, module)
    child.send_signal(signal.SIGINT)
    _, rest = child.communicate(timeout=PATIENCE)
    assert "Traceback" not in rest
    assert child.returncode in (0, INTERRUPTED)


def test_a_port_that_is_taken_is_reported(servers: Servers, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        own = {
            "SCANLINE_API_PORT": port,
            "SCANLINE_WORKER_METRICS_PORT": port,
            "SCANLINE_STREAM_DATA_DIR": str(tmp_path),
        }
        run = Commands({**servers.env, **own})
        for process in ("api", "worker"):
            done = run(process)
            assert done.returncode != 0 and "Traceback" not in done.stdout + done.stderr
            assert port in done.stderr and "in use" in done.stderr


def test_a_scan_that_was_interrupted_can_be_sent_again(
    servers: Servers, api: Service, worker: Service, database: Database, tenant: str, tmp_path: Path
) -> None:
    """It says which scan and key: from standard input, which ends when it likes."""
    run = Commands({"SCANLINE_DATA_DIR": str(tmp_path), "SCANLINE_API_URL": api.base_url, **servers.env})
    lines = generator.records(3_000, 1, tenant)
    command = [SCANLINE, "publish", "-", "--tenant", tenant, "--idempotency-key", "night shift", "--json"]
    pipe = subprocess.PIPE
    sending = subprocess.Popen(command, env=run.env, stdin=pipe, stdout=pipe, stderr=pipe)
    assert sending.stdin is not None
    sending.stdin.write(generator.ndjson(lines[:2_500]))
    sending.stdin.flush()
    scan = scan_id_for(tenant, "night shift")
    wait_for(lambda: database.scan(tenant, scan), "the first records have arrived")
    sending.send_signal(signal.SIGINT)
    out, errors = (each.decode() for each in sending.communicate(timeout=PATIENCE))
    assert sending.returncode == INTERRUPTED and "Traceback" not in errors
    assert scan in errors and "--idempotency-key 'night shift'" in errors and f"--tenant {tenant}" in errors
    assert '"code": "publish_interrupted"' in out and scan in out

    with written(tmp_path, lines).open("rb") as file:
        again = subprocess.run(
            [*command, "--follow"], env=run.env, stdin=file, capture_output=True, text=True, check=False
        )
    status = one(again)
    assert (again.returncode, status["status"], status["records_stored"]) == (0, "completed", 3_000)
