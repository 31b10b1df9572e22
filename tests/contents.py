"""What the tables hold, less all that follows from when it was written, and in how many transactions."""

from typing import Any, Final

from tests.helpers import Database

QUERIES: Final = {
    "rows": "SELECT *, NULL AS stored_at FROM processing_activities ORDER BY tenant_id, scan_id, activity_key",
    "rejects": "SELECT *, NULL AS id, NULL AS rejected_at FROM rejected_records"
    " ORDER BY kafka_partition, kafka_offset, record_index, activity_key, original",
    "scans": "SELECT *, NULL AS submitted_at, NULL AS started_at, NULL AS finished_at, NULL AS updated_at,"
    " NULL AS version FROM scans ORDER BY tenant_id, scan_id",
    "asked": "SELECT scan_id, submitted_at FROM scans WHERE source IS NOT NULL ORDER BY 1",
    "arrays": "SELECT * FROM scan_messages ORDER BY tenant_id, scan_id, first_index",
    "audit": "SELECT tenant_id, scan_id, sum((details->>'stored')::int) AS stored,"
    " sum((details->>'rejected')::int) AS rejected, sum((details->>'duplicate')::int) AS duplicate"
    " FROM audit_log WHERE action = 'records_written' GROUP BY 1, 2 ORDER BY 1, 2",
    "offsets": "SELECT partition, next_offset FROM stream_offsets WHERE next_offset > 0 ORDER BY 1",
}
OF_SCANS: Final = ("rows", "rejects", "scans", "arrays", "audit")


def contents(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Of all tables."""
    return {name: database.rows(query) for name, query in QUERIES.items()}


def contents_of(database: Database, *tenants: str) -> dict[str, list[dict[str, Any]]]:
    """Of the tables that speak of scans, for these tenants."""
    return {name: [row for row in database.rows(QUERIES[name]) if row["tenant_id"] in tenants] for name in OF_SCANS}
