"""What older versions stored, or anybody wrote into the topic, stops no operator's tool: it is named, and the others go on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest

from infra.processes.services import Service
from tests.commands import Commands, Done
from tests.helpers import Database, Publisher, changed
from tests.servers import Servers
from trials import generator

DEPTHS: Final = (31, 33, 64, 100, 485, 600, 900, 999, 5_000, 30_000)
# stored by a version that knew no such limits; the last two are times that Python has not
PLANTED: Final = {
    "deep": ("attributes", '{"a": ' + "[" * 900 + "]" * 900 + "}"),
    "deeper": ("attributes", '{"a": ' + "[" * 4_000 + "]" * 4_000 + "}"),
    "long": ("attributes", '{"a": 1e4300}'),
    "longest": ("attributes", '{"a": [' + ", ".join(["1e131071"] * 100) + "]}"),
    "late": ("discovered_at", "infinity"),
    "early": ("discovered_at", "4713-01-01 00:00:00+00 BC"),
}
PLANT: Final = """
INSERT INTO processing_activities (tenant_id, scan_id, activity_key, name, source_system, asset, data_fields,
    data_categories, data_subjects, purpose, legal_basis, recipients, storage_country, discovered_at, attributes,
    sensitive, cross_border)
SELECT tenant_id, scan_id, %s, name, source_system, asset, data_fields, data_categories, data_subjects, purpose,
    legal_basis, recipients, storage_country, {discovered_at}, {attributes}, sensitive, cross_border
FROM processing_activities WHERE tenant_id = %s AND record_index = 0
"""


@pytest.fixture
def scanline(servers: Servers, worker: Service) -> Commands:
    return Commands(servers.env)


def nested(line: bytes, depth: int) -> bytes:
    """The record with attributes so deep; `depth` is in its key."""
    record = changed(line, activity_key=f"deep/{depth:05}", attributes="@")
    return record.replace(b'"@"', b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}")


def mixed(servers: Servers, database: Database, tenant: str) -> tuple[str, list[str]]:
    """Records of every depth between good ones, in arrays and alone; the scan, and what of it is stored."""
    lines = generator.records(20, 5, tenant)
    deep = [nested(lines[0], depth) for depth in DEPTHS]
    sent = [each for pair in zip(lines, deep, strict=False) for each in pair]
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, sent, at_once=5)
    row = database.finished(tenant, scan)
    assert (row["records_stored"], row["records_rejected"]) == (len(DEPTHS) + 1, len(DEPTHS) - 1)
    return scan, database.keys(tenant, scan)


def told(done: Done) -> dict[str, Any]:
    assert "Traceback" not in done.stderr and "Error" not in done.stderr, done.stderr[-2_000:]
    report: dict[str, Any] = json.loads(done.stdout or done.stderr)
    return report


@pytest.fixture
def planted(servers: Servers, database: Database, tenant: str) -> Iterator[str]:
    """A tenant that has all of it. Its other records are as they should be."""
    mixed(servers, database, tenant)
    for key, (column, value) in PLANTED.items():
        values = {"discovered_at": "discovered_at", "attributes": "attributes", column: "%s"}
        parameters = [key, value, tenant]
        query = (
            PLANT.format(**values)
            .replace("%s, sensitive", "%s::jsonb, sensitive")
            .replace("%s, attr", "%s::timestamptz, attr")
        )
        database.rows(query, *parameters)
    yield tenant
    database.rows("DELETE FROM processing_activities WHERE tenant_id = %s", tenant)


def test_what_is_nested_too_deep_stops_no_replay(
    scanline: Commands, servers: Servers, database: Database, tenant: str, tmp_path: Path
) -> None:
    scan, keys = mixed(servers, database, tenant)
    done = scanline("replay", "--tenant", tenant, "--verify", "--json")
    report = told(done)
    assert (done.returncode, report["equal"], report["passed_over"]["count"]) == (0, 1, 0)
    done = scanline("replay", "--tenant", tenant, "--to-ndjson", "-o", tmp_path / "rows", "--json")
    assert (done.returncode, told(done)["rejected"]) == (0, len(DEPTHS) - 1)
    assert sorted(json.loads(line)["activity_key"] for line in (tmp_path / "rows").read_bytes().splitlines()) == keys
    done = scanline("replay", "--tenant", tenant, "--to-parquet", tmp_path / "tables", "--json")
    assert (done.returncode, told(done)["stored"]) == (0, len(keys))
    (file,) = (tmp_path / "tables").glob("*.parquet")
    assert sorted(pq.read_table(file)["activity_key"].to_pylist()) == keys
    schema = f"r_{scan.replace('-', '')[:20]}"
    done = scanline("replay", "--tenant", tenant, "--to-schema", schema, "--json")
    assert (done.returncode, told(done)["rejected"]) == (0, len(DEPTHS) - 1)
    stored = database.rows(f"SELECT activity_key FROM {schema}.processing_activities ORDER BY 1")
    assert sorted(row["activity_key"] for row in stored) == keys
    database.rows(f"DROP SCHEMA {schema} CASCADE")


def test_rows_that_nobody_can_read_are_named_and_the_others_compared(
    scanline: Commands, servers: Servers, database: Database, planted: str
) -> None:
    other = f"{planted}-b"
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(other, generator.records(30, 6, other))
    database.finished(other, scan)
    done = scanline("replay", "--tenant", planted, "--tenant", other, "--verify", "--json")
    report = told(done)
    assert (done.returncode, report["compared"], report["equal"], report["different"]) == (1, 2, 1, 1)
    (difference,) = report["differences"]
    assert difference["tenant_id"] == planted
    assert difference["extra"] == {"count": len(PLANTED), "first": sorted(PLANTED)}
    assert difference["altered"]["count"] == difference["missing"]["count"] == 0
    named = {each["activity_key"]: each for each in report["passed_over"]["first"]}
    assert report["passed_over"]["count"] == len(named) and named.keys() == {"deep", "deeper", "longest"}
    assert {each["tenant_id"] for each in named.values()} == {planted}
    done = scanline("replay", "--tenant", planted, "--verify")
    assert done.returncode == 1 and "deeper: RecursionError" in done.stdout.replace("#", "")
