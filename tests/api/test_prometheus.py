"""A real Prometheus scrapes every process without an error, and has what `docs/metrics.md` promises."""

import re
import subprocess
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from api_client import Tenant

from infra.processes.services import Service
from infra.settings import PROJECT
from tests.helpers import wait_for
from tests.monitoring import Prometheus, prometheus
from tests.packages import program
from tests.servers import Servers
from trials import generator

_ROW: Final = re.compile(r"^\| `(scanline_\w+)` \| (\w+) \| (.*?) ?\|", re.MULTILINE)
# and what its metrics' names begin with
JOBS: Final = {"api": "api", "two-apis": "api", "worker": "stream|sink", "exporter": "kafka|postgres"}
SENT: Final = 500
COUNTED: Final = {
    "api": "scanline_api_records_total",
    "two-apis": "scanline_api_records_total",
    "worker": 'scanline_sink_records_total{outcome="stored"}',
}


@pytest.fixture(scope="module")
def processes(servers: Servers, api: Service, worker: Service) -> dict[str, Service]:
    """By job."""
    two_apis = servers.start_api({"SCANLINE_API_PROCESSES": "2"})
    return {"api": api, "two-apis": two_apis, "worker": worker, "exporter": servers.start_exporter()}


@pytest.fixture(scope="module")
def server(processes: dict[str, Service], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Running."""
    jobs = {name: [service] for name, service in processes.items()}
    with prometheus(tmp_path_factory.mktemp("prometheus"), jobs) as running:
        yield running


def own_value(service: Service, sample: str) -> float:
    """What the process itself tells."""
    lines = httpx.get(service.metrics_url, timeout=30).text.split("\n")
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{sample} "))


def documented(prefix: str) -> dict[str, str]:
    """The samples that are there from the start, since they have no labels: name -> kind."""
    rows = _ROW.findall((PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8"))
    found = {name: kind for name, kind, labels in rows if not labels and re.match(f"scanline_({prefix})_", name)}
    assert len(found) > 5
    return found


def test_every_process_is_scraped_without_an_error(
    server: Prometheus, processes: dict[str, Service], tenant: str
) -> None:
    for job in ("api", "two-apis"):
        with httpx.Client(base_url=processes[job].base_url, timeout=60) as http:
            caller = Tenant(http, tenant)
            caller.ended(caller.submit(generator.records(SENT, 1, f"{tenant}-{job}")))
    wait_for(lambda: server.values("up") == dict.fromkeys(JOBS, 1), "all are up")
    for job, sample in COUNTED.items():
        counted = own_value(processes[job], sample)
        assert counted >= SENT
        wait_for(lambda want=(job, counted), sample=sample: want in server.values(sample).items(), f"{job}: {sample}")  # type: ignore[misc]
    for target in server.get("targets")["activeTargets"]:
        assert (target["health"], target["lastError"]) == ("up", ""), target
    refused = re.findall(
        r"^prometheus_target_\w*(?:sample|exceeded)\w*_total(?:{.*})? (.+)$", server.own_metrics(), re.M
    )
    assert len(refused) > 4 and set(refused) == {"0"}
    for job, count in (("api", 1), ("two-apis", 2)):
        memory = re.findall(
            r'^scanline_process_resident_bytes{process="\d+"} (\S+)$', httpx.get(processes[job].metrics_url).text, re.M
        )
        assert len(memory) == count and all(float(each) > 10_000_000 for each in memory)
    log = server.log_file.read_text()
    assert "lvl=warn" not in log and "level=warn" not in log


@pytest.mark.parametrize("job", JOBS)
def test_every_metric_without_labels_is_there_by_its_name_and_kind(server: Prometheus, job: str) -> None:
    wait_for(lambda: server.values("up").get(job) == 1, f"{job} is up")
    named = set(server.get("label/__name__/values", **{"match[]": f'{{job="{job}"}}'}))
    kinds = {
        name: {each["type"] for each in told}
        for name, told in server.get("metadata").items()
        if name.startswith("scanline_")
    }
    for name, kind in documented(JOBS[job]).items():
        assert (f"{name}_count" if kind == "histogram" else name) in named
        assert {kind} == (kinds.get(name) or kinds[name.removesuffix("_total")]), name


@pytest.mark.parametrize("job", JOBS)
def test_promtool_reads_the_exposition(processes: dict[str, Service], job: str) -> None:
    promtool = program("promtool", "prometheus")
    text = httpx.get(processes[job].metrics_url, timeout=30).text
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    # in our names the last word is the unit, and of a number of things that is «count»
    other = [line for line in done.stderr.split("\n") if line and not line.endswith('should not have "_count" suffix')]
    assert done.returncode in (0, 3) and not other, done.stdout + done.stderr
