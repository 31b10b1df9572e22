"""The curl lines of the documents, run as they stand against a running API."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from infra.processes.services import Service
from infra.settings import PROJECT
from tests.helpers import FINAL, PATIENCE, Database, changed, wait_for
from tests.submissions import NDJSON, accepted, scans_of
from trials import generator

pytestmark = [
    pytest.mark.usefixtures("worker"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine"),
]
PAGES: Final = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
_FENCED: Final = re.compile(r"^```(?:bash|sh|shell|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INDENTED: Final = re.compile(r"(?:^ {4}\S.*\n)+", re.MULTILINE)
_STATUS: Final = "\\n%{http_code}"  # curl's -w: a line of its own behind the answer


class Example(NamedTuple):
    """One block of a page."""

    page: Path
    text: str

    @property
    def commands(self) -> list[str]:
        """Lines that go on over several are one."""
        lines = re.sub(r"\\\n\s*", "", self.text).split("\n")
        return [line.strip() for line in lines if "curl " in line and not line.lstrip().startswith("#")]


EXAMPLES: Final = [
    example
    for page in PAGES
    for block in (_FENCED, _INDENTED)
    for found in block.findall(page.read_text(encoding="utf-8"))
    if (example := Example(page, found)).commands
]


class Shell:
    """bash in a folder, as somebody types there who has read how; `given` are the reader's own values."""

    def __init__(self, folder: Path, given: dict[str, str]) -> None:
        self._folder = folder
        self._env = {**os.environ, **given, "NO_PROXY": "127.0.0.1", "LC_ALL": "C.UTF-8"}

    def run(self, command: str) -> tuple[int, str]:
        """The HTTP status and the body."""
        shown = re.sub(r"\bcurl ", f"curl -w '{_STATUS}' ", command)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", shown],
            cwd=self._folder, env=self._env, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body


def test_every_curl_line_of_the_documents_is_run_here() -> None:
    """One that stands elsewhere than in these blocks would not be seen."""
    lines = [line for page in PAGES for line in page.read_text(encoding="utf-8").split("\n") if "curl -" in line]
    shown = [line for line in lines if not line.startswith(("|", "-", ">")) and "`curl" not in line]
    assert len(shown) == sum(len(example.commands) for example in EXAMPLES) >= 11
    assert {example.page.name for example in EXAMPLES} == {"README.md", "http-api.md"}


@pytest.fixture
def scan(http: httpx.Client, database: Database, tenant: str) -> str:
    """With records that were rejected."""
    lines = generator.records(20, 1, tenant)
    body = generator.ndjson([*lines[:15], *(changed(line, purpose="") for line in lines[15:])])
    found = str(accepted(http.post(scans_of(tenant), content=body, headers=NDJSON))["scan_id"])
    database.finished(tenant, found)
    wait_for(lambda: http.get(f"{scans_of(tenant)}/{found}").json()["status"] in FINAL, "the status says so")
    return found


def test_the_lines_of_the_readme(api: Service, http: httpx.Client, tenant: str, scan: str) -> None:
    (example,) = [example for example in EXAMPLES if example.page.name == "README.md"]
    assert example.text.startswith("API=http://127.0.0.1:8000/v1/tenants/tenant-a\n")
    shell = Shell(PROJECT, {"API": f"{api.base_url}/v1/tenants/{tenant}"})
    answers = [shell.run(command.replace("SCAN_ID", scan)) for command in example.commands]
    assert [status for status, _ in answers] == [200, 202, 200, 200, 200, 200, 422, 200, 200]
    waited, packed, listing, status, events, rejected, english, validated, activities = (body for _, body in answers)
    sent = len(generator.sample("crm"))
    assert json.loads(waited)["records_total"] == sent
    assert json.loads(packed)["records"] == len(generator.sample("hrms"))
    assert len(json.loads(listing)["scans"]) == 3
    assert json.loads(status)["scan_id"] == scan
    assert events.endswith("\n\n") and "event: status" in events
    assert [json.loads(line)["code"] for line in rejected.split("\n") if line] == ["text_empty"] * 5
    assert "«records» must be a list" in json.loads(english)["detail"]
    assert json.loads(validated)["records_total"] == sent
    found: list[dict[str, Any]] = json.loads(activities)["processing_activities"]
    assert found and all(each["sensitive"] and each["cross_border"] for each in found)
    assert len(http.get(scans_of(tenant)).json()["scans"]) == 3


def test_the_lines_that_mend_what_was_rejected(api: Service, tenant: str, scan: str, tmp_path: Path) -> None:
    (example,) = [example for example in EXAMPLES if example.page.name == "http-api.md"]
    shell = Shell(tmp_path, {"API": api.base_url, "SCAN": scan})
    take, send = (command.replace("/tenants/acme/", f"/tenants/{tenant}/") for command in example.commands)
    to_file = take.replace(" > errors.ndjson", " -o errors.ndjson")  # so that the status can be seen
    assert to_file != take and shell.run(to_file)[0] == 200
    errors = tmp_path / "errors.ndjson"
    errors.write_bytes(re.sub(rb'"purpose": ?""', b'"purpose":"x"', errors.read_bytes()))
    status, body = shell.run(send)
    assert (status, json.loads(body)["status"], json.loads(body)["records_rejected"]) == (200, "completed", 0)
