"""Two mistakes that sinks of other systems made: columns taken from a batch's first record, and its last record left out."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.helpers import Database, Publisher, new_scan
from tests.servers import Servers
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
FULL: Mapping[str, Any] = {
    "data_fields": ["email"],
    "controller_role": "processor",
    "recipients": ["Công ty A"],
    "provider_country": "SG",
    "retention_days": 30,
    "subject_count": 7,
    "confidence": 0.5,
}


def bare_and_full(count: int, tenant: str) -> list[bytes]:
    """The first has nothing that it may leave out; every third has all of it."""
    made = []
    for number, line in enumerate(generator.records(count, 71, tenant)):
        record = {name: value for name, value in json.loads(line).items() if name not in FULL}
        made.append(json.dumps(record | (FULL if number % 3 == 2 else {}), ensure_ascii=False).encode())
    return made


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_every_record_has_its_own_fields(at_once: int, servers: Servers, database: Database, tenant: str) -> None:
    """Quix Streams' PostgreSQL sink took a batch's columns from its first row; timescaledb #1103 lost each batch's last."""
    lines = bare_and_full(99, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        if at_once == 1:
            publisher.singles(tenant, scan, lines)
        else:
            publisher.records(tenant, scan, lines, at_once=at_once)
        publisher.closed(tenant, scan, len(lines))
    assert database.finished(tenant, scan)["records_stored"] == 99
    stored = {row["activity_key"]: row for row in database.activities(tenant, scan)}
    sent = [json.loads(line) for line in lines]
    assert set(stored) == {record["activity_key"] for record in sent}
    for record in sent:
        row = stored[record["activity_key"]]
        for name in FULL:
            empty: Any = [] if name in ("data_fields", "recipients") else None
            wanted = record.get(name, empty)
            found = row[name]
            assert (float(found) if name == "confidence" and found is not None else found) == wanted, name
