"""Rows of `scans` inside the transaction: opened or locked, and written back."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from schemas.status import Scan

Key = tuple[str, str]  # (tenant_id, scan_id)

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

# Whoever wrote last may have died before it could tell, however long ago that was: what changed shortly before the
# partition's last change counts as recent.
_MARGIN: Final = dt.timedelta(minutes=1)
_CHANGED_WITHIN: Final = f"""
SELECT {_SELECT} FROM scans
WHERE kafka_partition = %(partition)s
  AND (updated_at >= least(clock_timestamp() - %(within)s,
                           (SELECT max(updated_at) FROM scans WHERE kafka_partition = %(partition)s) - %(margin)s)
       OR status IN ('queued', 'processing', 'failed'))
"""


def lock(cursor: Any, partition: int, keys: Iterable[Key]) -> dict[Key, Scan]:
    """The scans of these keys, opened where they are new, locked until the transaction ends."""
    ordered = sorted(set(keys))
    if not ordered:
        return {}
    tenants, scans = [key[0] for key in ordered], [key[1] for key in ordered]
    cursor.execute(_OPEN, {"tenants": tenants, "scans": scans, "partition": partition})
    return {(row[0], row[1]): Scan(*row) for row in cursor.fetchall()}


def changed_within(cursor: Any, partition: int, within: dt.timedelta) -> list[Scan]:
    """Unfinished scans of the partition and those changed within that time."""
    cursor.execute(_CHANGED_WITHIN, {"partition": partition, "within": within, "margin": _MARGIN})
    return [Scan(*row) for row in cursor.fetchall()]


def to_json(scans: Iterable[Scan]) -> str:
    """Rows for UPDATE."""
    return msgspec.json.encode(list(scans)).decode()
