"""What the processes write for operators: log lines of one form, and metrics without a second series for each."""

import datetime as dt
import json
import re

import httpx

from infra.processes.services import Service
from tests.helpers import wait_for
from tests.servers import Servers

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) [a-z_.]+ \S")


def lines_of(service: Service) -> list[str]:
    """All that there are: librdkafka has none of its own."""
    return service.log_file.read_text().splitlines()


def test_every_line_has_its_time_in_every_process(servers: Servers) -> None:
    service = servers.start_api({"SCANLINE_API_PROCESSES": "2"})
    wait_for(lambda: service.log_file.read_text().count("Application startup complete") == 2, "both processes serve")
    assert service.stop() == 0
    lines = lines_of(service)
    assert len([line for line in lines if "Started server process" in line]) == 2
    assert [line for line in lines if not LINE.match(line)] == []


def test_a_line_is_a_json_object_where_a_setting_says_so(servers: Servers) -> None:
    """Of every library, and of each process."""
    service = servers.start_api({"SCANLINE_API_PROCESSES": "2", "SCANLINE_LOG_FORMAT": "json"})
    wait_for(lambda: service.log_file.read_text().count("Application startup complete") == 2, "both processes serve")
    assert service.stop() == 0
    lines = [json.loads(line) for line in service.log_file.read_text().splitlines()]
    assert {line.keys() >= {"time", "level", "logger", "message", "process"} for line in lines} == {True}
    assert len({line["process"] for line in lines if "startup complete" in line["message"]}) == 2
    assert all(dt.datetime.fromisoformat(line["time"]).utcoffset() == dt.timedelta(0) for line in lines)


def test_the_worker_writes_the_same(worker: Service) -> None:
    first = lines_of(worker)[0]
    assert LINE.match(first), first


def test_no_metric_has_a_second_series_for_its_birth(http: httpx.Client, worker: Service) -> None:
    for text in (http.get("/metrics").text, httpx.get(worker.metrics_url).text):
        assert "scanline_" in text
        assert re.findall(r"^\w+_created\b.*", text, re.MULTILINE) == []
