"""Checks that every record is accounted for: what was sent, the tables, and the status topic must say the same."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

import psycopg2
import psycopg2.extras

from trials.demo.scans import Sent, Wanted

_COUNTS: Final = {
    "records_total": "records",
    "records_stored": "stored",
    "records_rejected": "rejected",
    "records_duplicate": "duplicates",
    "records_sensitive": "sensitive",
    "records_cross_border": "cross_border",
}


class TableContents(NamedTuple):
    """The content of the tables, by scan id."""

    keys: Mapping[str, list[str]]
    rejected: Mapping[str, int]
    audited: Mapping[str, int]
    scans: Mapping[str, dict[str, Any]]


def read(dsn: str) -> TableContents:
    """Everything, from the tables themselves."""
    keys: dict[str, list[str]] = defaultdict(list)
    with (
        closing(psycopg2.connect(dsn)) as connection,
        connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor,
    ):
        cursor.execute("SELECT scan_id::text AS scan, activity_key FROM processing_activities")
        for row in cursor:
            keys[row["scan"]].append(row["activity_key"])
        cursor.execute("SELECT scan_id::text AS scan, count(*) AS n FROM rejected_records GROUP BY 1")
        rejected = {row["scan"]: row["n"] for row in cursor}
        cursor.execute(
            "SELECT scan_id::text AS scan, sum((details->>'stored')::bigint) AS n FROM audit_log"
            " WHERE details ? 'stored' GROUP BY 1"
        )
        audited = {row["scan"]: int(row["n"]) for row in cursor}
        cursor.execute(
            "SELECT scan_id::text AS scan, status, version, " + ", ".join(_COUNTS) + " FROM scans"  # names of ours
        )
        scans = {row["scan"]: dict(row) for row in cursor}
    return TableContents(keys, rejected, audited, scans)


def differences(
    sent: Sequence[Sent], held: TableContents, told: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[str]:
    """A sentence for everything that is lost, doubled, misreported or nobody's; none when all is well."""
    found: list[str] = []
    for scan in sent:
        found += [f"{scan.tenant}/{scan.scan_id}: {text}" for text in _of_one(scan, held, told.get(scan.key))]
    known = {scan.scan_id for scan in sent}
    strangers = (held.keys.keys() | held.scans.keys() | held.rejected.keys()) - known
    return found + [f"{scan_id}: rows of a scan that nobody sent" for scan_id in sorted(strangers)]


def _of_one(scan: Sent, held: TableContents, told: Mapping[str, Any] | None) -> Iterable[str]:
    want, keys = scan.wanted, held.keys.get(scan.scan_id, [])
    if len(keys) != len(set(keys)):
        yield f"{len(keys) - len(set(keys))} records are stored twice"
    if lost := want.keys - set(keys):
        yield f"{len(lost)} records are not stored"
    if strange := set(keys) - want.keys:
        yield f"{len(strange)} records are stored that were not sent"
    if (rejected := held.rejected.get(scan.scan_id, 0)) != want.rejected:
        yield f"{rejected} rejected records are kept, {want.rejected} were wrong"
    if (audited := held.audited.get(scan.scan_id, 0)) != want.stored:
        yield f"the audit log tells of {audited} stored records, {want.stored} it should be"
    row = held.scans.get(scan.scan_id)
    if row is None:
        yield "there is no row in scans"
    else:
        yield from _counts("scans", row, want)
    if told is None:
        yield "the status topic says nothing of it"
    else:
        yield from _counts("the status topic", told, want)
        if row is not None and told["version"] != row["version"]:
            yield f"the status topic is at version {told['version']}, scans at {row['version']}"


def _counts(place: str, said: Mapping[str, Any], want: Wanted) -> Iterable[str]:
    state = "completed_with_errors" if want.rejected else "completed"
    if said["status"] != state:
        yield f"{place} says {said['status']}, it should be {state}"
    for name, field in _COUNTS.items():
        if said[name] != getattr(want, field):
            yield f"{place} says {name} {said[name]}, it should be {getattr(want, field)}"
