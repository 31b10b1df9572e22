"""One scan: what the topic must have led to against what the database holds."""

import itertools
from collections.abc import Mapping
from typing import Final

from trials.checker.findings import Finding, Kind
from trials.checker.history import Scan
from trials.checker.model import End
from trials.checker.tables import Held

_OUTCOMES: Final = ("stored", "rejected", "duplicate")


class Owners:
    """The bodies that a record is known from: told apart by content, whatever its key."""

    def __init__(self, ends: Mapping[Scan, End]) -> None:
        self._scans: dict[str, Scan] = {}
        self._keys: dict[str, Scan] = {}
        for scan, end in ends.items():
            for key, kept in end.stored.items():
                self._scans[kept.content] = scan
                self._keys[key] = scan

    def of(self, key: str, content: str) -> Scan | None:
        """The scan that the record belongs to; None where nobody sent it."""
        return self._scans.get(content) or self._keys.get(key)


def differences(scan: Scan, end: End, held: Held, owners: Owners) -> list[Finding]:
    """Finds what is not as it must be."""
    found: list[Finding] = []

    def say(kind: Kind, text: str, key: str = "") -> None:
        found.append(Finding(kind, *scan, key, text))

    for key, kept in end.stored.items():
        there = held.stored.get(key)
        if there is None:
            say("lost", "valid, in the topic, and not in processing_activities", key)
        elif there[0] != kept.content:
            say("altered", "processing_activities holds other values than were sent", key)
        elif there[1] != kept.record_index:
            say("altered", f"record_index is {there[1]}, sent as {kept.record_index}", key)
    for key in held.stored.keys() - end.stored.keys():
        found.append(_surplus(scan, key, held.stored[key][0], owners))
    for refusal, count in (end.refused - held.refused).items():
        say("lost", f"{count} not in rejected_records: index {refusal[0]}, {refusal[1]} {refusal[2]}", refusal[3] or "")
    for refusal, count in (held.refused - end.refused).items():
        known = refusal in end.refused
        where = f"index {refusal[0]}, {refusal[1]} {refusal[2]}"
        say("doubled" if known else "unaccounted", f"{count} too many in rejected_records: {where}", refusal[3] or "")
    for refusal, original in held.originals:
        if end.originals.get(refusal, original) != original and end.refused[refusal] == 1:
            say("altered", f"the original bytes of the rejected record {refusal[0]} are others", refusal[3] or "")
    if end.ledger != held.ledger:
        say("misreported", f"scan_messages holds {_short(held.ledger)}, must hold {_short(end.ledger)}")
    found += _counts(scan, end, held)
    return found


def _surplus(scan: Scan, key: str, content: str, owners: Owners) -> Finding:
    owner = owners.of(key, content)
    if owner is None:
        return Finding("unaccounted", *scan, key, "stored, and the topic holds no such valid record of this scan")
    if owner[0] != scan[0]:
        return Finding("foreign", *scan, key, f"belongs to the tenant {owner[0]}, scan {owner[1]}")
    return Finding("doubled", *scan, key, f"stored here too, and belongs to the scan {owner[1]}")


def _counts(scan: Scan, end: End, held: Held) -> list[Finding]:
    row = held.row
    if row is None:
        return [Finding("lost", *scan, "", "the topic speaks of this scan, and `scans` does not know it")]
    right = {
        "status": end.status,
        "records_stored": len(end.stored),
        "records_rejected": end.refused.total(),
        "records_duplicate": end.duplicates,
        "records_sensitive": end.sensitive,
        "records_cross_border": end.cross_border,
        "messages_unreadable": end.unreadable,
        "closed": end.closed,
        "records_total": end.total,
        "cancel_reason": end.reason,
    }
    wrong = [f"{name} is {row[name]}, must be {value}" for name, value in right.items() if row[name] != value]
    if (held.sensitive, held.cross_border) != (end.sensitive, end.cross_border):
        wrong.append(f"rows say sensitive {held.sensitive}, cross_border {held.cross_border}")
    sample = [(each["index"], each["code"], each["pointer"]) for each in row["errors_sample"]]
    known = {refusal[:3] for refusal in end.refused}
    if len(sample) != min(20, end.refused.total()) or not set(sample) <= known:
        wrong.append("errors_sample does not show the first rejected records")
    findings = [Finding("misreported", *scan, "", f"scans: {text}") for text in wrong]
    audit = [held.written[name] for name in _OUTCOMES]
    counted = [len(end.stored), end.refused.total(), end.duplicates]
    if audit != counted:
        text = f"audit_log adds up to {audit} {_OUTCOMES}, must be {counted}"
        findings.append(Finding("misreported", *scan, "", text))
    spans = sorted(held.spans)
    for before, after in itertools.pairwise(spans):
        if before[0] == after[0] and after[1] < before[2]:
            text = f"audit_log has the offsets {after[1]} to {min(before[2], after[2])} of partition {after[0]} twice"
            findings.append(Finding("doubled", *scan, "", text))
    return findings


def _short(ledger: Mapping[int, tuple[int, int]]) -> str:
    return str(dict(sorted(ledger.items())[:5]))
