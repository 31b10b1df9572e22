"""What a replay gives is what the live table holds, to the last field; an interrupted one is gone on with exactly."""

import json
import signal
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.processes.services import Service
from sinks.files.state import State
from tests.commands import Commands
from tests.contents import contents
from tests.helpers import DEAD_LETTERS, RECORDS, Database, Publisher, wait_for
from tests.mixed_scans import mixed_scans
from tests.own import fixtures_on_servers
from tests.servers import Servers
from trials import generator

servers, worker, database, statuses = fixtures_on_servers("module")
_FIELDS = [
    "activity_key",
    "name",
    "source_system",
    "asset",
    "data_fields",
    "data_categories",
    "data_subjects",
    "purpose",
    "legal_basis",
    "controller_role",
    "recipients",
    "storage_country",
    "provider_country",
    "transfer",
    "retention_days",
    "subject_count",
    "confidence",
    "attributes",
    "sensitive",
    "cross_border",
    "record_index",
]


@pytest.fixture
def scanline(servers: Servers, worker: Service) -> Commands:
    return Commands(servers.env)


def as_replayed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A live row in the form of a replayed one."""
    return {
        "tenant_id": row["tenant_id"],
        "scan_id": str(row["scan_id"]),
        **{name: row[name] for name in _FIELDS},
        "discovered_at": row["discovered_at"].isoformat().replace("+00:00", "Z"),
    }


def live(database: Database, tenant: str) -> list[dict[str, Any]]:
    query = 'SELECT * FROM processing_activities WHERE tenant_id = %s ORDER BY scan_id::text, activity_key COLLATE "C"'
    return [as_replayed(row) for row in database.rows(query, tenant)]


def ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        ({name: value for name, value in row.items() if name != "received_on"} for row in rows),
        key=lambda row: (row["scan_id"], row["activity_key"]),
    )


def group(bootstrap: str) -> tuple[Any, ...]:
    """The live pipeline's group as the broker knows it: its members, and what they committed."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    found = admin.describe_consumer_groups(["inventory"])["inventory"].result()
    committed = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("inventory")])["inventory"].result()
    return (
        sorted(member.member_id for member in found.members),
        sorted((place.partition, place.offset) for place in committed.topic_partitions or ()),
    )


def ends(bootstrap: str) -> dict[tuple[str, int], int]:
    """Of the topics that a worker writes records and dead letters from and to."""
    client = Consumer({"bootstrap.servers": bootstrap, "group.id": "not-used", "log_level": 0})
    try:
        found = client.list_topics(timeout=30).topics
        return {
            (topic, number): client.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
            for topic in (RECORDS, DEAD_LETTERS)
            for number in found[topic].partitions
        }
    finally:
        client.close()


def test_ndjson_of_a_tenant_is_what_the_live_table_holds(
    scanline: Commands, servers: Servers, database: Database, tenant: str
) -> None:
    mixed_scans(servers.bootstrap, database, tenant)
    done = scanline("replay", "--tenant", tenant, "--to-ndjson")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 61 + 10 + 30
    assert ordered(rows) == live(database, tenant)
    report = json.loads(done.stderr)
    assert [report[name] for name in ("scans", "stored", "rejected", "duplicate")] == [3, 101, 4 + 10 + 3, 1 + 5]
    assert report["unreadable"] == {"message_unreadable": 1}


def test_a_scan_alone_and_offsets_alone(scanline: Commands, servers: Servers, database: Database, tenant: str) -> None:
    scans = mixed_scans(servers.bootstrap, database, tenant)
    done = scanline("replay", "--scan", scans[1], "--to-ndjson")
    assert ordered([json.loads(line) for line in done.stdout.splitlines()]) == [
        row for row in live(database, tenant) if row["scan_id"] == scans[1]
    ]
    place = database.rows(
        "SELECT kafka_partition AS p, kafka_offset AS o FROM scan_messages WHERE scan_id = %s ORDER BY 2", scans[0]
    )
    one = f"{place[0]['p']}:{place[0]['o']}"
    two = f"{place[1]['p']}:{place[1]['o']}"
    done = scanline("replay", "--from", one, "--to", two, "--to-ndjson")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(row["record_index"] for row in rows if row["scan_id"] == scans[0]) == list(range(20))


def test_a_killed_replay_goes_on_without_a_line_twice(
    scanline: Commands, servers: Servers, database: Database, tenant: str, tmp_path: Path
) -> None:
    with Publisher(servers.bootstrap) as publisher:
        scans = [publisher.scan(tenant, generator.records(1_000, seed, tenant), at_once=100) for seed in range(6)]
    for scan in scans:
        database.finished(tenant, scan)
    target = tmp_path / "rows.ndjson"
    command = ("replay", "--tenant", tenant, "--to-ndjson", "-o", target, "--json")
    # a minute's worth: it cannot be complete before it is looked at
    slow = scanline.start(*command, "--rate", "100")
    wait_for(lambda: target.exists() and target.stat().st_size > 0, "the first lines are written")
    second = scanline(*command)
    assert second.returncode == 1 and f"{target}.checkpoint" in second.stderr and str(slow.pid) in second.stderr
    assert "đang phát lại" in second.stderr and "is replaying" in second.stderr
    slow.send_signal(signal.SIGKILL)
    slow.communicate()
    assert 0 < len(target.read_bytes().splitlines()) < 6_000
    with target.open("ab") as file:
        file.write(b'{"written": "after the last checkpoint"')
    done = scanline(*command)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stored"] == 6_000
    assert ordered([json.loads(line) for line in target.read_bytes().splitlines()]) == live(database, tenant)
    assert list(tmp_path.iterdir()) == [target]
    again = scanline(*command)
    assert again.returncode == 1 and "--overwrite" in again.stderr


def test_a_checkpoint_of_a_topic_made_anew_is_refused(scanline: Commands, tmp_path: Path) -> None:
    """Its offsets would pass over what the new topic holds before them."""
    checkpoint = tmp_path / "checkpoint"
    state = State(checkpoint)
    state.put("topic_id", "8xq2VnRZTnGm1Jr0Q5Yb7w")
    state.close()
    done = scanline("replay", "--to-ndjson", "--resume-from", checkpoint)
    assert done.returncode == 1 and done.stdout == ""
    assert "được tạo lại" in done.stderr and "was made anew" in done.stderr and str(checkpoint) in done.stderr


@pytest.mark.parametrize(
    "target", ["--to-ndjson", *(pytest.param(each, marks=pytest.mark.long) for each in ("--to-parquet", "--to-schema"))]
)
def test_the_live_pipeline_hears_nothing_of_a_replay(
    scanline: Commands, servers: Servers, database: Database, tenant: str, tmp_path: Path, target: str
) -> None:
    """Nor is a dead letter of the topic sent a second time."""
    mixed_scans(servers.bootstrap, database, tenant)
    schema = f"replay_{uuid.uuid4().hex[:12]}"
    where = {"--to-ndjson": [], "--to-parquet": [tmp_path / "rows"], "--to-schema": [schema]}[target]
    offsets = database.rows("SELECT * FROM stream_offsets ORDER BY partition")

    def settled() -> bool:
        """The worker has told the group what it wrote: what moves from now on, the replay moved."""
        committed = dict(group(servers.bootstrap)[1])
        return all(committed.get(row["partition"], 0) >= row["next_offset"] for row in offsets)

    wait_for(settled, "the worker has committed to its group what it wrote")
    before = group(servers.bootstrap), ends(servers.bootstrap), contents(database)
    # of one tenant: the topic holds what every other test has sent, and how much that is is nobody's business here
    done = scanline("replay", target, *where, "--tenant", tenant)
    assert done.returncode == 0, done.stderr
    assert (group(servers.bootstrap), ends(servers.bootstrap), contents(database)) == before
    assert database.rows("SELECT * FROM stream_offsets ORDER BY partition") == offsets


@pytest.mark.parametrize(
    "arguments",
    [
        ["--to-ndjson", "--to-parquet", "x"],
        [],
        ["--to-ndjson", "--tenant", "Not A Tenant"],
        ["--to-ndjson", "--since", "yesterday"],
        ["--to-ndjson", "--from", "one"],
        ["--to-ndjson", "--from", "99:0"],
        ["--to-ndjson", "--scan", "1"],
    ],
)
def test_what_makes_no_sense_is_said_in_both_languages(scanline: Commands, arguments: list[str]) -> None:
    done = scanline("replay", *arguments)
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
