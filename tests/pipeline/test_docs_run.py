"""The commands of the documents' blocks, run as they stand there, with this test's own values in place of the page's."""

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Final

from infra.processes.services import Service
from infra.settings import PROJECT
from tests.commands import PATIENCE, Commands, Done
from tests.docs_commands import COMMANDS, RUN
from tests.helpers import Database, Publisher, new_scan, wait_for
from tests.servers import Servers
from trials import generator

# Exit code 3, as the pages say: a table that no declaration covers, messages that are unreadable still.
_LEAVES_SOMETHING_OUT: Final = ("map_findings.py", "scanline dlq retry")
_PUBLISHED_BY: Final = ("direct_publisher.py", "scanline publish")
_UNREADABLE: Final = 3
_COMPLETED: Final = "SELECT count(*) FROM scans WHERE tenant_id = %s AND status = 'completed'"
_FIRST_BATCH: Final = """
SELECT details->>'partition' AS partition, details->>'first_offset' AS first, details->>'next_offset' AS "end" FROM audit_log
WHERE tenant_id = %s AND details ? 'first_offset' ORDER BY id LIMIT 1
"""


def _folder(path: Path) -> Path:
    """As the project's is to somebody who types there; what is written does not land in the project."""
    for name in (".venv", "docs", "trials"):
        (path / name).symlink_to(PROJECT / name)
    return path


def _typed(command: str, folder: Path, env: dict[str, str]) -> Done:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def _letters(scanline: Commands, tenant: str) -> list[dict[str, Any]]:
    return list(json.loads(scanline("dlq", "list", "--tenant", tenant, "--json").stdout)["letters"])


def test_every_command_of_a_block_does_what_the_page_says(
    servers: Servers, worker: Service, api: Service, database: Database, tenant: str, tmp_path: Path
) -> None:
    with Publisher(servers.bootstrap) as publisher:
        publisher.scan(tenant, generator.records(30, 1, tenant))
        for _ in range(_UNREADABLE):
            publisher.send(tenant, new_scan(), "records", b"{")
    scans = 1
    scanline = Commands({"SCANLINE_DATA_DIR": str(tmp_path / "data"), "SCANLINE_API_URL": api.base_url, **servers.env})
    env = scanline.env | {"PATH": f"{Path(sys.executable).parent}:{scanline.env['PATH']}"}
    letters = wait_for(lambda: (found := _letters(scanline, tenant)) and len(found) == _UNREADABLE and found, "letters")
    wait_for(lambda: database.value(_COMPLETED, tenant) == scans, "the first scan is stored")
    (batch,) = database.rows(_FIRST_BATCH, tenant)
    given = {
        "bootstrap": servers.bootstrap,
        "tenant": tenant,
        "schema": f"replay_{uuid.uuid4().hex[:8]}",
        "letter": letters[0]["id"],
        "first": f"{batch['partition']}:{batch['first']}",
        "end": f"{batch['partition']}:{batch['end']}",
    }
    folder = _folder(tmp_path)
    for shown, values in RUN.items():
        command = shown.removeprefix("$ ")
        for of_the_page, own in values.items():
            assert of_the_page in command
            command = command.replace(of_the_page, own.format(**given))
        done = _typed(command, folder, env)
        left_out = any(each in command for each in _LEAVES_SOMETHING_OUT) and "--dry-run" not in command
        assert done.returncode == (3 if left_out else 0), (command, done)
        if any(each in command for each in _PUBLISHED_BY):
            scans += 1
            wait_for(lambda: database.value(_COMPLETED, tenant) == scans, command)  # noqa: B023 - it is waited for here
    stored = database.value("SELECT count(*) FROM processing_activities WHERE tenant_id = %s", tenant)
    assert stored > len(generator.sample("education")) + len(generator.sample("crm"))
    assert len((folder / "rows.ndjson").read_bytes().splitlines()) == stored
    assert database.value(f"SELECT count(*) FROM {given['schema']}.processing_activities") == stored
    assert (folder / "part.ndjson").stat().st_size > 0
    assert _letters(scanline, tenant) == []  # dropped


def test_every_query_can_be_asked(database: Database, worker: Service) -> None:
    queries = [each.text.rstrip(";").replace("%", "%%") for each in COMMANDS if each.program == "SELECT"]
    assert len(queries) >= 2
    for query in (each for each in queries if "pg_terminate_backend" not in each):
        database.rows(query)
