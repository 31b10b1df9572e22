"""`scanline dlq`: what could not be read is listed, shown safely, sent again exactly once, or put aside with a trace."""

import json
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from infra.processes.services import Service
from infra.stack import Stack
from tests import header_names
from tests.commands import PATIENCE, Commands, Done
from tests.helpers import (
    DEAD_LETTERS,
    RECORDS,
    Database,
    Publisher,
    StatusTopic,
    array,
    assert_accounted,
    assert_told,
    new_scan,
    wait_for,
)
from tests.load import keys_of
from tests.servers import Servers
from trials import generator

TYPE: Final = "vn.scanline.scan.records.v1"
SECRET: Final = "079090012345"  # an identity number, where none should be


@pytest.fixture
def run(servers: Servers, worker: Service, tmp_path: Path) -> Commands:
    return Commands({"SCANLINE_DATA_DIR": str(tmp_path), **servers.env})


def told(done: Done, code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return dict(json.loads(done.stdout))


def listed(run: Commands, tenant: str, *more: str) -> list[dict[str, Any]]:
    return list(run.here("dlq", "list", "--tenant", tenant, *more)["letters"])


def wait_for_letters(run: Commands, tenant: str, count: int) -> list[dict[str, Any]]:
    def look() -> list[dict[str, Any]]:
        found = listed(run, tenant)
        return found if len(found) == count else []

    return wait_for(look, f"{count} open letters of {tenant}")


@pytest.mark.parametrize("command", ["list", "retry", "retry --dry-run", "drop --because x --yes"])
def test_a_reason_that_no_letter_has_is_refused(run: Commands, command: str) -> None:
    done = run("dlq", *command.split(), "--reason", "message_unreadible", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["error"]["code"] == "dlq_reason_unknown"
    assert "Có phải «message_unreadable»?" in done.stderr and "Did you mean «message_unreadable»?" in done.stderr
    assert run("dlq", *command.split(), "--reason", "tenant_invalid", "--tenant", "nobody").returncode == 0


@pytest.mark.parametrize(
    "command", ["lag", "replay --verify", "offsets reset --all --to earliest", "dlq allow --partition 0 --count 1"]
)
def test_a_pipeline_that_nobody_knows_is_refused(run: Commands, command: str) -> None:
    done = run(*command.split(), "--pipeline", "inventry", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["error"]["code"] == "pipeline_unknown"
    assert "Có phải «inventory»?" in done.stderr and "Did you mean «inventory»?" in done.stderr


def readable_letters(
    servers: Servers, tenant: str, scan: str, arrays: list[list[bytes]], *, failed_at: float | None = None
) -> None:
    """Letters as an older worker would have written them: it refused what today's reads."""
    producer = Producer({"bootstrap.servers": servers.bootstrap, "partitioner": "murmur2_random"})
    first = 0
    for at, lines in enumerate(arrays):
        headers = [
            ("ce_type", TYPE.encode()),
            ("ce_subject", scan.encode()),
            ("ce_firstindex", str(first).encode()),
            ("own", b"\xff\x00"),
            ("scanline_reason", b"message_unreadable"),
            ("scanline_topic", RECORDS.encode()),
            ("scanline_partition", b"0"),
            ("scanline_offset", str(at).encode()),
            ("scanline_failed_at", str(int((failed_at or time.time()) * 1000)).encode()),
        ]
        producer.produce(DEAD_LETTERS, array(lines), tenant.encode(), headers=headers)
        first += len(lines)
    assert producer.flush(60) == 0


def sent_again(servers: Servers, tenant: str) -> list[Any]:
    """The tenant's messages in scan.records.v1 that were dead letters."""
    consumer = Consumer({"bootstrap.servers": servers.bootstrap, "group.id": "not-used", "enable.auto.commit": False})
    try:
        numbers = consumer.list_topics(RECORDS, timeout=30).topics[RECORDS].partitions
        ends = {n: consumer.get_watermark_offsets(TopicPartition(RECORDS, n), timeout=30)[1] for n in numbers}
        consumer.assign([TopicPartition(RECORDS, n, 0) for n, end in ends.items() if end])
        left = {n for n, end in ends.items() if end}
        found = []
        while left:
            message = consumer.poll(30)
            assert message is not None and message.error() is None
            names = {name for name, _ in message.headers() or []}
            if message.key() == tenant.encode() and "scanline_dead_letter" in names:
                found.append(message)
            if message.offset() + 1 >= ends[message.partition()]:
                left.discard(message.partition())
        return found
    finally:
        consumer.close()


def test_garbage_is_listed_by_reason_and_shown_without_what_it_says(
    servers: Servers, run: Commands, database: Database, tenant: str, tmp_path: Path
) -> None:
    scan, other, half = new_scan(), new_scan(), b'{"name":"' + SECRET.encode()
    with Publisher(servers.bootstrap) as publisher:
        publisher.send(tenant, scan, "records", half, headers=[("note", SECRET.encode())])
        publisher.send(tenant, scan, "records", b"\xff\xfe\x1b[31m")
        publisher.send(tenant, other, "surprise", b"{}")
    letters = wait_for_letters(run, tenant, 3)
    assert {(each["scan_id"], each["reason"], each["retries"], each["state"]) for each in letters} == {
        (scan, "message_unreadable", 0, "open"),
        (other, "type_unknown", 0, "open"),
    }
    found = run.here("dlq", "list", "--tenant", tenant, "--limit", "1")
    assert (found["matched"], found["reasons"]) == (3, {"message_unreadable": 2, "type_unknown": 1})
    assert len(found["letters"]) == 1
    assert len(listed(run, tenant, "--scan", scan)) == 2
    assert len(listed(run, tenant, "--reason", "type_unknown")) == 1
    assert len(listed(run, tenant, "--since", "1h", "--until", "2100-01-01T00:00:00+07:00")) == 3
    assert listed(run, tenant, "--until", "1h") == [] == listed(run, tenant, "--since", "2100-01-01T00:00:00Z")
    place = next(each["id"] for each in letters if each["bytes"] == len(half))
    partition, offset = place.split(":")
    only = listed(run, tenant, "--partition", partition, "--offset", offset)
    assert place in {each["id"] for each in only}
    assert all(int(each["id"].split(":")[1]) >= int(offset) for each in only)
    people = run("dlq", "list", "--tenant", tenant)
    assert people.returncode == 0 and "chờ xử lý / open" in people.stdout and "well-formed JSON" in people.stdout
    assert scan in people.stdout  # whole, to be copied

    for shown in (people, run("dlq", "show", place), run("dlq", "show", place, "--json")):
        assert shown.returncode == 0, shown.stderr
        assert SECRET not in shown.stdout + shown.stderr
    facts = told(run("dlq", "show", place, "--json"))
    assert ["note", "<12 byte>"] in facts["headers"] and facts["key"] == tenant and facts["history"] == []
    assert [row["action"] for row in database.audit(tenant) if row["action"].startswith("dead_letter")] == []
    # on demand, with a trace
    assert told(run("dlq", "show", place, "--preview", "8", "--json"))["preview"] == ['{"name":']
    copy = tmp_path / "letter"
    assert run("dlq", "show", place, "--raw", "--output", str(copy)).returncode == 0
    assert copy.read_bytes() == half and copy.stat().st_mode & 0o777 == 0o600
    binary = next(each["id"] for each in letters if each["bytes"] == 7)
    raw = subprocess.run([sys.executable, "-c", SHOW, binary], env=run.env, capture_output=True, timeout=PATIENCE)
    assert raw.stdout == b"\xff\xfe\x1b[31m", raw.stderr
    assert "ff fe 1b" in run("dlq", "show", binary, "--preview", "64").stdout
    audit = [row for row in database.audit(tenant) if row["action"] == "dead_letter_shown"]
    assert [row["details"]["letters"] for row in audit] == [[place], [place], [binary], [binary]]
    assert all("Đã xem" in row["message"]["vi"] and "shown" in row["message"]["en"] for row in audit)


def test_a_letter_without_a_scan_is_its_tenants_still(
    servers: Servers, run: Commands, database: Database, tenant: str
) -> None:
    scan = new_scan()
    wrong: list[tuple[bytes, bytes]] = [
        (TYPE.encode(), uuid.uuid4().bytes),
        (TYPE.encode(), f"{{{scan}}}".encode()),
        (f'"{TYPE}"'.encode(), f'"{scan}"'.encode()),
    ]
    with Publisher(servers.bootstrap) as publisher:
        for kind, subject in wrong:
            publisher.raw(tenant.encode(), b"[]", [("ce_type", kind), ("ce_subject", subject)])
    letters = wait_for_letters(run, tenant, 3)
    assert {each["reason"] for each in letters} == {"scan_id_invalid", "type_unknown"}
    assert {each["scan_id"] for each in letters} == {None}
    assert told(run("dlq", "show", letters[0]["id"], "--json"))["key"] == tenant
    done = run("dlq", "drop", "--tenant", tenant, "--because", "test", "--yes", "--json")
    assert told(done) == {"dropped": 3, "retried_before": 0}
    (audit,) = [row for row in database.audit(tenant) if row["action"] == "dead_letters_dropped"]
    assert audit["details"]["count"] == 3 and audit["scan_id"] is None


SHOW: Final = "import sys; from cli import main; sys.argv = ['scanline', 'dlq', 'show', sys.argv[1], '--raw']; main()"


def test_a_failed_scan_completes_when_its_letters_are_sent_again_and_only_once(
    servers: Servers, run: Commands, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    scan = new_scan()
    lines = generator.records(30, 3, tenant)
    with Publisher(servers.bootstrap) as publisher:
        # what the worker of now refuses, so that the scan counts it; its letter is then taken for the readable one
        publisher.records(tenant, scan, lines[:20])
        publisher.send(tenant, scan, "records", b"[", first=20)
        publisher.closed(tenant, scan, 30)
    row = wait_for(lambda: (r := database.scan(tenant, scan)) and r["status"] == "failed" and r, "the scan failed")
    assert (row["records_stored"], row["messages_unreadable"]) == (20, 1)
    (broken,) = wait_for_letters(run, tenant, 1)
    assert run.here("dlq", "drop", broken["id"], "--because", "thử / test", "--yes")["dropped"] == 1
    readable_letters(servers, tenant, scan, [lines[:20], lines[20:]])  # the first was counted before: recognised
    wait_for_letters(run, tenant, 2)

    dry = told(run("dlq", "retry", "--tenant", tenant, "--dry-run", "--json"))
    assert (dry["dry_run"], dry["reasons"]) == (True, {"message_unreadable": 3})
    plan = dry["plan"]
    assert {(each["outcome"], each["becomes"], each["letters"], each["records"]) for each in plan} == {
        ("sent", "records", 2, 30),
        ("dropped_before", "", 1, 0),
    }
    assert sent_again(servers, tenant) == [] and len(listed(run, tenant)) == 2
    assert "đọc được: bản ghi" in run("dlq", "retry", "--tenant", tenant, "--dry-run").stdout

    assert told(run("dlq", "retry", "--scan", scan, "--json"))["sent"] == 2
    row = wait_for(lambda: (r := database.scan(tenant, scan)) and r["records_stored"] == 30 and r, "all are stored")
    row = wait_for(lambda: (r := database.scan(tenant, scan)) and r["status"] == "completed" and r, "it is complete")
    assert (row["records_duplicate"], row["records_rejected"], row["messages_unreadable"]) == (0, 0, 0)
    again = run.here("dlq", "retry", "--scan", scan)
    assert (again["sent"], again["retried_before"], again["dropped_before"]) == (0, 2, 1)
    found = sorted(sent_again(servers, tenant), key=lambda each: dict(each.headers())["ce_firstindex"])
    assert [each.value() for each in found] == [array(lines[:20]), array(lines[20:])]
    for each in found:
        names = [name for name, _ in each.headers()]
        assert names == [
            "ce_type",
            "ce_subject",
            "ce_firstindex",
            "own",
            "scanline_dead_letter",
            "scanline_replay_count",
        ]
        assert dict(each.headers())["scanline_replay_count"] == b"1" and dict(each.headers())["own"] == b"\xff\x00"
    assert database.keys(tenant, scan) == sorted(keys_of(lines))
    assert listed(run, tenant) == []
    assert {each["state"] for each in listed(run, tenant, "--all")} == {"retried", "dropped"}
    (written,) = [row for row in database.audit(tenant) if row["action"] == "dead_letters_retried"]
    assert (written["details"]["count"], str(written["scan_id"])) == (2, scan)
    assert written["message"] == {
        "vi": "Đã gửi lại 2 thông điệp không xử lý được.",
        "en": "2 dead letter(s) were sent again.",
    }
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])


def test_what_stays_unreadable_goes_round_no_more_often_than_allowed(
    servers: Servers, run: Commands, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.send(tenant, scan, "records", b"[1,")
        publisher.closed(tenant, scan, 1)
    (first,) = wait_for_letters(run, tenant, 1)
    refused = told(run("dlq", "retry", first["id"], "--json"), 3)
    assert (refused["sent"], refused["unreadable"]) == (0, 1)
    for retries in (1, 2):
        (letter,) = wait_for_letters(run, tenant, 1)
        done = run("dlq", "retry", letter["id"], "--anyway", "--max-replays", "2", "--json")
        assert told(done)["sent"] == 1
        (letter,) = wait_for(lambda n=retries: [e for e in listed(run, tenant) if e["retries"] == n], "it came back")
        row = wait_for(lambda: database.scan(tenant, scan), "the scan")
        assert (row["status"], row["messages_unreadable"]) == ("failed", 1)  # one message, however often it was tried
    done = run("dlq", "retry", "--tenant", tenant, "--anyway", "--max-replays", "2", "--json")
    assert (told(done, 3)["replay_limit"], told(done, 3)["sent"]) == (1, 0)
    facts = run.here("dlq", "show", letter["id"])
    names = [name for name, _ in facts["headers"]]
    assert len(names) == len(set(names)) and names.count("scanline_reason") == 1
    assert len(sent_again(servers, tenant)) == 2
    assert_told(database, statuses, [tenant])


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_retry_that_ends_half_way_goes_on_and_sends_nothing_twice(
    how: str, servers: Servers, run: Commands, database: Database, tenant: str
) -> None:
    scan, count = new_scan(), 120
    lines = generator.records(count, 4, tenant)
    readable_letters(servers, tenant, scan, [[line] for line in lines])
    wait_for(lambda: run.here("dlq", "list", "--tenant", tenant)["matched"] == count, "all letters")
    process = run.start("dlq", "retry", "--tenant", tenant, "--rate", "15", "--json")
    marked = "SELECT count(*) FROM dead_letter_actions WHERE action = %s AND tenant_id = %s"
    wait_for(lambda: database.value(marked, "sent", tenant) >= 15 or process.poll() is not None, "some are sent")
    process.send_signal(signal.SIGSTOP)  # so that a slow machine does not let it finish meanwhile
    busy = run("dlq", "retry", "--tenant", tenant)
    assert busy.returncode == 1 and "đang chạy" in busy.stderr and "is running" in busy.stderr
    process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    out, errors = process.communicate(timeout=PATIENCE)
    if how == "stopped":
        assert process.returncode == 130, errors
        assert json.loads(out)["sent"] == database.value(marked, "sent", tenant)
    done_before = database.value(marked, "sent", tenant)
    assert 15 <= done_before < count
    found = wait_for(lambda: resumed(run, tenant), "the lock of a killed run is given back")
    assert found["sent"] + found["recognised"] + done_before == count
    assert len(sent_again(servers, tenant)) == count
    row = wait_for(lambda: (r := database.scan(tenant, scan)) and r["records_stored"] == count and r, "all are stored")
    assert row["records_duplicate"] == 0
    assert database.keys(tenant, scan) == sorted(keys_of(lines))


def resumed(run: Commands, tenant: str) -> dict[str, Any] | None:
    done = run("dlq", "retry", "--tenant", tenant, "--json")
    return told(done) if done.returncode == 0 else None


def test_what_was_sent_and_not_marked_is_recognised(
    servers: Servers, run: Commands, database: Database, tenant: str
) -> None:
    """As a run leaves it that dies between sending and marking: single records without a number would count twice."""
    from operations.dead_letters.dead_letter import DeadLetterSelection
    from operations.dead_letters.ledger import DeadLetterLedger
    from operations.dead_letters.reader import DeadLetterReader
    from operations.dead_letters.recovery import record_ends
    from operations.dead_letters.sender import RetrySender

    scan = new_scan()
    lines = generator.records(3, 5, tenant)
    readable_letters(servers, tenant, scan, [[line] for line in lines])
    wait_for_letters(run, tenant, 3)
    with (
        DeadLetterReader(servers.bootstrap, DeadLetterSelection(tenant=tenant)) as reader,
        DeadLetterLedger(servers.urls.write) as ledger,
    ):
        letters = [letter for chunk in reader.letters() for letter in chunk]
        ledger.claim(letters, record_ends(servers.bootstrap))
        places, failure = RetrySender(servers.bootstrap).send(letters[:2])
    assert (len(places), failure) == (2, None)
    assert {each["state"] for each in listed(run, tenant)} <= {"claimed"}
    found = told(run("dlq", "retry", "--tenant", tenant, "--json"))
    assert (found["recognised"], found["sent"], found["retried_before"]) == (2, 1, 0)
    assert len(sent_again(servers, tenant)) == 3
    audit = [row["details"] for row in database.audit(tenant) if row["action"] == "dead_letters_retried"]
    assert [(each["count"], each.get("recognised")) for each in audit] == [(2, 2), (1, None)]
    wait_for(lambda: (r := database.scan(tenant, scan)) and r["records_stored"] == 3, "all are stored")


def test_dropping_needs_a_reason_and_leaves_a_trace(
    servers: Servers, run: Commands, database: Database, tenant: str
) -> None:
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        for _ in range(3):
            publisher.send(tenant, scan, "records", b"nothing")
    first, *_ = wait_for_letters(run, tenant, 3)
    assert run("dlq", "drop", "--tenant", tenant, "--yes").returncode == 2  # no --because
    asked = run("dlq", "drop", first["id"], "--because", "rác")
    assert asked.returncode == 1 and len(listed(run, tenant)) == 3  # nobody said yes
    assert told(run("dlq", "drop", first["id"], "--because", "rác của máy quét cũ", "--yes", "--json"))["dropped"] == 1
    assert len(listed(run, tenant)) == 2
    assert run.here("dlq", "drop", "--scan", scan, "--because", "như trên", "--yes")["dropped"] == 2
    assert run.here("dlq", "drop", "--scan", scan, "--because", "như trên", "--yes")["dropped"] == 0
    assert listed(run, tenant) == [] and len(listed(run, tenant, "--all")) == 3
    rows = [row for row in database.audit(tenant) if row["action"] == "dead_letters_dropped"]
    assert [(row["details"]["count"], row["details"]["note"]) for row in rows] == [
        (1, "rác của máy quét cũ"),
        (2, "như trên"),
    ]
    assert rows[0]["details"]["letters"] == [first["id"]] and "@" in rows[0]["actor"]
    assert rows[0]["message"] == {
        "vi": "Đã bỏ hẳn 1 thông điệp không xử lý được; lý do: rác của máy quét cũ",
        "en": "1 dead letter(s) were dropped for good; reason: rác của máy quét cũ",
    }
    facts = run.here("dlq", "show", first["id"])
    assert facts["state"] == "dropped" and [each["action"] for each in facts["history"]] == ["dropped"]


def test_a_header_that_anybody_can_write_takes_nothing_off_a_scan(
    servers: Servers, run: Commands, database: Database, tenant: str
) -> None:
    scan = new_scan()
    line = generator.records(1, 6, tenant)
    with Publisher(servers.bootstrap) as publisher:
        publisher.send(tenant, scan, "records", b"nothing")
        publisher.closed(tenant, scan, 1)
    (letter,) = wait_for_letters(run, tenant, 1)
    named = dict(run.here("dlq", "show", letter["id"])["headers"])
    forged = [("scanline_dead_letter", f"{letter['id']}:{named['scanline_failed_at']}".encode())]
    with Publisher(servers.bootstrap) as publisher:
        publisher.send(tenant, scan, "records", line[0], headers=forged)
    row = wait_for(lambda: (r := database.scan(tenant, scan)) and r["records_stored"] == 1 and r, "it is stored")
    assert (row["status"], row["messages_unreadable"]) == ("completed_with_errors", 1)


def test_errors_say_what_is_wrong_in_both_languages(servers: Servers, run: Commands, tenant: str) -> None:
    nobody = "postgresql+psycopg2://nobody@127.0.0.1:9/nothing"
    for arguments, settings, vi, en in [
        (["show", "0:999999999"], {}, "Không có thông điệp 0:999999999", "There is no dead letter 0:999999999"),
        (["show", "x"], {}, "phân vùng:offset", "partition:offset"),
        (["list", "--since", "hôm qua"], {}, "RFC 3339", "RFC 3339 with an offset"),
        (["retry"], {}, "Hãy nêu mã thông điệp", "Name letters or give a filter"),
        (["list"], {"SCANLINE_KAFKA_BOOTSTRAP": "127.0.0.1:9"}, "không trả lời", "does not answer"),
        (
            ["retry", "--tenant", tenant],
            {"SCANLINE_POSTGRES_WRITE_URL": nobody},
            "PostgreSQL không",
            "PostgreSQL does not",
        ),
    ]:
        done = run("dlq", *arguments, **settings)
        assert (done.returncode, done.stdout) == (1, ""), (arguments, done.stdout, done.stderr)
        assert vi in done.stderr and en in done.stderr and "Traceback" not in done.stderr, done.stderr
    # the letters are in Kafka: they are listed with the database away, too
    blind = run("dlq", "list", "--tenant", tenant, "--json", SCANLINE_POSTGRES_READ_URL=nobody)
    assert told(blind)["matched"] == 0 and "PostgreSQL" in blind.stderr


async def test_letters_that_no_worker_of_ours_wrote_are_letters_like_any_other(
    stack: Stack, tenant: str, tmp_path: Path
) -> None:
    """As kcat writes them, without a header, key or value; as a client in C can, with a header's name that is no UTF-8, behind
    many that are right; and with a reason that no database takes."""
    run = Commands({"SCANLINE_DATA_DIR": str(tmp_path), **stack.env})
    bootstrap, places = stack.kafka.bootstrap, {}
    producer = Producer({"bootstrap.servers": bootstrap})

    def send(name: str, **message: Any) -> None:
        def note(_: Any, there: Any) -> None:
            places[name] = f"{there.partition()}:{there.offset()}"

        producer.produce(DEAD_LETTERS, on_delivery=note, partition=0, **message)

    for number in range(100):
        send(f"right {number}", key=b"other", value=b"x", headers=[("scanline_reason", b"type_unknown")])
    producer.flush(60)
    places.clear()
    odd = [(b"\xff\xfe", b"1"), (b"scanline_reason", b"type_unknown")]
    await header_names.send(bootstrap, 0, tenant.encode(), [(b'{"half":', odd)], DEAD_LETTERS)
    send("plain", key=tenant.encode(), value=b'{"half":')
    send("nothing")
    send("nul", key=tenant.encode(), value=b"x", headers=[("scanline_reason", b"a\x00b\xff"), ("own", b"\x00")])
    assert producer.flush(60) == 0
    found = {each["id"]: each for each in listed(run, tenant)}
    (places["odd"],) = found.keys() - places.values()
    assert found.keys() == set(places.values()) - {places["nothing"]}
    assert {each["reason"] for each in found.values()} == {"unknown"}
    for place in places.values():
        shown = run.here("dlq", "show", place, "--preview", "100")
        assert (shown["state"], shown["id"]) == ("open", place)
    done = told(run("dlq", "retry", *places.values(), "--json"), 3)
    assert (done["unreadable"], done["sent"]) == (4, 0)
    assert told(run("dlq", "retry", places["nul"], places["odd"], "--anyway", "--json"))["sent"] == 2
    assert told(run("dlq", "drop", *places.values(), "--because", "lạ", "--yes", "--json"))["dropped"] == 2
    states = {each["id"]: each["state"] for each in listed(run, tenant, "--all")}
    assert states == {places["nul"]: "retried", places["odd"]: "retried", places["plain"]: "dropped"}
