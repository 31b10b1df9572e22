"""Compares a replay with the live table scan by scan: by number and checksum, then by name where these differ."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from operations.replay.live_tables import COUNTS, Live, LiveScan
from operations.replay.selection import Range, Selection
from schemas.status import Scan
from sinks.effects import Key
from sinks.files.rows import UNKNOWN, Row, fingerprint
from sinks.files.skipped_records import SkippedRecords
from sinks.files.state import Compared, State

NAMED: Final = 20  # keys of each kind that a scan's difference names
_MODULUS: Final = 1 << 128
_EVERY: Final = 5_000  # rows between two words on progress
# Where PostgreSQL refused a record on its own, everything that follows from its having been stored is different.
_WITHOUT_REFUSED: Final = ("records_total", "messages_unreadable")


class Sum(NamedTuple):
    """The sum of rows, in whatever order: how many, and their fingerprints added up. A row that is there twice counts
    twice."""

    rows: int = 0
    checksum: int = 0

    def plus(self, mark: bytes) -> "Sum":
        """The sum with one more row."""
        return Sum(self.rows + 1, (self.checksum + int.from_bytes(mark)) % _MODULUS)


class Difference(NamedTuple):
    """The difference in one scan. `counts` {column of scans: [by replay, live]}; rows by their activity_keys, seen from
    the live table."""

    tenant_id: str
    scan_id: str
    rows: tuple[int, int]  # by replay, live
    counts: dict[str, tuple[Any, Any]]
    missing: Compared
    extra: Compared
    altered: Compared

    def as_json(self) -> dict[str, Any]:
        """The differences as JSON."""
        return {
            **self._asdict(),
            **{name: getattr(self, name).as_json() for name in ("missing", "extra", "altered")},
        }


class Verified(NamedTuple):
    """The result: how many scans and live rows were compared, and what differs."""

    scans: int
    rows: int
    equal: int
    not_comparable: int
    differences: list[Difference]


def verify(
    state: State,
    live: Live,
    selection: Selection,
    read: Mapping[int, Range],
    topic_id: str | None,
    passed_over: SkippedRecords,
    on_rows: Callable[[int, int], None] = lambda *_: None,
) -> Verified:
    """`read` is what the replay went over, of the topic with that id; `on_rows(done, total)` hears of the live rows. A
    scan of which something stands outside of it cannot be compared: only where it is the same all the same does it
    count, as equal. Live rows that nobody can read today are passed over."""
    live.begin()
    outside, known = live.outside(selection, read, topic_id), live.scans(selection)
    numbers, replayed, expected = _replayed(state)
    total = sum(scan.records_stored for scan in known.values())
    held = _held(live, selection, passed_over, lambda rows: on_rows(rows, max(rows, total)))
    differences = []
    apart = 0
    keys = sorted(replayed.keys() | known.keys() | held.keys())
    for key in keys:
        if expected.get(key, Sum()) == held.get(key, Sum()) and not _counts(replayed.get(key), known.get(key)):
            continue
        if key in outside:
            apart += 1
            continue
        sums = expected.get(key, Sum()).rows, held.get(key, Sum()).rows
        found = _difference(state, live, key, numbers.get(key), sums, replayed.get(key), known.get(key))
        if found is not None:
            differences.append(found)
    rows = sum(each.rows for each in held.values())
    return Verified(len(keys), rows, len(keys) - apart - len(differences), apart, differences)


def _replayed(state: State) -> tuple[dict[Key, int], dict[Key, Scan], dict[Key, Sum]]:
    numbers, scans, sums = {}, {}, {}
    for number, scan in state.scans():
        key = scan.tenant_id, scan.scan_id
        numbers[key], scans[key] = number, scan
        sums[key] = _added(mark for _, mark in state.keys(number))
    return numbers, scans, sums


def _added(marks: Iterable[bytes]) -> Sum:
    numbers = [int.from_bytes(mark) for mark in marks]
    return Sum(len(numbers), sum(numbers) % _MODULUS)


def _held(
    live: Live, selection: Selection, passed_over: SkippedRecords, on_rows: Callable[[int], None]
) -> dict[Key, Sum]:
    sums: dict[Key, Sum] = {}
    rows = 0
    for row in live.rows(selection):
        key = row.tenant_id, row.scan_id
        sums[key] = sums.get(key, Sum()).plus(_mark(row, passed_over))
        rows += 1
        if rows % _EVERY == 0:
            on_rows(rows)
    on_rows(rows)
    return sums


def _mark(row: Row, passed_over: SkippedRecords) -> bytes:
    """Its fingerprint. A row that nobody can read today is named, and equal to none but another such."""
    try:
        return fingerprint(row)
    except Exception as error:
        passed_over.add_row(row, error)
        return UNKNOWN


def _counts(replayed: Scan | None, live: LiveScan | None, names: Iterable[str] = COUNTS) -> dict[str, tuple[Any, Any]]:
    """Columns of `scans` that differ."""
    pairs = {name: (getattr(replayed, name, None), getattr(live, name, None)) for name in names}
    found = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if (replayed is None) != (live is None):
        found.setdefault("status", (None, None))
    return found


def _difference(
    state: State,
    live: Live,
    key: Key,
    number: int | None,
    rows: tuple[int, int],
    replayed: Scan | None,
    known: LiveScan | None,
) -> Difference | None:
    """The difference by name; None where it is only what PostgreSQL itself refused."""
    refused = live.refused(key)
    of_scan = Selection((key[0],), (key[1],))
    known_already = SkippedRecords()
    marks = ((row.activity_key, _mark(row, known_already)) for row in live.rows(of_scan))
    compared = state.compare(number or 0, marks, refused, NAMED)
    counts = _counts(replayed, known)
    if compared.excused and replayed is not None and known is not None:
        counts = _counts(replayed, known, _WITHOUT_REFUSED)
        stored = replayed.records_stored - compared.excused
        if stored != known.records_stored:
            counts["records_stored"] = stored, known.records_stored
        accounted = replayed.accounted, known.records_stored + known.records_rejected + known.records_duplicate
        if accounted[0] != accounted[1]:
            counts["records_rejected"] = replayed.records_rejected, known.records_rejected
    if not counts and not any(each.keys for each in (compared.missing, compared.extra, compared.altered)):
        return None
    return Difference(*key, rows, counts, compared.missing, compared.extra, compared.altered)
