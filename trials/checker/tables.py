"""Reads what PostgreSQL holds of some tenants, as superuser with plain SQL."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg2
import psycopg2.extras

from trials.checker.history import Scan, digest
from trials.checker.model import Refusal, content_of

_FETCH: Final = 5_000
_OURS: Final = "WHERE tenant_id = ANY(%s)"
_SCAN_COLUMNS: Final = (
    "status, source, records_total, closed, cancel_reason, records_stored, records_rejected, records_duplicate,"
    " records_sensitive, records_cross_border, messages_unreadable, errors_sample, version, request_digest"
)


@dataclass
class Held:
    """Everything about one scan; `row` None where `scans` does not know it."""

    row: dict[str, Any] | None = None
    stored: dict[str, tuple[str, int | None]] = field(default_factory=dict)  # activity_key -> content, index
    sensitive: int = 0
    cross_border: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)
    originals: list[tuple[Refusal, str]] = field(default_factory=list)
    ledger: dict[int, tuple[int, int]] = field(default_factory=dict)
    written: Counter[str] = field(default_factory=Counter)  # by the audit log
    spans: list[tuple[int, int, int]] = field(default_factory=list)  # partition, offsets [start, end) of the audit log


def _as_sent(original: bytes) -> bytes:
    """A line of NDJSON that is no JSON is kept as its text."""
    return json.loads(original).encode() if original.startswith(b'"') else original


# What `tenant_day_counts` says and the rows do not add up to. Takes the tenants, twice.
DAY_COUNTS_WRONG: Final = """
WITH rows AS (
    SELECT tenant_id, (stored_at AT TIME ZONE 'Asia/Ho_Chi_Minh')::date AS day, data_categories, sensitive, cross_border
    FROM processing_activities WHERE tenant_id = ANY(%s)
), there AS (
    SELECT tenant_id, day, category, count(*) AS stored, count(*) FILTER (WHERE sensitive) AS sensitive,
           count(*) FILTER (WHERE cross_border) AS cross_border
    FROM rows, LATERAL (SELECT 'all' UNION SELECT unnest(data_categories)) AS one (category) GROUP BY 1, 2, 3
), counted AS (
    SELECT tenant_id, day, category, sum(stored) AS stored, sum(sensitive) AS sensitive, sum(cross_border) AS cross_border
    FROM tenant_day_counts WHERE tenant_id = ANY(%s) GROUP BY 1, 2, 3
)
SELECT tenant_id, day::text || ' ' || category || ': ' || coalesce(counted.stored, 0) || ' counted, '
    || coalesce(there.stored, 0) || ' there' AS text
FROM there FULL JOIN counted USING (tenant_id, day, category)
WHERE (there.stored, there.sensitive, there.cross_border)
    IS DISTINCT FROM (counted.stored, counted.sensitive, counted.cross_border)
ORDER BY 1, 2
"""


class Tables:
    """A context manager around a connection."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg2.connect(dsn, options="-c timezone=UTC", connect_timeout=10)
        self._connection.set_session(readonly=True, isolation_level="REPEATABLE READ")

    def held(self, tenants: Sequence[str]) -> dict[Scan, Held]:
        """What the tables hold by scan, at one moment."""
        found: dict[Scan, Held] = defaultdict(Held)
        ours = [list(tenants)]
        for row in self._rows(f"SELECT tenant_id, scan_id::text, {_SCAN_COLUMNS} FROM scans {_OURS}", ours):
            found[row.pop("tenant_id"), row.pop("scan_id")].row = row
        for row in self._rows(f"SELECT *, scan_id::text AS scan FROM processing_activities {_OURS}", ours):
            held = found[row["tenant_id"], row["scan"]]
            held.stored[row["activity_key"]] = (content_of(row), row["record_index"])
            held.sensitive += row["sensitive"]
            held.cross_border += row["cross_border"]
        for row in self._rows(f"SELECT *, scan_id::text AS scan FROM rejected_records {_OURS}", ours):
            held = found[row["tenant_id"], row["scan"]]
            refusal = (row["record_index"], row["code"], row["pointer"], row["activity_key"])
            held.refused[refusal] += 1
            held.originals.append((refusal, digest(_as_sent(bytes(row["original"])))))
        for row in self._rows(f"SELECT *, scan_id::text AS scan FROM scan_messages {_OURS}", ours):
            found[row["tenant_id"], row["scan"]].ledger[row["first_index"]] = (row["records"], row["kafka_offset"])
        self._read_audit(found, ours)
        self._connection.rollback()
        return found

    def _read_audit(self, found: dict[Scan, Held], ours: list[Any]) -> None:
        query = (
            f"SELECT tenant_id, scan_id::text AS scan, details FROM audit_log {_OURS} AND action = 'records_written'"
        )
        for row in self._rows(query, ours):
            held, details = found[row["tenant_id"], row["scan"]], row["details"]
            held.written.update({name: details[name] for name in ("stored", "rejected", "duplicate")})
            held.spans.append((details["partition"], details["first_offset"], details["next_offset"]))

    def elsewhere(self, tenants: Sequence[str], scans: Sequence[str], mark: str) -> list[tuple[str, str, str]]:
        """(tenant, scan, activity_key) of rows that have one of these scans, or the mark before their key, and another
        tenant."""
        query = """
        SELECT tenant_id, scan_id::text AS scan, activity_key FROM processing_activities
        WHERE tenant_id <> ALL(%s) AND (scan_id = ANY(%s::uuid[]) OR starts_with(activity_key, %s))"""
        rows = self._rows(query, [list(tenants), list(scans), mark])
        found = [(row["tenant_id"], row["scan"], row["activity_key"]) for row in rows]
        self._connection.rollback()
        return found

    def day_counts_wrong(self, tenants: Sequence[str]) -> list[tuple[str, str]]:
        """(tenant, what differs) where `tenant_day_counts` is not what the rows add up to."""
        found = [(row["tenant_id"], row["text"]) for row in self._rows(DAY_COUNTS_WRONG, [list(tenants)] * 2)]
        self._connection.rollback()
        return found

    def next_offsets(self, topic: str, pipeline: str) -> dict[int, int]:
        """The stored offsets, by partition."""
        query = "SELECT partition, next_offset FROM stream_offsets WHERE topic = %s AND pipeline = %s"
        found = {row["partition"]: row["next_offset"] for row in self._rows(query, [topic, pipeline])}
        self._connection.rollback()
        return found

    def scans(self, tenants: Sequence[str]) -> dict[Scan, dict[str, Any]]:
        """The rows of `scans`."""
        query = f"SELECT tenant_id, scan_id::text AS scan, {_SCAN_COLUMNS} FROM scans {_OURS}"
        found = {(row.pop("tenant_id"), row.pop("scan")): row for row in self._rows(query, [list(tenants)])}
        self._connection.rollback()
        return found

    def _rows(self, query: str, parameters: list[Any]) -> Iterator[dict[str, Any]]:
        with self._connection.cursor("rows", cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.itersize = _FETCH
            cursor.execute(query, parameters)
            for row in cursor:
                yield dict(row)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Tables":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
