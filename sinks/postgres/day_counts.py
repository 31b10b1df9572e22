"""Records of each tenant by day and category, counted in the transaction that stores them: what is shown is what is there."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from schemas.tables import ALL_CATEGORIES
from sinks.effects import Key, Stored
from sinks.postgres.calls import TimedCursor

# The day is that of now(), which is what stored_at gets. Sorted, so that two pipelines over the same tables wait in one order.
_ADD: Final = """
INSERT INTO tenant_day_counts AS counts (tenant_id, day, category, kafka_partition, stored, sensitive, cross_border)
SELECT tenant_id, (now() AT TIME ZONE 'Asia/Ho_Chi_Minh')::date, category, %(partition)s, stored, sensitive, cross_border
FROM json_populate_recordset(NULL::tenant_day_counts, %(rows)s::json) ORDER BY tenant_id, category
ON CONFLICT (tenant_id, day, category, kafka_partition) DO UPDATE SET
    stored = counts.stored + excluded.stored, sensitive = counts.sensitive + excluded.sensitive,
    cross_border = counts.cross_border + excluded.cross_border
"""


def add_day_counts(cursor: TimedCursor, partition: int, gained: Mapping[Key, Stored]) -> None:
    """Adds what each scan gained to its tenant's counts of the day."""
    rows = [
        {"tenant_id": tenant_id, "category": category, "stored": stored, "sensitive": sensitive, "cross_border": abroad}
        for (tenant_id, category), (stored, sensitive, abroad) in _sums(gained).items()
    ]
    if rows:
        for part in cursor.parts.cut_json(rows):
            cursor.execute(_ADD, {"partition": partition, "rows": part})


def _sums(gained: Mapping[Key, Stored]) -> dict[tuple[str, str], list[int]]:
    """Stored, sensitive and cross-border records by tenant and category. A record counts once in each of its categories."""
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for (tenant_id, _), stored in gained.items():
        for (categories, sensitive, cross_border), count in stored.items():
            for category in {ALL_CATEGORIES, *categories.split(",")}:
                sum_ = sums[tenant_id, category]
                sum_[0] += count
                sum_[1] += count if sensitive else 0
                sum_[2] += count if cross_border else 0
    return sums
