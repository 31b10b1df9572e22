"""The database is lost, with everything in it: one command brings the tables back from the topic, and life goes on."""

import json
import shutil
from pathlib import Path

import httpx
import pytest
from psycopg2.extensions import parse_dsn

from infra.processes.services import Service
from infra.stack import Stack
from tests.commands import Commands
from tests.contents import contents
from tests.helpers import Database, Publisher, StatusTopic, assert_accounted, assert_told, changed, wait_for
from tests.load import LONG
from tests.mixed_scans import mixed_scans
from trials import generator


def lose_database(stack: Stack) -> str:
    """Its folder is gone; an empty server stands in its place. Returns its superuser's URL."""
    stack.postgres.kill()
    shutil.rmtree(stack.data_dir / "postgres" / "cluster")
    stack.postgres.start()
    stack.postgres.wait_until_ready()
    admin = parse_dsn(stack.postgres.superuser_dsn("postgres"))
    return f"postgresql+psycopg2://postgres:{admin['password']}@127.0.0.1:{stack.postgres.port}/postgres"


def post(api: Service, tenant: str, lines: list[bytes]) -> str:
    with httpx.Client(base_url=api.base_url, timeout=LONG) as http:
        headers = {"Content-Type": "application/json", "Prefer": "wait=10"}
        answer = http.post(f"/v1/tenants/{tenant}/scans", content=generator.body(lines), headers=headers)
        assert answer.status_code in (200, 202), answer.text
        return str(answer.json()["scan_id"])


@pytest.mark.long
def test_the_tables_come_back_from_the_topic(stack: Stack, tmp_path: Path) -> None:
    api, worker = stack.start_api(), stack.start_worker()
    urls = dict(stack.env)  # those of before: a rebuild gives the new server's roles the passwords that everybody knows
    lines = generator.records(300, 5)
    with Database(stack.postgres.superuser_dsn()) as database:
        scans = [("over-http", post(api, "over-http", [*lines, changed(lines[0], activity_key="x", purpose="")]))]
        for tenant in ("direct-a", "direct-b"):
            scans += [(tenant, scan) for scan in mixed_scans(stack.kafka.bootstrap, database, tenant)]
        for scan in scans:
            database.finished(*scan, LONG)
        before = contents(database)
        assert len(before["rows"]) == 300 + 2 * 101 and len(before["asked"]) == 1

    admin = lose_database(stack)
    scanline = Commands({**urls, "SCANLINE_POSTGRES_ADMIN_URL": admin, "SCANLINE_DATA_DIR": str(tmp_path / "command")})
    done = scanline("rebuild", "--json")
    assert done.returncode == 0, (done.stdout, done.stderr)
    report = json.loads(done.stdout)
    assert (report["compared"], report["equal"], report["differences"], report["cut"]) == (7, 7, [], {})

    with Database(stack.postgres.superuser_dsn()) as database, StatusTopic(stack.kafka.bootstrap) as statuses:
        after = contents(database)
        for name, rows in before.items():
            assert after[name] == rows, name
        again = scanline("rebuild", "--json")
        assert again.returncode == 1 and "--continue" in again.stderr

        assert worker.returncode is None  # it went on by itself, and takes what comes
        scans.append(("over-http", post(api, "over-http", generator.records(200, 6))))
        with Publisher(stack.kafka.bootstrap) as publisher:
            scans.append(("direct-a", publisher.scan("direct-a", generator.records(200, 7), at_once=50)))
        for scan in scans[-2:]:
            assert database.finished(*scan, LONG)["records_stored"] == 200
            assert len(database.keys(*scan)) == 200
        for scan in scans:
            assert_accounted(database, *scan)
        assert_told(database, statuses, {tenant for tenant, _ in scans}, 90)

        retention_takes_the_head(stack, database, scanline)


def retention_takes_the_head(stack: Stack, database: Database, scanline: Commands) -> None:
    """Lost again, when the topic no longer holds everything: what is left comes back, what is not is told loudly."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    place = database.rows(
        "SELECT m.kafka_partition AS p, min(m.kafka_offset) AS o FROM scan_messages AS m JOIN scans USING (tenant_id, scan_id)"
        " WHERE records_stored = 200 AND m.tenant_id = 'direct-a' GROUP BY 1"
    )[0]
    admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap})
    cut = TopicPartition("scan.records.v1", place["p"], place["o"])
    assert admin.delete_records([cut])[cut].result(30).low_watermark == place["o"]
    kept = contents(database)
    database.close()
    scanline.env["SCANLINE_POSTGRES_ADMIN_URL"] = lose_database(stack)
    done = scanline("rebuild", "--json")
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert json.loads(done.stdout)["cut"] == {str(place["p"]): place["o"]}
    assert f"{place['p']}:{place['o']}" in done.stderr
    with Database(stack.postgres.superuser_dsn()) as fresh:
        after = contents(fresh)
        gone = {row["scan_id"] for row in kept["scans"]} - {row["scan_id"] for row in after["scans"]}
        assert gone
        wait_for(lambda: contents(fresh)["offsets"] == kept["offsets"], "the lanes stand where they stood")
        assert after["rows"] == [row for row in kept["rows"] if row["scan_id"] not in gone]
