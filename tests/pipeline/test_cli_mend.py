"""`scanline errors` and `scanline mend`, as a person uses them: out to a file, mended, back in."""

import json
from pathlib import Path

import pytest

from infra.processes.services import Service
from tests.commands import Commands, one, rows, written
from tests.helpers import Database, StatusTopic, assert_accounted, assert_told, changed
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")


def test_out_to_a_file_corrected_and_back(
    servers: Servers, api: Service, database: Database, statuses: StatusTopic, tenant: str, tmp_path: Path
) -> None:
    run = Commands({"SCANLINE_DATA_DIR": str(tmp_path), "SCANLINE_API_URL": api.base_url, **servers.env})
    lines = generator.records(40, 1, tenant)
    broken = [
        changed(line, purpose="", name="dòng\u2028mới\x85") if at % 4 == 0 else line for at, line in enumerate(lines)
    ]
    scan = one(run("publish", written(tmp_path, broken), "--tenant", tenant, "--follow", "--json"))["scan_id"]
    told = run("errors", scan, "--tenant", tenant)
    assert (told.returncode, told.stderr) == (0, "")
    found = [json.loads(line) for line in told.stdout.removesuffix("\n").split("\n")]
    assert [each["index"] for each in found] == list(range(0, 40, 4))
    assert {each["record"]["name"] for each in found} == {"dòng\u2028mới\x85"}
    assert rows(run("errors", scan, "--tenant", tenant, "--json")) == found
    mended = [json.dumps({**each, "record": json.loads(lines[each["index"]])}).encode() for each in found]
    half = run("mend", scan, written(tmp_path, mended[:5], "half.ndjson"), "--tenant", tenant, "--json")
    assert (half.returncode, one(half)["records_rejected"]) == (1, 5)
    whole = run("mend", scan, written(tmp_path, mended, "whole.ndjson"), "--tenant", tenant, "--json")
    assert (whole.returncode, one(whole)["status"], one(whole)["records_stored"]) == (0, "completed", 40)
    again = run("mend", scan, tmp_path / "whole.ndjson", "--tenant", tenant)
    assert again.returncode == 0 and "hoàn tất / completed" in again.stdout
    assert run("errors", scan, "--tenant", tenant).stdout == ""
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])


def test_what_cannot_be_corrected_is_said(servers: Servers, api: Service, tenant: str, tmp_path: Path) -> None:
    run = Commands({"SCANLINE_DATA_DIR": str(tmp_path), "SCANLINE_API_URL": api.base_url, **servers.env})
    unknown = "00000000-0000-0000-0000-000000000007"
    for arguments in (["errors", unknown], ["mend", unknown, written(tmp_path, [b"{}"])]):
        done = run(*arguments, "--tenant", tenant)
        assert done.returncode == 1
        assert "không có lượt quét" in done.stderr and "no scan with this id" in done.stderr
    done = run("mend", unknown, tmp_path / "none.ndjson", "--tenant", tenant)
    assert done.returncode == 1 and "There is no file" in done.stderr
