"""`scanline lag`: what is not in the database yet, and nothing else."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from infra.stack import Stack
from tests.commands import Commands, Done, refused
from tests.helpers import RECORDS, Database, Publisher, new_scan, wait_for
from trials import generator


@pytest.fixture
def run(stack: Stack, tmp_path: Path) -> Commands:
    return Commands({"SCANLINE_DATA_DIR": str(tmp_path), **stack.env})


def told(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_lag_is_what_is_not_written(stack: Stack, run: Commands) -> None:
    found = told(run("lag", "--json"))
    assert (found["topic"], found["pipeline"], found["lag"]) == (RECORDS, "inventory", 0)
    assert [each["partition"] for each in found["partitions"]] == list(range(12))

    scans = {f"tenant-{number}": new_scan() for number in range(8)}
    with Publisher(stack.kafka.bootstrap) as publisher:
        for tenant, scan in scans.items():
            publisher.singles(tenant, scan, generator.records(30, 1, tenant))
            publisher.closed(tenant, scan, 30)
    found = told(run("lag", "--json"))
    assert found["lag"] == sum(each["lag"] for each in found["partitions"]) == 8 * 31
    assert all(each["lag"] == each["end"] for each in found["partitions"])
    # without a database to ask, and with one that does not answer
    for url in ("", "postgresql+psycopg2://nobody@127.0.0.1:9/nothing"):
        settings = {name: value for name, value in run.env.items() if name != "SCANLINE_POSTGRES_READ_URL"}
        blind = Commands(settings | ({"SCANLINE_POSTGRES_READ_URL": url} if url else {}))
        done = blind("lag", "--json")
        assert told(done)["lag"] == 8 * 31
        assert "PostgreSQL" in done.stderr if url else "SCANLINE_POSTGRES_READ_URL" in done.stderr

    stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database:
        for tenant, scan in scans.items():
            assert database.finished(tenant, scan)["records_stored"] == 30
        found = told(run("lag", "--json"))
        assert (found["lag"], {each["lag"] for each in found["partitions"]}) == (0, {0})
        rows = database.rows("SELECT partition, next_offset FROM stream_offsets WHERE next_offset > 0")
        written = {each["partition"]: each["written"] for each in found["partitions"] if each["written"]}
        assert written == {row["partition"]: row["next_offset"] for row in rows}
        assert sum(written.values()) == 8 * 31
    wait_for(lambda: committed(run) == Counter(written), "the group's offsets follow")
    assert "∑" in run("lag").stdout


def committed(run: Commands) -> Counter[int]:
    found = run.here("lag")["partitions"]
    return Counter({each["partition"]: each["committed"] for each in found if each["committed"]})


def test_nobody_lags_behind_the_marks_of_transactions(stack: Stack, run: Commands) -> None:
    producer = Producer({"bootstrap.servers": stack.kafka.bootstrap, "transactional.id": "lag"})
    producer.init_transactions(60)
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        for _ in range(5):
            producer.produce(RECORDS, b"{}", b"tenant-a", partition=0)
        producer.flush(60)
        end(60)
    # 5 messages, a mark, 5 messages that were aborted, a mark: the first five are to be read
    partition = told(run("lag", "--json"))["partitions"][0]
    assert (partition["end"], partition["lag"]) == (12, 12)
    stack.start_worker()
    wait_for(lambda: run.here("lag")["lag"] == 0, "nothing is left to be read")


def test_a_kafka_that_is_away(tmp_path: Path) -> None:
    done = Commands({"SCANLINE_DATA_DIR": str(tmp_path), "SCANLINE_KAFKA_BOOTSTRAP": "127.0.0.1:9"})("lag", "--json")
    assert refused(done)
    assert "không cho biết offset" in done.stderr and "does not tell its offsets" in done.stderr
