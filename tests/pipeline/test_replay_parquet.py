"""Parquet of a replay: DuckDB and pandas read what the live table holds, type by type."""

import datetime as dt
import json
import signal
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from infra.processes.services import Service
from tests.commands import Commands
from tests.helpers import Database, Publisher, changed, wait_for
from tests.servers import Servers
from trials import generator


@pytest.fixture
def scanline(servers: Servers, worker: Service) -> Commands:
    return Commands(servers.env)


def test_duckdb_and_pandas_read_the_live_tables_rows_after_a_kill(
    scanline: Commands, servers: Servers, database: Database, tenant: str, tmp_path: Path
) -> None:
    tenants = [tenant, f"{tenant}-2"]
    with Publisher(servers.bootstrap) as publisher:
        for each in tenants:
            lines = generator.records(1_500, 3, each)
            lines[7] = changed(lines[7], attributes={"note": "dòng 1\ndòng 2", "count": 12345678901234567890})
            scan = publisher.scan(each, [*lines, *lines[:5]], at_once=100)
            wait_for(lambda each=each, scan=scan: publisher.flush() or True, "published")
            database.finished(each, scan)
    target = tmp_path / "rows"
    command = ("replay", "--tenant", tenants[0], "--tenant", tenants[1], "--to-parquet", target, "--json")
    slow = scanline.start(*command, "--rate", "1000")
    wait_for(lambda: (target / "_replay.checkpoint").exists(), "the replay has begun")
    slow.send_signal(signal.SIGKILL)
    slow.communicate()
    done = scanline(*command)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stored"] == 3_000

    days = {
        each: database.value(
            "SELECT (min(submitted_at) AT TIME ZONE 'Asia/Ho_Chi_Minh')::date FROM scans WHERE tenant_id = %s", each
        )
        for each in tenants
    }
    assert sorted(path.name for path in target.iterdir()) == sorted(
        ["_manifest.json", *(f"{each}_{days[each]}.parquet" for each in tenants)]
    )
    live = database.rows(
        "SELECT *, scan_id::text AS scan_id, transfer::text AS transfer, attributes::text AS attributes"
        ' FROM processing_activities WHERE tenant_id = ANY (%s) ORDER BY tenant_id, activity_key COLLATE "C"',
        tenants,
    )
    query = f"SELECT * FROM read_parquet('{target}/*.parquet') ORDER BY tenant_id, activity_key"
    found = duckdb.sql("SET TimeZone = 'UTC'; " + query) or duckdb.sql(query)
    names, rows = found.columns, found.fetchall()
    assert len(rows) == len(live) == 3_000
    for row, wanted in zip((dict(zip(names, row, strict=True)) for row in rows), live, strict=True):
        for name in names:
            if name == "received_on":
                assert row[name] == days[row["tenant_id"]]
            elif name in ("transfer", "attributes"):
                assert (row[name] and json.loads(row[name])) == (wanted[name] and json.loads(wanted[name]))
            else:
                assert row[name] == wanted[name], name

    frame = pd.read_parquet(target / f"{tenant}_{days[tenant]}.parquet")
    assert len(frame) == 1_500
    assert str(frame["discovered_at"].dt.tz) == "UTC"
    assert isinstance(frame["received_on"].iloc[0], dt.date)
    keys = [wanted["activity_key"] for wanted in live if wanted["tenant_id"] == tenant]
    assert sorted(frame["activity_key"]) == keys
    assert [list(fields) for fields in frame.sort_values("activity_key")["data_fields"]] == [
        wanted["data_fields"] for wanted in live if wanted["tenant_id"] == tenant
    ]
