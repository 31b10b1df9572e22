"""Rows of `scans` inside the transaction: opened or locked, and written back."""

import datetime as dt
from collections.abc import Iterable
from typing import Final

import msgspec

from schemas.status import Scan
from sinks.effects import Key
from sinks.postgres.calls import TimedCursor

FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(Scan))
_SELECT: Final = ", ".join("scan_id::text" if name == "scan_id" else name for name in FIELDS)
_CHANGED: Final = [name for name in FIELDS if name not in ("tenant_id", "scan_id")]

# Sorted by key, so that two lanes that touch the same scans (a publisher with another partitioner) cannot deadlock.
# The column list names every NOT NULL column: a new scan starts with Scan's own defaults.
_OPEN: Final = f"""
INSERT INTO scans (tenant_id, scan_id, status, language, closed, records_stored, records_rejected, records_duplicate,
                   records_sensitive, records_cross_border, messages_unreadable, errors_sample, version, kafka_partition)
SELECT t, s, 'queued', 'vi', false, 0, 0, 0, 0, 0, 0, '[]', 0, %(partition)s
FROM unnest(%(tenants)s::text[], %(scans)s::uuid[]) AS k (t, s)
ON CONFLICT DO NOTHING;
SELECT {_SELECT} FROM scans
WHERE (tenant_id, scan_id) IN (SELECT * FROM unnest(%(tenants)s::text[], %(scans)s::uuid[]))
ORDER BY tenant_id, scan_id FOR UPDATE
"""

UPDATE: Final = """
UPDATE scans AS s SET {assignments}, kafka_partition = %(partition)s, updated_at = clock_timestamp()
FROM json_populate_recordset(NULL::scans, %(scan_rows)s::json) AS v
WHERE s.tenant_id = v.tenant_id AND s.scan_id = v.scan_id
""".format(assignments=", ".join(f"{name} = v.{name}" for name in _CHANGED))

# Whoever wrote last may have died before it could publish, however long ago that was: what changed shortly before the
# partition's last change counts as recent.
_MARGIN: Final = dt.timedelta(minutes=1)
_CHANGED_WITHIN: Final = f"""
DECLARE changed NO SCROLL CURSOR FOR
SELECT {_SELECT} FROM scans
WHERE kafka_partition = %(partition)s
  AND (updated_at >= least(clock_timestamp() - %(within)s,
                           (SELECT max(updated_at) FROM scans WHERE kafka_partition = %(partition)s) - %(margin)s)
       OR status IN ('queued', 'processing', 'failed'));
FETCH FORWARD {{count}} FROM changed
"""
_MORE: Final = "FETCH FORWARD {count} FROM changed"
# One with twenty errors in its sample. Scans mostly have none, and the page is bounded all the same.
_SCAN_BYTES: Final = 8 * 1024
_PAGE: Final = 200


def lock(cursor: TimedCursor, partition: int, keys: Iterable[Key]) -> dict[Key, Scan]:
    """The scans of these keys, opened where they are new, locked until the transaction ends."""
    locked: dict[Key, Scan] = {}
    for part in cursor.parts.cut(sorted(set(keys)), lambda _: _SCAN_BYTES):
        tenants, scans = [key[0] for key in part], [key[1] for key in part]
        cursor.execute(
            _OPEN,
            {"tenants": tenants, "scans": scans, "partition": partition},
            answer_bytes=(len(part) - 1) * _SCAN_BYTES,  # where one alone takes long, it is its lock that is waited for
        )
        locked.update({(row[0], row[1]): Scan(*row) for row in cursor.fetchall()})
    return locked


def changed_within(cursor: TimedCursor, partition: int, within: dt.timedelta) -> list[Scan]:
    """Unfinished scans of the partition and those changed within that time, as of one moment. Page by page, so that a
    slow link brings them however many they are."""
    found: list[Scan] = []
    ask, statement = cursor.begin, _CHANGED_WITHIN
    while True:
        count = cursor.parts.count_of(_SCAN_BYTES, _PAGE)
        ask(
            statement.format(count=count),
            {"partition": partition, "within": within, "margin": _MARGIN},
            answer_bytes=count * _SCAN_BYTES,
        )
        page = cursor.fetchall()
        found += [Scan(*row) for row in page]
        if len(page) < count:
            cursor.execute("COMMIT")
            return found
        ask, statement = cursor.execute, _MORE
