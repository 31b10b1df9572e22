"""Of two records with one activity_key in a scan, the first is kept: also where the second is short enough to find room on an
earlier page of the staging table."""

import json
import random
from typing import Any

import pytest

from tests.helpers import Database, Publisher, StatusTopic, assert_accounted, assert_told
from tests.servers import Servers

pytestmark = pytest.mark.usefixtures("worker")
_PAIRS = 400
_APART = 5  # records between the two
_SCANS = 6


def _record(key: str, name: str, size: int) -> dict[str, Any]:
    return {
        "activity_key": key,
        "name": name,
        "source_system": "crm",
        "asset": "crm.public.khach_hang",
        "data_fields": [f"cot_{at:03}" for at in range(size)],
        "data_categories": ["basic_name"],
        "data_subjects": ["customer"],
        "purpose": "Chăm sóc khách hàng",
        "legal_basis": "consent",
        "storage_country": "VN",
        "discovered_at": "2026-11-20T10:00:00+07:00",
    }


def test_the_first_of_two_equal_keys_is_kept(
    servers: Servers, database: Database, statuses: StatusTopic, tenant: str
) -> None:
    rng = random.Random(1)
    with Publisher(servers.bootstrap) as publisher:
        for number in range(
            _SCANS
        ):  # one after the other: only a staging table that was used before has room to look for
            lines = _lines(rng, number)
            scan = publisher.scan(tenant, lines)
            row = database.finished(tenant, scan)
            assert (row["records_stored"], row["records_duplicate"]) == (_PAIRS, _PAIRS - _APART)
            assert {activity["name"] for activity in database.activities(tenant, scan)} == {"first"}
            assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])


def _lines(rng: random.Random, number: int) -> list[bytes]:
    records = []
    for pair in range(_PAIRS):
        records.append(_record(f"{number}/{pair}", "first", rng.randint(20, 180)))
        if pair >= _APART:
            records.append(_record(f"{number}/{pair - _APART}", "second", 0))
    return [json.dumps(record, ensure_ascii=False).encode() for record in records]
