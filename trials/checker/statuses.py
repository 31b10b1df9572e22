"""Checks the status topic: its last status of each scan is the database's, and every end that a client was given was
true."""

import json
import time
from collections import defaultdict
from typing import Any, Final

from trials.checker.findings import Finding
from trials.checker.history import History, Scan
from trials.checker.offers import Offers
from trials.checker.tables import Tables
from trials.checker.topics import Topics

STATUS: Final = "scan.status.v1"
COMPARED: Final = (  # what both say; nothing of ours is imported, so a test holds it to what both have
    "status",
    "source",
    "records_total",
    "records_stored",
    "records_rejected",
    "records_duplicate",
    "records_sensitive",
    "records_cross_border",
    "messages_unreadable",
    "version",
    "cancel_reason",
    "request_digest",
    "errors_sample",
)
_DONE: Final = frozenset({"completed", "completed_with_errors"})
_COUNTS: Final = ("records_stored", "records_rejected", "records_duplicate")
_POLL: Final = 0.5


class Statuses:
    """Everything told of the history's tenants so far."""

    def __init__(self, history: History) -> None:
        self._tenants = history.tenants
        self._starts = dict(history.starts.get(STATUS, {}))
        self.last: dict[Scan, dict[str, Any]] = {}
        self.done: set[Scan] = set()  # told as completed at least once

    def read(self, topics: Topics) -> None:
        """Reads what came since the last time."""
        for entry in topics.read(STATUS, self._starts):
            self._starts[entry.partition] = entry.offset + 1
            tenant, _, scan_id = entry.key.decode("utf-8", "replace").partition("/")
            if tenant not in self._tenants:
                continue
            scan = (tenant, scan_id)
            if entry.value is None:
                self.last.pop(scan, None)
                continue
            self.last[scan] = json.loads(entry.value)
            if self.last[scan]["status"] in _DONE:
                self.done.add(scan)


def statuses_wrong(history: History, topics: Topics, tables: Tables, offers: Offers, seconds: float) -> list[Finding]:
    """Finds what the topic, or an answer of the API, says and the database does not."""
    statuses = Statuses(history)
    deadline = time.monotonic() + seconds
    while True:
        statuses.read(topics)
        rows = tables.scans(sorted(history.tenants))
        found = _differences(statuses, rows, offers)
        if not found or time.monotonic() > deadline:
            return found + _broken_words(history, statuses, rows)
        time.sleep(_POLL)


def _differences(statuses: Statuses, rows: dict[Scan, dict[str, Any]], offers: Offers) -> list[Finding]:
    found: dict[Scan, list[str]] = defaultdict(list)
    for scan, row in rows.items():
        told = statuses.last.get(scan)
        if told is None:
            found[scan].append("never told")
            continue
        found[scan] += [
            f"told {name} {_short(told.get(name))}, the database has {_short(row[name])}"
            for name in COMPARED
            if told.get(name) != row[name]
        ]
        if told.get("paused"):
            found[scan].append("told as paused")
    findings = [
        Finding("misreported", *scan, "", f"status topic: {'; '.join(texts)}") for scan, texts in found.items() if texts
    ]
    for scan in statuses.last.keys() - rows.keys():
        told = statuses.last[scan]
        if not offers.knows(scan, told.get("source")):
            findings.append(Finding("unaccounted", *scan, "", "status topic: a scan that nobody offered"))
        elif offers.is_acknowledged(scan) or told["status"] not in ("queued", "cancelled"):
            text = f"status topic: told as {told['status']}, the database does not know it"
            findings.append(Finding("misreported", *scan, "", text))
    return findings


def _broken_words(history: History, statuses: Statuses, rows: dict[Scan, dict[str, Any]]) -> list[Finding]:
    """Ends that were told and are none."""
    found = []
    for scan in statuses.done:
        state = rows.get(scan, {}).get("status")
        if state not in _DONE:
            found.append(Finding("misreported", *scan, "", f"was told as completed, and is {state}"))
    for scan, told in history.told:
        row = rows.get(scan)
        if row is None or not _holds(told, row):
            text = f"a client was told {_counts(told)}, the database has {_counts(row) if row else 'nothing'}"
            found.append(Finding("misreported", *scan, "", text))
    return found


def _holds(told: dict[str, Any], row: dict[str, Any]) -> bool:
    """A cancelled scan's later records are still counted, as rejected."""
    if told["status"] != "cancelled":
        return _counts(told) == _counts(row)
    return row["status"] == "cancelled" and all(told[name] <= row[name] for name in _COUNTS)


def _counts(status: dict[str, Any]) -> list[Any]:
    return [status[name] for name in ("status", "records_total", *_COUNTS)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."
