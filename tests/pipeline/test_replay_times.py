"""`--since` and `--until` by the broker's stamps, to the millisecond, into every kind of target."""

import datetime as dt
import json
import time
import uuid
from pathlib import Path
from typing import Any

import duckdb
import pytest
from confluent_kafka import Consumer, TopicPartition

from infra.processes.services import Service
from tests.commands import Commands
from tests.helpers import RECORDS, Database, Publisher, wait_for
from tests.servers import Servers
from trials import generator


@pytest.fixture
def scanline(servers: Servers, worker: Service) -> Commands:
    return Commands(servers.env)


def stamps(servers: Servers, database: Database, tenant: str, scan: str) -> list[int]:
    """When the broker took the scan's arrays, in milliseconds."""
    query = "SELECT kafka_partition AS p, kafka_offset AS o FROM scan_messages WHERE tenant_id = %s AND scan_id = %s ORDER BY 2"
    found = []
    client = Consumer({"bootstrap.servers": servers.bootstrap, "group.id": "not-used", "log_level": 0})
    try:
        for place in database.rows(query, tenant, scan):
            client.assign([TopicPartition(RECORDS, place["p"], place["o"])])
            message = wait_for(lambda: client.poll(1.0), "the message is there")
            assert message.offset() == place["o"]
            found.append(message.timestamp()[1])
    finally:
        client.close()
    return found


def published(servers: Servers, database: Database, tenant: str, seed: int) -> tuple[str, list[int]]:
    """A scan in two arrays, and their stamps; whatever comes after it has a later one."""
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, generator.records(20, seed, tenant), at_once=10)
    database.finished(tenant, scan)
    found = stamps(servers, database, tenant, scan)
    wait_for(lambda: time.time() * 1000 > found[-1] + 1, "the clock has moved on")
    return scan, found


def at(milliseconds: int, zone: dt.tzinfo) -> str:
    return dt.datetime.fromtimestamp(milliseconds / 1000, zone).isoformat()


def test_a_window_takes_its_first_message_and_not_the_one_at_its_end(
    scanline: Commands, servers: Servers, database: Database, tenant: str, tmp_path: Path
) -> None:
    (before, _), (first, begun), (second, _), (after, ended) = (
        published(servers, database, tenant, seed) for seed in range(4)
    )
    hanoi = dt.timezone(dt.timedelta(hours=7))
    # the end as the command takes a time without a zone
    window = (
        "--since",
        at(begun[0], dt.UTC),
        "--until",
        at(ended[0], hanoi).removesuffix("+07:00"),
        "--tenant",
        tenant,
    )

    def report(*target: str | Path) -> dict[str, Any]:
        done = scanline("replay", *window, *target, "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout or done.stderr)
        assert (found["scans"], found["stored"]) == (2, 40)
        return dict(found)

    lines, rows, schema = tmp_path / "rows.ndjson", tmp_path / "rows", f"replay_{uuid.uuid4().hex[:12]}"
    report("--to-ndjson", "-o", lines)
    report("--to-parquet", rows)
    report("--to-schema", schema)
    keys = {
        (str(row["scan_id"]), row["activity_key"])
        for row in database.rows(
            "SELECT scan_id, activity_key FROM processing_activities WHERE scan_id::text = ANY (%s)", [first, second]
        )
    }
    assert len(keys) == 40
    read = [json.loads(line) for line in lines.read_bytes().splitlines()]
    assert sorted((row["scan_id"], row["activity_key"]) for row in read) == sorted(keys)
    found = duckdb.sql(f"SELECT scan_id, activity_key FROM read_parquet('{rows}/*.parquet')").fetchall()
    assert sorted(found) == sorted(keys)
    held = database.rows(f"SELECT scan_id::text AS s, activity_key AS k FROM {schema}.processing_activities")
    assert sorted((row["s"], row["k"]) for row in held) == sorted(keys)

    # what is left out on either side
    done = scanline("replay", "--until", at(begun[0], dt.UTC), "--tenant", tenant, "--to-ndjson")
    assert {json.loads(line)["scan_id"] for line in done.stdout.splitlines()} == {before}
    done = scanline("replay", "--since", at(ended[0], dt.UTC), "--tenant", tenant, "--to-ndjson")
    assert {json.loads(line)["scan_id"] for line in done.stdout.splitlines()} == {after}
