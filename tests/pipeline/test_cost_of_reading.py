"""What a reader writes, and the memory it takes, is in proportion to what was sent, whatever its shape.

Run with -s to see the table that docs/benchmarks.md has.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from infra.processes.services import Service
from tests.commands import PATIENCE, SCANLINE, Commands
from tests.helpers import Database, peak_memory, wait_for
from tests.servers import Servers
from tests.shapes import ACCEPTED, REJECTED, Shape

MIB: Final = 1024 * 1024
# What a reader writes is at most so many times what was sent, and so many bytes more for each record.
TIMES: Final = 7
FIXED: Final = {"list": 6_000, "errors": 3_000, "status": 50_000}
API_ROOM: Final = 48 * MIB
COMMAND_MEMORY: Final = 320 * MIB
# Runs a command and says the most memory it took, in KiB. A process of its own and a small one: what Linux counts of a child
# begins with what its parent holds, and that would be the tests' memory.
MEASURING: Final = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
AN_OBJECT: Final = b"{}"  # rejected too; but what begins with no object at all is refused as a whole
SHAPES: Final = ACCEPTED | REJECTED


class Sent(NamedTuple):
    """A shape's scan."""

    tenant: str
    scan: str
    records: int
    bytes: int


@pytest.fixture(scope="module")
def own(servers: Servers, worker: Service) -> Iterator[Service]:
    """An API of this module alone, whose peak is not another's."""
    service = servers.start_api()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def http(own: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=own.base_url, timeout=120) as client:
        yield client


def submitted(http: httpx.Client, name: str, shape: Shape) -> Sent:
    """So many records that they have about half a megabyte, a thousand at most."""
    count = max(3, min(1_000, MIB // 2 // len(shape(0))))
    lines = [shape(number) for number in range(count)]
    if name in REJECTED:
        lines.insert(0, AN_OBJECT)
    tenant = f"cost-{name.replace(' ', '-').lower()}"
    headers = {"Content-Type": "application/x-ndjson"}
    answer = http.post(f"/v1/tenants/{tenant}/scans", content=b"\n".join(lines), headers=headers)
    assert answer.status_code == 202, answer.text
    return Sent(tenant, answer.json()["scan_id"], len(lines), sum(map(len, lines)))


@pytest.fixture(scope="module")
def sent(http: httpx.Client, database: Database) -> Iterator[dict[str, Sent]]:
    """Everything, stored or rejected. It is large, so it does not stay."""
    scans = {name: submitted(http, name, shape) for name, shape in SHAPES.items()}
    for name, each in scans.items():
        row = database.finished(each.tenant, each.scan)
        stored = each.records if name in ACCEPTED else 0
        assert (row["records_stored"], row["records_rejected"]) == (stored, each.records - stored), name
        status = f"/v1/tenants/{each.tenant}/scans/{each.scan}"
        wait_for(lambda status=status: http.get(status).json()["finished_at"], "the API knows")  # type: ignore[misc]
    yield scans
    for table in ("processing_activities", "rejected_records"):
        database.rows(f"DELETE FROM {table} WHERE tenant_id LIKE 'cost-%%'")


def pages(http: httpx.Client, path: str, member: str) -> tuple[int, int]:
    """Bytes and items of all pages. Each can be read by a strict client."""
    size = items = 0
    cursor: dict[str, str] = {}
    while True:
        answer = http.get(path, params={"limit": 1_000, **cursor})
        assert answer.status_code == 200, answer.text[:300]
        page = json.loads(answer.content)
        assert depth_of(page) < 64
        size, items = size + len(answer.content), items + len(page[member])
        if page["next_cursor"] is None:
            return size, items
        cursor = {"cursor": page["next_cursor"]}


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return int(isinstance(value, dict | list)) + max(map(depth_of, inner), default=0)


def assert_in_proportion(reader: str, name: str, out: int, sent: Sent, *, records: int) -> None:
    print(f"{reader:<8} {name:<20} {out / sent.bytes:9.2f} times, {out / sent.records:9.0f} bytes a record")
    assert out <= TIMES * sent.bytes + FIXED[reader] * records, (reader, name)


@pytest.mark.parametrize("name", SHAPES)
def test_answers_are_in_proportion(http: httpx.Client, own: Service, sent: dict[str, Sent], name: str) -> None:
    each, before = sent[name], peak_memory(own.pid)
    base = f"/v1/tenants/{each.tenant}"
    if name in ACCEPTED:
        size, items = pages(http, f"{base}/processing-activities", "processing_activities")
        assert items == each.records
        assert_in_proportion("list", name, size, each, records=items)
    else:
        size, items = pages(http, f"{base}/scans/{each.scan}/errors", "errors")
        assert items == each.records
        assert_in_proportion("errors", name, size, each, records=items)
        lines = http.get(f"{base}/scans/{each.scan}/errors", headers={"Accept": "application/x-ndjson"}).content
        assert lines.count(b"\n") == items
        assert_in_proportion("errors", name, len(lines), each, records=items)
    assert_in_proportion("status", name, len(http.get(f"{base}/scans/{each.scan}").content), each, records=1)
    events = http.get(f"{base}/scans/{each.scan}/events").content
    assert_in_proportion("status", name, len(events), each, records=1)
    assert peak_memory(own.pid) - before < API_ROOM


@pytest.mark.parametrize("name", REJECTED)
def test_what_would_be_rejected_is_reported_in_proportion(http: httpx.Client, name: str) -> None:
    lines = [REJECTED[name](number) for number in range(5_000 if len(REJECTED[name](0)) < 1_000 else 20)]
    lines.insert(0, AN_OBJECT)
    body = b"\n".join(lines)
    answer = http.post(
        "/v1/tenants/cost/scans:validate", content=body, headers={"Content-Type": "application/x-ndjson"}
    )
    report = answer.json()
    assert (answer.status_code, report["records_rejected"]) == (200, len(lines))
    assert 0 < len(report["errors"]) <= 1_000 and report["errors_truncated"] == (len(report["errors"]) < len(lines))
    assert len(answer.content) < 5 * MIB


@pytest.mark.long
def test_a_replay_is_in_proportion_and_takes_little_memory(
    servers: Servers, sent: dict[str, Sent], tmp_path: Path
) -> None:
    scanline = Commands(servers.env)
    chosen = [word for each in sent.values() for word in ("--tenant", each.tenant)]
    stored = sum(sent[name].records for name in ACCEPTED)
    targets = (["--to-ndjson", "-o", tmp_path / "rows"], ["--to-parquet", tmp_path / "tables"], ["--verify"])
    for target in targets:
        command = [sys.executable, "-c", MEASURING, SCANLINE, "replay", *chosen, *target, "--json"]
        done = subprocess.run(command, env=scanline.env, capture_output=True, text=True, timeout=PATIENCE, check=False)
        report, peak = json.loads(done.stdout), int(done.stderr.split()[-1]) * 1024
        assert (done.returncode, report["stored"], report["passed_over"]["count"]) == (0, stored, 0)
        print(f"{target[0]}: {peak / MIB:.0f} MiB at the most")
        assert peak < COMMAND_MEMORY
    lines: dict[str, int] = {}
    with (tmp_path / "rows").open("rb") as file:
        for line in file:
            tenant = json.loads(line)["tenant_id"]
            lines[tenant] = lines.get(tenant, 0) + len(line)
    for name in ACCEPTED:
        each = sent[name]
        assert_in_proportion("list", name, lines[each.tenant], each, records=each.records)
        written = sum(file.stat().st_size for file in (tmp_path / "tables").glob(f"{each.tenant}_*.parquet"))
        assert written <= TIMES * each.bytes + 32 * 1024
