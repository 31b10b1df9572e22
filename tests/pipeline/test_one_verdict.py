"""One verdict on a value, wherever it is looked at: by `:validate`, by the worker, by PostgreSQL and by a replay."""

import datetime as dt
import json
from typing import Any, Final

import httpx
import pytest

from infra.processes.services import Service
from tests.boundaries import Boundary, boundaries
from tests.commands import Commands
from tests.fuzz.values import ALL
from tests.helpers import Database, Publisher, StatusTopic, assert_accounted, assert_told, new_scan
from tests.servers import Servers
from tests.submissions import NDJSON, accepted, submit
from tests.unit.examples import FULL, changed, encode

KEY: Final = "/activity_key"
_HERE: Final = "@here@"
_AT_ONCE: Final = 900  # records that `:validate` is asked about: it shows a thousand errors
Errors = list[tuple[str, str]]


@pytest.fixture
def scanline(servers: Servers, worker: Service) -> Commands:
    return Commands(servers.env)


def line(path: str, value: Any, key: str) -> bytes:
    """The full record with the value, a Python one or bytes of JSON, at the path."""
    base = FULL | {"activity_key": key}
    if not isinstance(value, bytes):
        return encode(changed(path, value, base))
    return encode(changed(path, _HERE, base)).replace(f'"{_HERE}"'.encode(), value)


def cases() -> list[tuple[Boundary, bytes]]:
    found = [(each, line(each.path, each.value, f"case/{number:04}")) for number, each in enumerate(boundaries())]
    return [(each, raw) for each, raw in found if b"\n" not in raw]


def validated(http: httpx.Client, tenant: str, lines: list[bytes]) -> dict[int, Errors]:
    """What `:validate` says, by index; of those that it shows."""
    found: dict[int, Errors] = {}
    for first in range(0, len(lines), _AT_ONCE):
        # behind one that is right: a body that begins with nothing but broken lines is refused as a whole
        part = [encode(FULL), *lines[first : first + _AT_ONCE]]
        answer = http.post(f"/v1/tenants/{tenant}/scans:validate", content=b"\n".join(part), headers=NDJSON)
        assert answer.status_code == 200, answer.text
        report = answer.json()
        assert report["records_total"] == len(part) and not report["errors_truncated"]
        for each in report["errors"]:
            found[first + each["index"] - 1] = [(error["code"], error["pointer"]) for error in each["errors"]]
    return found


def refused(database: Database, tenant: str, scan: str) -> dict[int, Errors]:
    """What the worker and PostgreSQL have refused, by index."""
    return {
        each["record_index"]: [(error["code"], error.get("pointer", "")) for error in each["errors"]]
        for each in database.rejected(tenant, scan)
    }


def assert_replayed(scanline: Commands, database: Database, tenant: str) -> None:
    """A replay gives as many rows as are stored, and finds no difference in any of them."""
    done = scanline("replay", "--tenant", tenant, "--verify", "--json")
    found = json.loads(done.stdout)
    assert found["differences"] == [] and done.returncode == 0, found
    stored = database.value("SELECT count(*) FROM processing_activities WHERE tenant_id = %s", tenant)
    assert found["rows_compared"] == stored
    rows = scanline("replay", "--tenant", tenant, "--to-ndjson").stdout.split("\n")[:-1]
    assert len(rows) == stored and all(json.loads(row)["tenant_id"] == tenant for row in rows)


def assert_stored(database: Database, tenant: str, scan: str, wanted: dict[int, Boundary]) -> None:
    """Every accepted value is in its column as it was meant."""
    stored = {each["record_index"]: each for each in database.activities(tenant, scan)}
    assert set(stored) == set(wanted)
    for index, boundary in wanted.items():
        _, column, *inner = boundary.path.split("/")
        found = stored[index][column]
        if inner and found is not None:
            found = found.get(inner[0])
        assert found == boundary.kept, boundary


def test_at_the_limits_of_every_field(
    http: httpx.Client, scanline: Commands, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    looked_at = cases()
    lines = [raw for _, raw in looked_at]
    expected = {index: each.errors for index, (each, _) in enumerate(looked_at) if each.errors}
    assert validated(http, tenant, lines) == expected
    scan = accepted(submit(http, tenant, b"\n".join(lines), NDJSON))["scan_id"]
    row = database.finished(tenant, scan)
    assert (row["records_rejected"], row["records_duplicate"]) == (len(expected), 0)
    assert refused(database, tenant, scan) == expected
    assert_stored(database, tenant, scan, {at: each for at, (each, _) in enumerate(looked_at) if not each.errors})
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])
    assert_replayed(scanline, database, tenant)


def test_at_the_limits_each_in_a_message_of_its_own(
    servers: Servers, scanline: Commands, database: Database, tenant: str
) -> None:
    """Alone, what is right goes the fast way where it can."""
    looked_at, scan = cases(), new_scan()
    with Publisher(servers.bootstrap) as publisher:
        for index, (_, raw) in enumerate(looked_at):
            publisher.send(tenant, scan, "records", raw, first=index)
        publisher.closed(tenant, scan, len(looked_at))
    database.finished(tenant, scan)
    assert refused(database, tenant, scan) == {at: each.errors for at, (each, _) in enumerate(looked_at) if each.errors}
    assert_stored(database, tenant, scan, {at: each for at, (each, _) in enumerate(looked_at) if not each.errors})
    assert_replayed(scanline, database, tenant)


@pytest.mark.long
def test_any_value_in_any_field(
    http: httpx.Client, scanline: Commands, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    """Every class of JSON value, and broken bytes: nothing stops the scan, and all parts say the same of it."""
    paths = [
        *(f"/{name}" for name in FULL),
        *(f"/transfer/{name}" for name in FULL["transfer"]),
        "/more",
        "/attributes/more",
    ]
    values = [value for value in ALL if value and b"\n" not in value]
    lines = [line(path, value, f"{path}/{at}") for path in paths if path != KEY for at, value in enumerate(values)]
    lines += [line(KEY, value, "") for value in values]
    told = validated(http, tenant, lines)
    scan = accepted(submit(http, tenant, b"\n".join(lines), NDJSON))["scan_id"]
    row = database.finished(tenant, scan)
    assert row["status"] == "completed_with_errors" and row["messages_unreadable"] == 0
    assert row["records_stored"] + row["records_rejected"] + row["records_duplicate"] == len(lines)
    assert refused(database, tenant, scan) == told
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])
    assert_replayed(scanline, database, tenant)


@pytest.mark.parametrize("offset", ["+15:59", "+16:00", "-23:59"])
def test_a_scan_may_be_opened_with_any_offset(
    servers: Servers, worker: Service, database: Database, tenant: str, offset: str
) -> None:
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.send(tenant, scan, "opened", b'{"submitted_at":"2026-01-20T12:00:00%s"}' % offset.encode())
        publisher.records(tenant, scan, [encode(FULL)])
        publisher.closed(tenant, scan, 1)
    row = database.finished(tenant, scan, seconds=20)
    assert row["status"] == "completed"
    assert row["submitted_at"] == dt.datetime.fromisoformat(f"2026-01-20T12:00:00{offset}")
