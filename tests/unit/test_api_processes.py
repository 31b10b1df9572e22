"""Several API processes behind one port: /metrics tells of all that live, also after one of them has died. They need no server."""

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest

from infra.processes.child import free_port
from infra.processes.services import Processes, Service
from tests.helpers import wait_for
from tests.load import metric

CONNECTIONS: Final = 7  # of each process's pool
LONG: Final = 180.0  # processes start one after the other, and several times on a busy machine


class Alone(Processes):
    """Processes without servers."""

    @property
    def env(self) -> Mapping[str, str]:
        nobody = f"127.0.0.1:{free_port()}"
        return {
            "SCANLINE_KAFKA_BOOTSTRAP": nobody,
            "SCANLINE_POSTGRES_READ_URL": f"postgresql+psycopg2://reader:none@{nobody}/none",
            "SCANLINE_API_BACKLOG_MESSAGES": "0",
        }


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Two processes that share a port and keep their files below tmp_path."""
    (tmp_path / "files").mkdir()
    processes = Alone(tmp_path)
    yield processes.start_api(
        {
            "SCANLINE_API_PROCESSES": "2",
            "SCANLINE_READ_CONNECTIONS": str(CONNECTIONS),
            "TMPDIR": str(tmp_path / "files"),
        },
        wait=False,
    )
    processes.stop_services()


def children(service: Service) -> set[int]:
    """The processes that serve; another keeps their parent company."""
    found = set()
    for child in psutil.Process(service.pid).children():
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.add(child.pid)
        except psutil.Error:
            continue  # it ended in this moment
    return found


def both_tell(service: Service, folder: Path) -> bool:
    """Whether two processes live, each has written its gauges, and what is told is the sum of theirs."""
    alive = children(service)
    written = {int(file.stem.rpartition("_")[2]) for file in folder.rglob("gauge_livesum_*.db")}
    try:
        told = metric(service, "scanline_pool_limit_count", pool="read")
    except httpx.HTTPError:
        return False  # none of them listens yet
    return len(alive) == 2 and alive <= written and told == 2 * CONNECTIONS


def refused(service: Service) -> float:
    return metric(service, "scanline_api_submissions_total", outcome="refused")


def test_metrics_are_of_all_processes_that_live(service: Service, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    wait_for(lambda: both_tell(service, folder), "both tell of their pools", LONG)
    before = refused(service)
    for _ in range(6):
        answer = httpx.post(f"{service.base_url}/v1/tenants/somebody/scans", content=b"x", timeout=60)
        assert answer.status_code == 415
    assert refused(service) == before + 6

    dead = min(children(service))
    os.kill(dead, signal.SIGKILL)
    wait_for(lambda: dead not in children(service), "it is gone")
    wait_for(lambda: both_tell(service, folder), "another has taken its place; the dead one is not told of", LONG)
    assert not list(folder.rglob(f"gauge_live*_{dead}.db"))
    assert refused(service) == before + 6

    assert service.stop(60) == 0
    assert not list(folder.iterdir())
