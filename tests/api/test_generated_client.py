"""A client that openapi-python-client generates from the running API's /openapi.json does what the calls are for."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from infra.bootstrap import CLIENT_PYTHON
from infra.processes.services import Service
from tests.helpers import Database, StatusTopic, assert_accounted, assert_told, changed
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLES: Final = ROOT / "docs" / "examples"


def run(*command: object, cwd: Path) -> str:
    """What the command printed, once it has ended well."""
    env = {**os.environ, "PYTHONPATH": str(cwd)}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def python() -> Path:
    """Of the environment that has the generator."""
    subprocess.run([sys.executable, ROOT / "infra" / "bootstrap.py", "client"], check=True)
    return CLIENT_PYTHON


@pytest.fixture(scope="module")
def folder(python: Path, api: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the generated package is."""
    made = tmp_path_factory.mktemp("generated")
    said = run(
        python.with_name("openapi-python-client"), "generate", "--url", f"{api.base_url}/openapi.json", "--meta", "none",
        "--config", EXAMPLES / "openapi-client.yml", "--output-path", "scanline_client", "--fail-on-warning",
        cwd=made,
    )  # fmt: skip
    assert "WARNING" not in said, said
    return made


def test_the_document_is_valid(python: Path, http: httpx.Client, tmp_path: Path) -> None:
    document: dict[str, Any] = http.get("/openapi.json").json()
    (tmp_path / "right.json").write_text(json.dumps(document))
    assert run(python, "-m", "openapi_spec_validator", "right.json", cwd=tmp_path).strip().endswith("OK")
    del document["paths"]["/v1/tenants/{tenant_id}/scans"]["post"]["responses"]
    document["info"].pop("title")
    (tmp_path / "wrong.json").write_text(json.dumps(document))
    with pytest.raises(AssertionError, match="title"):  # the check does check
        run(python, "-m", "openapi_spec_validator", "wrong.json", cwd=tmp_path)


def test_every_call_is_generated_under_its_operation_id(folder: Path, http: httpx.Client) -> None:
    calls = [call for path in http.get("/openapi.json").json()["paths"].values() for call in path.values()]
    modules = {re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", call["operationId"]) for call in calls}
    generated = {path.stem for path in (folder / "scanline_client" / "api" / "default").glob("[a-z]*.py")}
    assert generated == modules


def test_it_submits_follows_and_corrects_a_scan(
    folder: Path, python: Path, api: Service, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    sound = [changed(line, confidence=0.5) for line in generator.records(250, 1, tenant)]
    in_per_cent = range(0, 250, 2)  # more than a page of rejected records
    lines = [changed(line, confidence=50) if at in in_per_cent else line for at, line in enumerate(sound)]
    (folder / "records.ndjson").write_bytes(b"\n".join(lines))
    said = run(python, EXAMPLES / "generated_client.py", api.base_url, tenant, "records.ndjson", cwd=folder)
    *told, last = said.splitlines()
    assert "completed_with_errors: 125 stored, 125 rejected" in told
    status = json.loads(last)
    assert (status["status"], status["records_stored"], status["records_rejected"]) == ("completed", 250, 0)
    stored = database.activities(tenant, status["scan_id"])
    assert {row["activity_key"] for row in stored} == {json.loads(line)["activity_key"] for line in lines}
    assert {row["confidence"] for row in stored} == {0.5}
    assert {row["record_index"] for row in stored} == set(range(250))
    assert_accounted(database, tenant, status["scan_id"])
    assert_told(database, statuses, [tenant])
