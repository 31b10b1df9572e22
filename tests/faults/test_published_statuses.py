"""After one of them was restored, topic and PostgreSQL say different things of scans: one command finds what differs, and makes
the topic say what PostgreSQL says."""

import json
from pathlib import Path
from typing import Any

import httpx

from infra.stack import Stack
from tests.commands import Commands
from tests.helpers import STATUS, Database, Publisher, StatusTopic, assert_told, wait_for
from tests.load import LONG
from tests.submissions import JSON, scans_of, submit
from trials import generator

TENANT = "restored"


def published(stack: Stack, scan: str, status: dict[str, Any] | None) -> None:
    """As if the topic had been left with this."""
    with Publisher(stack.kafka.bootstrap) as publisher:
        value = None if status is None else json.dumps(status).encode()
        publisher.producer.produce(STATUS, value, f"{TENANT}/{scan}".encode())


def test_what_differs_is_found_and_published(stack: Stack, tmp_path: Path) -> None:
    scanline = Commands({**stack.env, "SCANLINE_DATA_DIR": str(tmp_path / "command")})
    api, worker = stack.start_api(), stack.start_worker()
    with (
        Database(stack.postgres.superuser_dsn()) as database,
        StatusTopic(stack.kafka.bootstrap) as statuses,
        httpx.Client(base_url=api.base_url, timeout=60) as http,
    ):
        body = generator.body(generator.records(5, 4, TENANT))
        lost = submit(http, TENANT, body, JSON, idempotency_key="k").json()["scan_id"]
        with Publisher(stack.kafka.bootstrap) as publisher:
            same, unknown, older = (publisher.scan(TENANT, generator.records(5, seed, TENANT)) for seed in range(1, 4))
        for scan in (same, unknown, older, lost):
            database.finished(TENANT, scan, LONG)
        assert_told(database, statuses, [TENANT])
        assert json.loads(scanline("statuses", "--older-than", "0", "--json").stdout) == []
        assert worker.stop(60) == 0
        status = statuses.read()[f"{TENANT}/{older}"]
        published(stack, unknown, None)
        published(
            stack, older, {**status, "status": "processing", "records_stored": 3, "version": status["version"] - 1}
        )
        for table in ("processing_activities", "scan_messages", "scans"):  # as in a backup of before
            database.rows(f"DELETE FROM {table} WHERE tenant_id = %s AND scan_id = %s", TENANT, lost)

        expected = [(older, "processing", "completed"), (unknown, None, "completed"), (lost, "completed", None)]
        for publish in ((), ("--publish",)):
            done = scanline("statuses", "--older-than", "0", "--json", *publish)
            assert done.returncode == (0 if publish else 1), done.stderr
            found = [(each["scan_id"], each["published"], each["stored"]) for each in json.loads(done.stdout)]
            assert sorted(found) == sorted(expected)
        assert json.loads(scanline("statuses", "--older-than", "0", "--json").stdout) == []
        assert json.loads(scanline("statuses", "--json").stdout) == []
        told = {key.partition("/")[2]: each["status"] for key, each in statuses.read().items()}
        assert told == dict.fromkeys((same, unknown, older), "completed")

        wait_for(lambda: http.get(f"{scans_of(TENANT)}/{lost}").status_code == 404, "the API has forgotten it")
        again = submit(http, TENANT, body, JSON, idempotency_key="k")
        assert again.status_code == 202 and "idempotency-replayed" not in again.headers
        stack.start_worker()
        assert database.finished(TENANT, again.json()["scan_id"], LONG)["status"] == "completed"
