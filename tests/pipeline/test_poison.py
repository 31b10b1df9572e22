"""A message on which our own code or the database fails is put aside alone: its neighbours are stored, and it can be sent again
once that is mended. What is wrong with the store or the machine is waited for, and puts nothing aside."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from infra.processes.child import free_port
from infra.processes.services import Service
from infra.stack import Stack
from tests import header_names
from tests.commands import Commands
from tests.helpers import (
    Database,
    Publisher,
    StatusTopic,
    array,
    assert_accounted,
    assert_told,
    changed,
    new_scan,
    wait_for,
)
from tests.load import metric, worker_log
from tests.own import views_of_own
from tests.pipeline.test_dead_letters import DeadLetters
from tests.poisoned_worker import PASSING, PERSISTENT, SECRET, STAGES, mark
from tests.refusals import raising, refused
from tests.stock_servers import copied_stack
from trials import generator

AT_ONCE: Final = 10
IMPATIENT: Final = {"SCANLINE_STREAM_BACKOFF_SECONDS": "0.05", "SCANLINE_STREAM_PROBE_SECONDS": "0.2"}
REASON: Final = ("scanline_reason", b"processing_failed")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, stock_dir: Path) -> Iterator[Stack]:
    """One partition: everybody is everybody's neighbour."""
    with copied_stack(tmp_path_factory.mktemp("poison"), stock_dir, partitions=1) as stack:
        start(stack, "tests.poisoned_worker")
        yield stack


def start(stack: Stack, module: str) -> Service:
    port = free_port()
    places = {"SCANLINE_WORKER_METRICS_PORT": str(port), "SCANLINE_STREAM_DATA_DIR": str(stack.data_dir / "faust")}
    service = stack._spawn("worker", module, port, {**places, **IMPATIENT})
    service.wait_until_ready()
    return service


database, statuses = views_of_own()


@pytest.fixture(scope="module")
def dead_letters(own: Stack) -> Iterator[DeadLetters]:
    opened = DeadLetters(own.kafka.bootstrap)
    yield opened
    opened.close()


def messages_of(tenant: str, stage: str, errors: Sequence[str]) -> tuple[list[Any], int]:
    """[(kind, value, headers)] of a scan whose every second message raises, and how many records the good ones hold."""
    lines = generator.records(2 * AT_ONCE * (len(errors) + 1), 3, tenant)
    sent: list[Any] = []
    good = 0
    for number, name in enumerate(errors):
        part = lines[2 * AT_ONCE * number :][: 2 * AT_ONCE]
        sent += [("records", array(part[:AT_ONCE]), []), ("records", part[AT_ONCE], [])]
        good += AT_ONCE + 1
        text, rest = mark(stage, name), part[AT_ONCE + 1 :]
        if stage == "envelope":
            sent.append(("records", array(rest), [("note", text.encode()), ("mark", tenant.encode())]))
        elif stage == "control":
            sent.append(("opened", b'{"source":"%s"}' % text.encode(), [("mark", tenant.encode())]))
        else:
            poisoned = [changed(rest[0], attributes={"note": text}), *rest[1:]]
            sent.append(("records", array(poisoned), [("mark", tenant.encode())]))
            if stage != "records":  # single records are read together with others
                sent.append(
                    ("records", changed(lines[-1 - number], attributes={"note": text}), [("mark", tenant.encode())])
                )
    return sent, good


def publish(own: Stack, tenant: str, sent: Sequence[Any], total: int) -> tuple[str, str]:
    """The scan, in between one of a neighbour's. Returns both ids."""
    scan, other = new_scan(), new_scan()
    lines = generator.records(len(sent), 4, f"{tenant}-b")
    with Publisher(own.kafka.bootstrap) as publisher:
        for at, (kind, value, headers) in enumerate(sent):
            publisher.send(tenant, scan, kind, value, headers=headers)
            publisher.send(f"{tenant}-b", other, "records", array(lines[at : at + 1]), first=at)
        publisher.closed(tenant, scan, total)
        publisher.closed(f"{tenant}-b", other, len(sent))
    return scan, other


def assert_neighbour(database: Database, tenant: str, scan: str, records: int) -> None:
    row = database.finished(f"{tenant}-b", scan)
    assert (row["status"], row["records_stored"], row["messages_unreadable"]) == ("completed", records, 0)


@pytest.mark.parametrize("stage", STAGES)
def test_the_message_at_fault_goes_alone(
    stage: str, own: Stack, database: Database, statuses: StatusTopic, dead_letters: DeadLetters, tenant: str
) -> None:
    sent, good = messages_of(tenant, stage, list(PERSISTENT))
    bad = [value for _, value, headers in sent if headers]
    scan, other = publish(own, tenant, sent, good)
    row = database.finished(tenant, scan)
    assert_neighbour(database, tenant, other, len(sent))
    counts = row["records_stored"], row["messages_unreadable"]
    assert (row["status"], counts) == ("completed_with_errors", (good, len(bad)))
    letters = wait_for(lambda: len(found := dead_letters.of(tenant.encode())) >= len(bad) and found, "the letters")
    assert [letter.value() for letter in sorted(letters, key=lambda each: _offset(each))] == bad
    assert all(REASON in letter.headers() and letter.key() == tenant.encode() for letter in letters)
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant, f"{tenant}-b"])
    log = worker_log(own.workers[0])
    for letter, name in zip(
        letters, [name for name in PERSISTENT for _ in range(len(bad) // len(PERSISTENT))], strict=True
    ):
        assert f"scan.records.v1[0] offset {_offset(letter)} could not be processed: {name} at " in log
    assert SECRET not in log and "Traceback" not in log
    assert own.workers[0].is_ready()


def _offset(letter: Any) -> int:
    return int(dict(letter.headers())["scanline_offset"])


@pytest.mark.parametrize("stage", STAGES)
def test_what_the_machine_is_at_fault_for_is_waited_for(
    stage: str, own: Stack, database: Database, statuses: StatusTopic, dead_letters: DeadLetters, tenant: str
) -> None:
    sent, _ = messages_of(tenant, stage, list(PASSING))
    records = sum(value.count(b'"activity_key"') for kind, value, _ in sent if kind == "records")
    scan, other = publish(own, tenant, sent, records)
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["messages_unreadable"]) == ("completed", records, 0)
    assert_neighbour(database, tenant, other, len(sent))
    assert not dead_letters.of(tenant.encode())
    assert_told(database, statuses, [tenant])


@pytest.mark.parametrize(
    ("table", "sqlstate"),
    [
        ("scan_messages", "22023"),
        ("rejected_records", "54000"),
        ("scans", "23514"),
        ("audit_log", "22P05"),
        ("scan_messages", "XX000"),
    ],
)
def test_what_the_database_refuses_outside_the_rows_goes_alone(
    table: str,
    sqlstate: str,
    own: Stack,
    database: Database,
    statuses: StatusTopic,
    dead_letters: DeadLetters,
    tenant: str,
) -> None:
    """Its scan's own bookkeeping (audit_log: all of it) may be what is refused: then the scan does not know of it."""
    when, bad = refused(tenant, table)
    lines, scan, other = generator.records(10, 6, tenant), new_scan(), f"{tenant}-b"
    whole = table == "audit_log"
    with raising(database, table, when, sqlstate), Publisher(own.kafka.bootstrap) as publisher:
        if not whole:
            publisher.records(tenant, scan, lines[:5])
        for kind, value, headers, first in bad:
            publisher.send(tenant, scan, kind, value, headers=headers, first=first)
        if not whole:
            publisher.records(tenant, scan, lines[5:], first=5)
            publisher.closed(tenant, scan, len(lines))
        beside = publisher.scan(other, generator.records(30, 7, other), at_once=3)
        publisher.flush()
        row = None if whole else database.finished(tenant, scan)
        assert database.finished(other, beside)["status"] == "completed"
        (letter,) = wait_for(lambda: dead_letters.of(tenant.encode()), "the letter")
    assert letter.value() == bad[0][1] and REASON in letter.headers()
    assert f"(SQLSTATE {sqlstate}) at sinks.postgres." in worker_log(own.workers[0])
    assert SECRET not in worker_log(own.workers[0])
    if whole:
        assert database.scan(tenant, scan) is None
    else:
        assert row is not None
        assert (row["status"], row["records_stored"], row["messages_unreadable"]) == ("completed_with_errors", 10, 1)
        assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant, other])


def test_an_internal_error_that_one_record_causes_takes_its_message_alone(
    own: Stack, database: Database, statuses: StatusTopic, dead_letters: DeadLetters, tenant: str
) -> None:
    lines = generator.records(60, 9, tenant)
    key = json.loads(lines[24])["activity_key"].replace("'", "''")
    when = f"NEW.tenant_id = '{tenant}' AND NEW.activity_key = '{key}'"
    scan = new_scan()
    with raising(database, "processing_activities", when, "XX000"), Publisher(own.kafka.bootstrap) as publisher:
        for first in range(0, len(lines), AT_ONCE):
            part, headers = array(lines[first : first + AT_ONCE]), [("mark", tenant.encode())]
            publisher.send(tenant, scan, "records", part, first=first, headers=headers)
        publisher.closed(tenant, scan, len(lines))
        publisher.flush()
        row = database.finished(tenant, scan)
        (letter,) = wait_for(lambda: dead_letters.of(tenant.encode()), "the letter")
    assert letter.value() == array(lines[20:30]) and REASON in letter.headers()
    assert (row["status"], row["records_stored"], row["messages_unreadable"]) == ("failed", 50, 1)
    assert_told(database, statuses, [tenant])


@pytest.mark.parametrize("sqlstate", ["40001", "42501", "53100", "55P03", "57P03", "58030", "XX001"])
def test_what_is_wrong_with_the_store_is_waited_for(
    sqlstate: str, own: Stack, database: Database, statuses: StatusTopic, dead_letters: DeadLetters, tenant: str
) -> None:
    (worker,) = own.workers
    when, messages = refused(tenant, "scan_messages")
    scan = new_scan()
    before = metric(worker, "scanline_sink_errors_total", sqlstate_class=sqlstate[:2])
    with raising(database, "scan_messages", when, sqlstate), Publisher(own.kafka.bootstrap) as publisher:
        for kind, value, headers, first in messages:
            publisher.send(tenant, scan, kind, value, headers=headers, first=first)
        publisher.closed(tenant, scan, 6)
        publisher.flush()
        wait_for(
            lambda: metric(worker, "scanline_sink_errors_total", sqlstate_class=sqlstate[:2]) >= before + 4,
            "it is tried again and again",
        )
        assert database.scan(tenant, scan) is None
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["messages_unreadable"]) == ("completed", 6, 0)
    assert not dead_letters.of(tenant.encode())
    assert_told(database, statuses, [tenant])


def test_a_store_that_goes_away_meanwhile_is_waited_for(
    own: Stack, database: Database, statuses: StatusTopic, dead_letters: DeadLetters, tenant: str
) -> None:
    sent, good = messages_of(tenant, "planning", ["KeyError", "ValueError"])
    bad = [value for _, value, headers in sent if headers]
    database.close()
    own.postgres.stop("immediate")
    scan, other = publish(own, tenant, sent, good)
    wait_for(lambda: own.workers[0].health()["paused_reasons"].get("0") == "database", "the lane waits")
    assert not dead_letters.of(tenant.encode())
    own.postgres.start()
    own.postgres.wait_until_ready()
    row = database.finished(tenant, scan)
    assert (row["records_stored"], row["messages_unreadable"]) == (good, len(bad))
    assert_neighbour(database, tenant, other, len(sent))
    assert sorted(letter.value() or b"" for letter in dead_letters.of(tenant.encode())) == sorted(bad)
    assert_told(database, statuses, [tenant])


async def test_a_header_whose_name_is_no_utf8_stops_nobody(
    own: Stack, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    lines, scan = generator.records(9, 8, tenant), new_scan()
    ours = [(b"ce_type", b"vn.scanline.scan.records.v1"), (b"ce_subject", scan.encode())]
    odd = [(array(lines[at : at + 3]), [*ours, (b"\xff\xfe", b"1")][: 3 if at == 3 else 2]) for at in (0, 3, 6)]
    await header_names.send(own.kafka.bootstrap, 0, tenant.encode(), odd)
    with Publisher(own.kafka.bootstrap) as publisher:
        publisher.closed(tenant, scan, len(lines))
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["messages_unreadable"]) == ("completed", 9, 0)
    assert own.workers[0].is_ready()
    assert_told(database, statuses, [tenant])


def test_once_it_is_repaired_it_can_be_sent_again(
    own: Stack, database: Database, statuses: StatusTopic, dead_letters: DeadLetters, tenant: str
) -> None:
    """The last test here: it leaves an ordinary worker behind."""
    sent, good = messages_of(tenant, "formatting", ["KeyError", "RecursionError"])
    bad = [value for _, value, headers in sent if headers]
    records = good + sum(value.count(b'"activity_key"') for value in bad)
    scan, _ = publish(own, tenant, sent, records)
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["messages_unreadable"]) == ("failed", good, len(bad))
    assert own.workers[0].stop() == 0
    start(own, "stream_app")
    commands = Commands(own.env)
    shown = commands("dlq", "list", "--tenant", tenant, "--json")
    assert shown.returncode == 0 and shown.stdout.count('"processing_failed"') == len(bad) + 1, shown.stdout
    done = commands("dlq", "retry", "--tenant", tenant)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: (found := database.scan(tenant, scan)) and found["status"] == "completed", "the scan is whole")
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])
