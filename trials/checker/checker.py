"""Reconciles a history with everything the system holds, as Jepsen would, and names each record that is not where it
must be.

The topic is the bridge. What was acknowledged must be in scan.records.v1 as it was sent; what is in there has one right
end (trials.checker.model), and the tables, the status topic and the dead-letter topic must hold exactly that. Nothing
of the pipeline's own code is used for it."""

import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psycopg2

from trials.checker.dead_letters import Letters
from trials.checker.findings import Finding, Report
from trials.checker.history import History, Scan
from trials.checker.model import FINAL, End, Message, end_of, read, scan_of
from trials.checker.offers import Offers
from trials.checker.scans import Owners, differences
from trials.checker.statuses import statuses_wrong
from trials.checker.tables import Held, Tables
from trials.checker.topics import Topics

RECORDS: Final = "scan.records.v1"
_POLL: Final = 0.2


def check(
    history: History,
    dsn: str,
    bootstrap: str,
    *,
    pipeline: str = "inventory",
    status_seconds: float = 90.0,
    tenants_at_once: int | None = None,
) -> Report:
    """Everything of this history; what other tenants have is not looked at. The load must be over, and the backlog
    gone.

    `status_seconds` is how long the status topic may take to say what the database says: a worker tells again, within
    SCANLINE_STATUS_RECONCILE_SECONDS, what was not told. `tenants_at_once` bounds the memory it takes (1 to 2 KiB a
    record) by reading everything several times; a record that one tenant of several holds for another is then called
    unaccounted, not foreign. Raises TimeoutError or psycopg2.Error where a server does not answer."""
    report = Report()
    with Topics(bootstrap) as topics, Tables(dsn) as tables:
        for part in history.parts(tenants_at_once or len(history.tenants)):
            report.add(_check(part, topics, tables, status_seconds))
        report.findings = list(dict.fromkeys(report.findings))  # a stranger's row can be seen from several parts
        report.findings += _offsets(topics, tables, pipeline)
    return report


def _check(history: History, topics: Topics, tables: Tables, status_seconds: float) -> Report:
    report = Report()
    messages, letters = _read_records(history, topics)
    offers = Offers(history, messages)
    report.findings += offers.findings()
    ends = {scan: end_of(each, offers.fault_of) for scan, each in messages.items()}
    held = tables.held(sorted(history.tenants))
    owners = Owners(ends)
    for scan, right in ends.items():
        report.findings += differences(scan, right, held.get(scan, Held()), owners)
    report.findings += _unknown(history, held, ends, owners)
    report.findings += _elsewhere(history, tables, ends)
    wrong = tables.day_counts_wrong(sorted(history.tenants))
    report.findings += [Finding("misreported", tenant, "", "", text) for tenant, text in wrong]
    report.findings += offers.twice({scan: row.row["status"] for scan, row in held.items() if row.row is not None})
    report.findings += letters.findings(topics, history)
    report.findings += statuses_wrong(history, topics, tables, offers, status_seconds)
    _count(report, history, offers, ends, held)
    report.dead_letters = letters.count
    return report


def _read_records(history: History, topics: Topics) -> tuple[dict[Scan, list[Message]], Letters]:
    messages: dict[Scan, list[Message]] = defaultdict(list)
    letters = Letters()
    for entry in topics.read(RECORDS, history.starts.get(RECORDS, {})):
        tenant = entry.key.decode("utf-8", "replace")
        if tenant not in history.tenants:
            continue
        message, scan = read(entry), scan_of(entry)
        if message.kind == "unreadable":
            letters.expect(entry)
        if scan is not None:
            messages[tenant, scan].append(message)
    for messages_of in messages.values():
        messages_of.sort(key=lambda message: message.offset)
    return messages, letters


def _unknown(history: History, held: Mapping[Scan, Held], ends: Mapping[Scan, End], owners: Owners) -> list[Finding]:
    """Scans that the database has and the topic has not."""
    found = []
    for scan in held.keys() - ends.keys():
        found += differences(scan, End(), held[scan], owners)
        found.append(Finding("unaccounted", *scan, "", "the database has this scan, and the topic no message of it"))
    return found


def _elsewhere(history: History, tables: Tables, ends: Mapping[Scan, End]) -> list[Finding]:
    marks = {body.id.rsplit(".", 1)[0] + "." for body in history.bodies.values()}
    rows = {
        row
        for mark in marks
        for row in tables.elsewhere(sorted(history.everyone), sorted({scan for _, scan in ends}), mark)
    }
    return [
        Finding("foreign", *row, "a tenant that this history has nothing of holds its record") for row in sorted(rows)
    ]


def _offsets(topics: Topics, tables: Tables, pipeline: str) -> list[Finding]:
    stored = tables.next_offsets(RECORDS, pipeline)
    found = []
    for partition, end in topics.ends(RECORDS).items():
        at = stored.get(partition, 0)
        if at > end or (at < end and _has_more(topics, partition, at)):
            text = f"stream_offsets stands at {at} of partition {partition}, the topic ends at {end}"
            found.append(Finding("offset_wrong", "", "", "", text))
    return found


def _has_more(topics: Topics, partition: int, at: int) -> bool:
    """True where there is a message from there on: a transaction's end takes an offset too, and holds none."""
    starts = topics.ends(RECORDS) | {partition: at}
    return next(topics.read(RECORDS, starts), None) is not None


def _count(
    report: Report, history: History, offers: Offers, ends: Mapping[Scan, End], held: Mapping[Scan, Held]
) -> None:
    report.offered = offers.offered()
    report.scans = len(ends)
    accounted = 0
    for scan, end in ends.items():
        here = held.get(scan, Held())
        report.redelivered += end.redelivered
        report.cancelled += end.status == "cancelled"
        accounted += end.accounted
        if here.row is not None:
            report.stored += here.row["records_stored"]
            report.rejected += here.row["records_rejected"]
            report.duplicates += here.row["records_duplicate"]
    report.acknowledged = offers.acknowledged()
    report.maybe = accounted - report.acknowledged


def wait_until_drained(
    history: History, dsn: str, bootstrap: str, seconds: float, *, pipeline: str = "inventory"
) -> float | None:
    """Seconds until every message is written and every acknowledged scan has ended; None where that takes longer.

    Servers may be away in the meantime.
    """
    started = time.monotonic()
    with Topics(bootstrap) as topics:
        while (spent := time.monotonic() - started) < seconds:
            try:
                with Tables(dsn) as tables:
                    if _drained(history, topics, tables, pipeline):
                        return spent
            except (psycopg2.Error, TimeoutError):
                pass
            time.sleep(_POLL)
    return None


def messages_behind(dsn: str, bootstrap: str, *, pipeline: str = "inventory") -> int | None:
    """Messages of scan.records.v1 that are not written yet, over all partitions; None while a server is away."""
    try:
        with Topics(bootstrap) as topics, Tables(dsn) as tables:
            stored = tables.next_offsets(RECORDS, pipeline)
            return sum(max(0, end - stored.get(number, 0)) for number, end in topics.ends(RECORDS, 5).items())
    except (psycopg2.Error, TimeoutError):
        return None


def _drained(history: History, topics: Topics, tables: Tables, pipeline: str) -> bool:
    stored = tables.next_offsets(RECORDS, pipeline)
    ends = topics.ends(RECORDS, 10)
    behind = {number: end for number, end in ends.items() if stored.get(number, 0) < end}
    if any(
        end - stored.get(number, 0) > 3 or _has_more(topics, number, stored.get(number, 0))
        for number, end in behind.items()
    ):
        return False
    rows = tables.scans(sorted(history.tenants))
    return all(scan in rows and rows[scan]["status"] in FINAL for scan in history.acknowledged_scans())


def main() -> None:
    """`python -m trials.checker.checker HISTORY DSN BOOTSTRAP`: checks a saved history again."""
    if len(sys.argv) != 4:
        sys.exit(main.__doc__)
    report = check(History.load(Path(sys.argv[1])), sys.argv[2], sys.argv[3])
    for finding in report.findings:
        print(finding)
    print({name: value for name, value in report.as_json().items() if name != "findings"})
    sys.exit(0 if report.passed else 1)


if __name__ == "__main__":
    main()
