"""`scanline lag` while a system works, waits or stands: against Kafka's own tool, an independent client and the database."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, TopicPartition

from infra.stack import Stack
from tests.commands import PATIENCE, SCANLINE, Commands
from tests.faults.test_log_cut import delete_before, offset_of
from tests.helpers import RECORDS, Database, Publisher, new_scan, wait_for
from tests.kafka_tool import described
from tests.load import LONG, Load
from tests.murmur2 import partition_of, tenants_by_partition
from tests.own import stack_of_module
from tests.row_locks import held
from trials import generator

GROUP: Final = "inventory"
Offsets = dict[int, int]


@pytest.fixture
def run(stack: Stack, tmp_path: Path) -> Commands:
    return Commands({"SCANLINE_DATA_DIR": str(tmp_path), **stack.env})


servers_alone = stack_of_module()


@pytest.fixture
def run_alone(servers_alone: Stack, tmp_path: Path) -> Commands:
    """On servers that no worker has ever read from."""
    return Commands({"SCANLINE_DATA_DIR": str(tmp_path), **servers_alone.env})


def told(run: Commands, *arguments: str) -> dict[str, Any]:
    done = run("lag", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def by_partition(document: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {each["partition"]: each for each in document["partitions"]}


class Stranger:
    """An independent client: a consumer of plain confluent-kafka, which joins nothing."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP, "log_level": 0})

    def ends(self) -> Offsets:
        return {n: self._consumer.get_watermark_offsets(TopicPartition(RECORDS, n), timeout=30)[1] for n in range(12)}

    def committed(self) -> Offsets:
        places = [TopicPartition(RECORDS, n) for n in range(12)]
        return {each.partition: max(0, each.offset) for each in self._consumer.committed(places, timeout=30)}

    def stamp(self, partition: int, offset: int) -> float:
        """When the message came in, in Unix seconds."""
        self._consumer.assign([TopicPartition(RECORDS, partition, offset)])
        message = self._consumer.poll(30)
        assert message is not None and message.error() is None and message.offset() == offset
        self._consumer.unassign()
        return float(message.timestamp()[1]) / 1000

    def close(self) -> None:
        self._consumer.close()


def written(database: Database) -> Offsets:
    rows = database.rows("SELECT partition, next_offset FROM stream_offsets")
    return dict.fromkeys(range(12), 0) | {row["partition"]: row["next_offset"] for row in rows}


def assert_between(before: Offsets, found: Offsets, after: Offsets) -> None:
    for number, value in found.items():
        assert before[number] <= value <= after[number], (number, before[number], value, after[number])


def test_it_agrees_with_kafkas_tool_and_a_stranger_while_load_runs(stack: Stack, run: Commands, tmp_path: Path) -> None:
    for _ in range(2):
        stack.start_worker()
    stranger = Stranger(stack.kafka.bootstrap)
    with Database(stack.postgres.superuser_dsn()) as database:
        with Load(stack.kafka.bootstrap, tenants=24, records=4, pause=0.3):
            wait_for(lambda: sum(stranger.committed().values()) > 100, "the group commits", LONG)

            def all_run() -> bool:
                return {each["state"] for each in run.here("lag", "--over", "0")["partitions"]} == {"running"}

            wait_for(all_run, "both workers say how it goes", LONG)
            tool_before = described(stack.kafka.bootstrap, GROUP, RECORDS, tmp_path)
            before = stranger.ends(), stranger.committed(), written(database)
            document = told(run)
            after = stranger.ends(), stranger.committed(), written(database)
            tool_after = described(stack.kafka.bootstrap, GROUP, RECORDS, tmp_path)
            found = by_partition(document)
            names = "end", "committed", "written"
            for older, name, newer in zip(before, names, after, strict=True):
                assert_between(older, {number: each[name] or 0 for number, each in found.items()}, newer)
            for number, each in found.items():
                old, new = tool_before[number], tool_after[number]
                assert old.end <= each["end"] <= new.end
                assert (old.committed or 0) <= (each["committed"] or 0) <= (new.committed or 0)
                assert (old.client, old.host) == (each["owner"], each["host"])
                assert each["lag"] <= each["end"] - (each["written"] or 0)
            assert len({each["owner"] for each in found.values()}) == 2
            assert document["sent_per_second"] > 0 and document["measured_over_seconds"] >= 1
        wait_for(lambda: stranger.committed() == stranger.ends() == written(database), "all is written", LONG)
        document = told(run)
        quiet = described(stack.kafka.bootstrap, GROUP, RECORDS, tmp_path)
        assert {
            number: (each["end"], each["committed"] or None, each["lag"])
            for number, each in by_partition(document).items()
        } == {number: (each.end, each.committed or None, each.lag or 0) for number, each in quiet.items()}
        assert (document["lag"], document["lag_seconds"], document["seconds_to_empty"]) == (0, 0, 0)
    stranger.close()


def test_how_old_the_first_message_is_that_waits(servers_alone: Stack, run_alone: Commands) -> None:
    """No worker lives, and none has ever."""
    stack, run = servers_alone, run_alone
    stranger = Stranger(stack.kafka.bootstrap)
    with Publisher(stack.kafka.bootstrap) as publisher:
        publisher.scan("tenant-a", generator.records(10, 1, "tenant-a"))
        publisher.flush()
        time.sleep(1.5)
        publisher.scan("tenant-a", generator.records(10, 2, "tenant-a"))
    partition = partition_of(b"tenant-a")
    came = stranger.stamp(partition, 0)
    before = time.time()
    document = told(run)
    after = time.time()
    found = by_partition(document)
    assert before - came <= found[partition]["lag_seconds"] + 0.001 and found[partition]["lag_seconds"] <= after - came
    assert document["lag_seconds"] == found[partition]["lag_seconds"]
    assert {(each["state"], each["owner"]) for each in found.values()} == {("unowned", None)}
    assert {each["lag_seconds"] for number, each in found.items() if number != partition} == {0}
    assert document["seconds_to_empty"] is None and document["written_per_second"] == 0  # nobody writes
    shown = run("lag").stdout
    assert "không worker nào nhận" in shown and "no worker has it" in shown and "∞" in shown
    stranger.close()


def test_a_lane_that_waits_or_stands_says_why(stack: Stack, run: Commands) -> None:
    tenant = tenants_by_partition("stands")[5]
    worker = stack.start_worker({"SCANLINE_STREAM_STANDING_SECONDS": "2", "SCANLINE_WRITE_DEADLINE_SECONDS": "600"})

    def state() -> tuple[str, str | None]:
        found = by_partition(run.here("lag", "--over", "0"))[5]
        return found["state"], found["reason"]

    with Database(stack.postgres.superuser_dsn()) as database, Publisher(stack.kafka.bootstrap) as publisher:
        scan = new_scan()
        publisher.records(tenant, scan, generator.records(5, 1, tenant))
        publisher.flush()
        wait_for(lambda: database.scan(tenant, scan), "the scan is there", LONG)
        wait_for(lambda: state() == ("running", None), "it runs", LONG)
        with held(stack, [(tenant, scan)]):
            publisher.closed(tenant, scan, 5)
            publisher.flush()
            wait_for(lambda: state() == ("stuck", "standing"), "it stands", LONG)
            shown = run("lag", "--over", "0").stdout
            assert "kẹt/stuck" in shown and "Phân vùng 5: " in shown and "Partition 5: " in shown
        wait_for(lambda: state() == ("running", None), "it goes on", LONG)
        database.close()
        stack.postgres.stop("immediate")
        publisher.closed(tenant, scan, 5)
        publisher.flush()
        wait_for(lambda: state() == ("paused", "database"), "it is paused", LONG)
        document = told(run, "--over", "0")
        assert document["counted_by"] == "group"
        assert (by_partition(document)[5]["written"], by_partition(document)[5]["lag"]) == (None, 1)
        stack.postgres.start()
        stack.postgres.wait_until_ready()
        wait_for(lambda: state() == ("running", None), "it runs again", LONG)
    worker.kill()
    wait_for(lambda: state() == ("unowned", None), "nobody has it", LONG)
    stack.postgres.stop("immediate")
    stack.start_worker(wait=False)  # it cannot know its offsets
    wait_for(lambda: state() == ("paused", "database"), "the next one waits, too", LONG)


def test_what_retention_took_is_said(stack: Stack, run: Commands) -> None:
    tenant = tenants_by_partition("gone")[3]
    assert partition_of(tenant.encode()) == 3
    worker = stack.start_worker()
    with Database(stack.postgres.superuser_dsn()) as database:
        with Publisher(stack.kafka.bootstrap) as publisher:
            scan = publisher.scan(tenant, generator.records(10, 1, tenant))
        database.finished(tenant, scan, LONG)
        assert worker.stop(60) == 0
        read = offset_of(database, 3)
        with Publisher(stack.kafka.bootstrap) as publisher:
            publisher.scan(tenant, generator.records(10, 2, tenant), at_once=1)
            publisher.scan(tenant, generator.records(10, 3, tenant))
        delete_before(stack, 3, read + 11)
    found = by_partition(told(run, "--over", "0"))
    assert (found[3]["begin"], found[3]["gone"], found[3]["lag"]) == (read + 11, 11, 2)
    assert {each["gone"] for number, each in found.items() if number != 3} == {0}
    shown = run("lag", "--over", "0").stdout
    assert "Phân vùng 3: 11 offset đã bị Kafka xóa" in shown and "retention deleted 11 offsets" in shown


def test_watching_into_a_pipe(run_alone: Commands) -> None:
    for arguments, is_one in (
        ((), re.compile(r"^\d\d:\d\d:\d\d scan\.records\.v1 · .*ghi/written 0/s")),
        (("--json",), re.compile(r"^{")),
    ):
        process = run_alone.start("lag", "--watch", "--every", "0.5", *arguments)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, "")
        assert all(is_one.search(line) for line in [*lines, *rest.splitlines()][1:])
        if arguments:
            assert [json.loads(line)["measured_over_seconds"] is None for line in lines] == [True, False, False]


def test_watching_goes_on_when_kafka_comes_back(stack: Stack, run: Commands) -> None:
    process = run.start("lag", "--watch", "--every", "0.5", "--json")
    assert process.stdout is not None
    looks = (json.loads(line) for line in process.stdout)
    assert "error" not in next(looks)
    stack.kafka.kill()
    error = next(look["error"] for look in looks if "error" in look)
    assert error["code"] == "kafka_offsets_unknown"
    stack.kafka.start()
    stack.kafka.wait_until_ready()
    assert next(look for look in looks if "error" not in look)["lag"] == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    process.communicate()


def test_watching_in_a_terminal(run_alone: Commands) -> None:
    """The table is drawn again in its place, and the cursor is there at the end."""
    ours, theirs = pty.openpty()
    env = run_alone.env | {"TERM": "xterm", "COLUMNS": "80", "LINES": "40"}
    process = subprocess.Popen(
        [SCANLINE, "lag", "--watch", "--every", "0.5"], env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = _read_until(ours, lambda text: text.count("trạng thái") >= 3)
    process.send_signal(signal.SIGINT)
    shown += _read_until(ours, lambda text: "\x1b[?25h" in text)
    assert process.wait(PATIENCE) == 0
    os.close(ours)
    assert "\x1b[?25l" in shown and "\x1b[1A" in shown and "Traceback" not in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert max(map(len, plain.splitlines())) <= 80


def _read_until(terminal: int, enough: Callable[[str], bool]) -> str:
    found, deadline = b"", time.monotonic() + PATIENCE
    while not enough(found.decode(errors="replace")):
        assert time.monotonic() < deadline, found
        if select.select([terminal], [], [], 1)[0]:
            try:
                found += os.read(terminal, 65536)
            except OSError:  # the other side has closed it
                break
    return found.decode(errors="replace")
