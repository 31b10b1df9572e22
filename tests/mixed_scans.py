"""Scans with everything in them, for what must give the same however it is read."""

from tests.helpers import Database, Publisher, changed, new_scan, wait_for
from trials import generator


def mixed_scans(bootstrap: str, database: Database, tenant: str) -> list[str]:
    """Scans with everything in them: good, rejected, duplicate, sent again, cancelled. All have ended."""
    lines = generator.records(60, 1, tenant)
    bad = [changed(line, legal_basis="because") for line in lines[:3]]
    future = changed(lines[4], activity_key="later", discovered_at="2999-01-01T00:00:00Z")
    odd = changed(lines[5], activity_key="odd", attributes={"b": 1.50, "a": {"x": "é\n\t\\", "y": [1e2, None]}})
    whole, cut, single = new_scan(), new_scan(), new_scan()
    with Publisher(bootstrap) as publisher:
        publisher.records(tenant, whole, lines + bad + [future, odd, lines[7]], at_once=20)
        publisher.records(tenant, whole, (lines + bad + [future, odd, lines[7]])[:40], at_once=20)  # sent again
        publisher.closed(tenant, whole, 66)
        publisher.records(tenant, cut, lines[:10], at_once=10)
        publisher.send(tenant, cut, "cancelled", b'{"reason": "by_request"}')
        publisher.records(tenant, cut, lines[10:20], at_once=10, first=10)
        publisher.singles(tenant, single, [*lines[:30], *lines[:5], *bad])
        publisher.raw(
            tenant.encode(),
            b"{not json",
            [("ce_type", b"vn.scanline.scan.records.v1"), ("ce_subject", single.encode())],
        )
        publisher.closed(tenant, single, 38)
    scans = [whole, cut, single]
    for scan in scans:
        database.finished(tenant, scan)
    wait_for(lambda: database.scan(tenant, cut)["records_rejected"] == 10, "the rest of the cancelled scan is rejected")  # type: ignore[index]
    return scans
