"""`scanline publish` and `scanline status` on the servers that every test shares."""

import gzip
import json
import uuid
from pathlib import Path

import pytest

from infra.processes.services import Service
from tests.commands import Commands, one, refused, rows, written
from tests.helpers import Database, StatusTopic, assert_accounted, assert_told, changed
from tests.servers import Servers
from tests.submissions import FOUND_NOTHING
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def run(servers: Servers, api: Service, tmp_path: Path) -> Commands:
    """`scanline` on the servers that every test shares."""
    return Commands({"SCANLINE_DATA_DIR": str(tmp_path), "SCANLINE_API_URL": api.base_url, **servers.env})


@pytest.fixture(autouse=True)
def told_at_the_end(database: Database, statuses: StatusTopic, tenant: str):
    yield
    assert_told(database, statuses, [tenant])


def keys_of(lines: list[bytes]) -> list[str]:
    return sorted(json.loads(line)["activity_key"] for line in lines)


WAYS = pytest.mark.parametrize("way", [[], ["--kafka"]], ids=["http", "kafka"])


@WAYS
def test_a_file_is_stored_whole(run: Commands, database: Database, tenant: str, tmp_path: Path, way: list[str]) -> None:
    lines = generator.records(2_500, 1, tenant)
    file = written(tmp_path, lines)
    done = run("publish", file, "--tenant", tenant, "--source", "máy quét 7", "--follow", "--json", *way)
    assert (done.returncode, done.stderr) == (0, "")
    told = one(done)
    assert (told["status"], told["records_total"], told["records_stored"]) == ("completed", 2_500, 2_500)
    row = database.scan(tenant, told["scan_id"])
    assert row is not None
    assert (row["status"], row["source"], row["records_stored"]) == ("completed", "máy quét 7", 2_500)
    assert database.keys(tenant, told["scan_id"]) == keys_of(lines)
    indexes = {each["activity_key"]: each["record_index"] for each in database.activities(tenant, told["scan_id"])}
    assert indexes == {json.loads(line)["activity_key"]: at for at, line in enumerate(lines)}
    assert_accounted(database, tenant, told["scan_id"])


@WAYS
@pytest.mark.parametrize("piped", [False, True], ids=["file", "standard input"])
def test_the_bars_end_full(run: Commands, tenant: str, tmp_path: Path, way: list[str], piped: bool) -> None:
    """Of a file that is one piece, too."""
    file = written(tmp_path, generator.records(1_200, 1, tenant))
    where, typed = ("-", file.read_bytes()) if piped else (file, b"")
    shown = run.in_a_terminal("publish", where, "--tenant", tenant, "--follow", *way, width=120, typed=typed)
    sent, stored = (shown.rpartition(words)[2].split("\x1b[?25h")[0] for words in ("publishing", "storing"))
    size = f"{file.stat().st_size / 1000:,.1f}"
    assert f"{size}/{size} kB" in sent or f"{size}/{size} kB".replace(".", ",") in sent, shown
    assert "1.200/1.200" in stored, shown


@WAYS
def test_what_is_wrong_is_shown_in_both_languages_and_by_the_exit_code(
    run: Commands, database: Database, tenant: str, tmp_path: Path, way: list[str]
) -> None:
    lines = generator.records(30, 2, tenant)
    lines[3] = changed(lines[3], purpose="")
    lines[7] = b'{"activity_key": "x", ['  # no JSON: that line alone is rejected
    done = run("publish", written(tmp_path, lines), "--tenant", tenant, "--follow", *way)
    assert done.returncode == 1
    assert "Hoàn tất, có lỗi: đã lưu 28 bản ghi, 2 bị từ chối" in done.stdout
    assert "Completed with errors: 28 records stored, 2 rejected" in done.stdout
    assert "Record 4 " in done.stdout and "Bản ghi thứ 4 " in done.stdout
    scan = database.rows("SELECT scan_id::text FROM scans WHERE tenant_id = %s", tenant)[0]["scan_id"]
    assert [each["record_index"] for each in database.rejected(tenant, scan)] == [3, 7]
    assert len(database.keys(tenant, scan)) == 28
    assert_accounted(database, tenant, scan)


@WAYS
def test_a_file_without_records_is_said_to_be_empty_and_nothing_is_sent(
    run: Commands, database: Database, tenant: str, tmp_path: Path, way: list[str]
) -> None:
    command = ("--tenant", tenant, "--idempotency-key", "K", "--follow", *way)
    for name, body in {"empty": b"", "blank": b"\n \n", "packed": gzip.compress(b""), "list": b"[]"}.items():
        (tmp_path / name).write_bytes(body)
        done = run("publish", tmp_path / name, *command)
        assert done.returncode == 1
        assert "không có bản ghi nào" in done.stderr and "holds no record" in done.stderr
    (tmp_path / "nothing").write_bytes(FOUND_NOTHING)
    told = one(run("publish", tmp_path / "nothing", "--json", *command))
    assert (told["status"], told["records_total"]) == ("completed", 0)
    rows = database.rows("SELECT scan_id::text FROM scans WHERE tenant_id = %s", tenant)
    assert [each["scan_id"] for each in rows] == [told["scan_id"]]


@WAYS
def test_the_same_key_again_counts_nothing(
    run: Commands, database: Database, tenant: str, tmp_path: Path, way: list[str]
) -> None:
    lines = generator.records(1_200, 3, tenant)
    command = ("publish", written(tmp_path, lines), "--tenant", tenant, "--idempotency-key", 'a "b" \\c', "--json")
    scans = {one(run(*command, "--follow", *way))["scan_id"] for _ in range(2)}
    (scan,) = scans
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["records_duplicate"]) == ("completed", 1_200, 0)
    assert database.keys(tenant, scan) == keys_of(lines)
    assert_accounted(database, tenant, scan)


def test_a_key_stands_for_the_same_scan_by_either_way(
    run: Commands, database: Database, tenant: str, tmp_path: Path
) -> None:
    lines = generator.records(1_500, 4, tenant)
    command = ("publish", written(tmp_path, lines), "--tenant", tenant, "--idempotency-key", "K", "--json", "--follow")
    assert one(run(*command))["scan_id"] == one(run(*command, "--kafka"))["scan_id"]
    marker = one(run("publish", written(tmp_path, lines[:1]), "--tenant", tenant, "--json", "--follow"))
    assert marker["status"] == "completed"
    (row,) = database.rows("SELECT * FROM scans WHERE tenant_id = %s AND scan_id <> %s", tenant, marker["scan_id"])
    assert (row["status"], row["records_stored"], row["records_duplicate"]) == ("completed", 1_500, 0)


@pytest.mark.parametrize(
    ("kind", "way"),
    [("document", []), ("array", ["--kafka"]), ("compressed", ["--kafka"])],
    ids=["document", "array", "compressed"],
)
def test_json_documents_and_compressed_files(
    run: Commands, database: Database, tenant: str, tmp_path: Path, kind: str, way: list[str]
) -> None:
    lines = generator.records(40, 5, tenant)
    records = [json.loads(line) for line in lines]
    content = {
        "document": json.dumps({"source": "crm", "records": records}, ensure_ascii=False, indent=2).encode(),
        "array": json.dumps(records, indent=1).encode(),
        "compressed": gzip.compress(b"\r\n".join(lines) + b"\r\n\r\n"),
    }[kind]
    (tmp_path / "file").write_bytes(content)
    told = one(run("publish", tmp_path / "file", "--tenant", tenant, "--follow", "--json", *way))
    assert (told["status"], told["records_stored"]) == ("completed", 40)
    assert told["source"] == ("crm" if kind == "document" else None)
    assert database.keys(tenant, told["scan_id"]) == keys_of(lines)


def test_compressed_on_the_way(run: Commands, database: Database, tenant: str, tmp_path: Path) -> None:
    lines = generator.records(3_000, 6, tenant)
    done = run("publish", written(tmp_path, lines), "--tenant", tenant, "--gzip", "--wait", "60", "--json")
    assert done.returncode == 0, done.stderr
    assert database.keys(tenant, one(done)["scan_id"]) == keys_of(lines)


def test_nobody_waits_without_being_asked_to(run: Commands, database: Database, tenant: str, tmp_path: Path) -> None:
    lines = generator.records(5, 7, tenant)
    done = run("publish", written(tmp_path, lines), "--tenant", tenant, "--json")
    told = one(done)
    assert (done.returncode, told["records"], told["replayed"]) == (0, 5, False)
    assert database.finished(tenant, told["scan_id"])["records_stored"] == 5


def test_a_refusal_is_reported_in_both_languages(run: Commands, tenant: str, tmp_path: Path) -> None:
    first, second = written(tmp_path, generator.records(3, 8, tenant)), tmp_path / "other.ndjson"
    second.write_bytes(first.read_bytes() + b"\n{}")
    command = ("--tenant", tenant, "--idempotency-key", "again", "--follow")
    assert run("publish", first, *command).returncode == 0
    done = run("publish", second, *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nội dung khác" in done.stderr and "another body" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["no-such-file.ndjson"], {}, ["không mở được", "cannot be opened"]),
        (["FILE", "--tenant", "Không"], {}, ["mã tổ chức", "no tenant id"]),
        (["FILE", "--kafka", "--gzip"], {}, ["chỉ dùng", "is for http"]),
        (["DAMAGED"], {}, ["bị hỏng", "damaged"]),
        (["BROKEN"], {}, ["json", "well-formed"]),
        (["FILE"], {"SCANLINE_API_URL": "http://127.0.0.1:9"}, ["không trả lời", "scanline up"]),
        (["FILE", "--kafka"], {"SCANLINE_KAFKA_BOOTSTRAP": "127.0.0.1:9"}, ["không trả lời", "scanline up"]),
    ],
    ids=["file", "tenant", "options", "damaged", "broken", "api", "kafka"],
)
def test_what_cannot_be_done_is_reported_in_both_languages(
    run: Commands, tenant: str, tmp_path: Path, arguments: list[str], settings: dict[str, str], words: list[str]
) -> None:
    files = {
        "FILE": written(tmp_path, generator.records(3, 9, tenant)),
        "DAMAGED": tmp_path / "damaged.gz",
        "BROKEN": tmp_path / "broken.json",
    }
    files["DAMAGED"].write_bytes(gzip.compress(generator.ndjson(generator.records(900, 10, tenant)))[:-500])
    files["BROKEN"].write_bytes(b'{"records": [{}, {]}')
    given = [str(files.get(argument, argument)) for argument in arguments]
    if "--tenant" not in given:
        given += ["--tenant", tenant]
    done = run("publish", *given, "--json", **settings)
    assert refused(done)
    for word in words:
        assert word in done.stderr.lower(), done.stderr
    assert "Traceback" not in done.stderr


def test_scans_are_listed_and_looked_at(run: Commands, tenant: str, tmp_path: Path) -> None:
    assert rows(run("status", "--tenant", tenant, "--json")) == []
    lines = generator.records(1_200, 10, tenant)
    sent = [
        one(run("publish", written(tmp_path, part), "--tenant", tenant, "--follow", "--json"))
        for part in (lines[:7], [*lines[7:1_100], changed(lines[1_101], legal_basis="none")])
    ]
    assert rows(run("status", "--tenant", tenant, "--json")) == sent[::-1]
    assert rows(run("status", "--tenant", tenant, "--json", "--limit", "1")) == sent[1:]
    assert rows(run("status", "--tenant", tenant, "--json", "--state", "completed")) == sent[:1]
    assert rows(run("status", sent[0]["scan_id"], "--tenant", tenant, "--json")) == sent[:1]
    shown = run("status", "--tenant", tenant).stdout
    assert all(each["scan_id"] in shown for each in sent) and "1.093" in shown
    shown = run("status", sent[1]["scan_id"], "--tenant", tenant).stdout
    assert "đã lưu 1.093 bản ghi" in shown and "1,093 records stored" in shown and "legal_basis" in shown


def test_a_scan_that_is_not_there(run: Commands, tenant: str) -> None:
    done = run("status", str(uuid.uuid4()), "--tenant", tenant, "--json")
    assert refused(done)
    assert "Tổ chức không có lượt quét" in done.stderr and "The tenant has no scan" in done.stderr


def test_what_the_api_refuses_is_named_as_it_was_typed(run: Commands, tenant: str, tmp_path: Path) -> None:
    command = ("publish", written(tmp_path, generator.records(3, 8, tenant)), "--tenant", tenant)
    for option, name in (("--source", "source"), ("--idempotency-key", "Idempotency-Key")):
        done = run(*command, option, "x" * 300)
        assert done.returncode == 1
        assert f"«{option}»" in done.stderr and f"«{name}»" not in done.stderr, done.stderr
