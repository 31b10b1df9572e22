"""The sink protocol over local state and an output: what PostgreSQL would have stored, worked out by the same rules
(sinks.effects), without PostgreSQL. Only what PostgreSQL itself would refuse (SQLSTATE 22, 23) is not known here.
"""

import datetime as dt
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from schemas.decoder import Incoming
from schemas.status import ScanStatus, status_of
from schemas.stored_offset import StoredOffset
from sinks.effects import Key, Plan, Stored, Taken, key_of, kind_of
from sinks.files.output import Output
from sinks.files.rows import UNKNOWN, Row, fingerprint, row_of
from sinks.files.skipped_records import SkippedRecords
from sinks.files.state import State
from sinks.protocol import Fenced, MicroBatch, Sink

ZONE: Final = ZoneInfo("Asia/Ho_Chi_Minh")


class LocalSink:
    """One process, one thread. `state` says where to go on."""

    def __init__(self, state: State, output: Output) -> None:
        self._state = state
        self._output = output
        with state.transaction() as connection:
            output.begin(connection)
        self.outcomes: Counter[str] = Counter()  # records by outcome, of this run
        self.passed_over = SkippedRecords()  # of this run

    def load_offsets(
        self, topic: str, partitions: Iterable[int], topic_id: str | None = None
    ) -> dict[int, StoredOffset]:
        """A replay holds its topic's id for itself, over all partitions."""
        stored = self._state.offsets()
        return {partition: StoredOffset(stored.get(partition, 0)) for partition in partitions}

    def prepare(self, batch: MicroBatch) -> Plan:
        """Formats nothing: what a row becomes is the output's affair."""
        return Plan(batch)

    def write(self, prepared: Plan) -> list[ScanStatus]:
        """Raises OSError where the output cannot be written; then nothing was."""
        plan, batch, now = prepared, prepared.batch, dt.datetime.now(dt.UTC)
        with self._state.transaction() as connection:
            if not self._state.move(batch.partition, batch.start, batch.end):
                raise Fenced(f"{batch.topic}[{batch.partition}] is no longer at {batch.start}")
            scans, numbers = self._state.load_scans(plan.scan_keys)
            effects = plan.apply(scans, _StateLedger(self._state, batch, numbers))
            rows, gained = self._store(effects.taken, numbers)
            effects.settle(gained, {})
            self._state.add_rejections(
                (numbers[key_of(message)], message.index_of(rejected.position)) for message, rejected in effects.rejects
            )
            for scan in scans.values():
                scan.settle(now)
            self._state.save_scans(scans, numbers)
            if rows:
                self._take(connection, rows, _day(batch))
        self.outcomes.update(effects.outcomes())
        return [status_of(scan) for scan in scans.values()]

    def _store(self, taken: Iterable[Taken], numbers: Mapping[Key, int]) -> tuple[list[Row], dict[Key, Stored]]:
        """The rows that are new, the first of equal keys, and what each scan gains by them."""
        by_scan: dict[Key, list[tuple[Incoming, int]]] = defaultdict(list)
        for _, message, _ in taken:
            by_scan[key_of(message)].extend((message, at) for at in range(len(message.records)))
        rows: list[Row] = []
        gained: dict[Key, Stored] = {}
        for key, places in by_scan.items():
            names = [message.records[at].activity_key for message, at in places]
            known = self._state.known_keys(numbers[key], set(names))
            fresh = []
            for (message, at), name in zip(places, names, strict=True):
                if name not in known:
                    known.add(name)
                    fresh.append((message, at))
            found = [self._row(message, at) for message, at in fresh]
            self._state.add_keys(
                (numbers[key], message.records[at].activity_key, mark)
                for (message, at), (_, mark) in zip(fresh, found, strict=True)
            )
            gained[key] = Stored(kind_of(message.records[at]) for message, at in fresh)
            rows += [row for row, _ in found if row is not None]
        return rows, gained

    def _row(self, message: Incoming, at: int) -> tuple[Row | None, bytes]:
        """The row and its fingerprint. A record of which something unexpected is raised counts as stored, and is in no
        output."""
        try:
            row = row_of(message, at)
            return row, fingerprint(row)
        except Exception as error:
            envelope, key, index = (
                message.envelope,
                message.records[at].activity_key,
                message.index_of(message.positions[at]),
            )
            self.passed_over.add(envelope.tenant_id, envelope.scan_id, key, index, error)
            return None, UNKNOWN

    def _take(self, connection: sqlite3.Connection, rows: list[Row], day: dt.date | None) -> None:
        """Gives the rows to the output, all at once; where one of them cannot be written, one by one."""
        try:
            self._output.take(connection, rows, day)
        except (OSError, sqlite3.Error):
            raise
        except Exception as error:
            if len(rows) == 1:
                self.passed_over.add_row(rows[0], error)
                return
            for row in rows:
                self._take(connection, [row], day)

    def finish(self) -> None:
        """Everything was written; the output is completed."""
        with self._state.transaction() as connection:
            self._output.finish(connection, self.passed_over)

    def close(self) -> None:
        """The state is its maker's to close."""


if TYPE_CHECKING:
    _keeps: type[Sink[Plan]] = LocalSink


class _StateLedger:
    """The state's memory of the messages it has had (sinks.effects.Ledger)."""

    def __init__(self, state: State, batch: MicroBatch, numbers: Mapping[Key, int]) -> None:
        self._state = state
        self._batch = batch
        self._numbers = numbers

    def resent(self) -> set[int]:
        found = set()
        for message in self._batch.messages:
            index = message.envelope.first_index
            if index is not None and message.record_count:
                number = self._numbers[key_of(message)]
                if not self._state.new_array(number, index):
                    found.add(message.offset)
        return found

    def returned(self) -> set[int]:
        """An operator's claims are in PostgreSQL alone; here the message's own headers count, once."""
        found = set()
        for message in self._batch.messages:
            letter = message.envelope.letter
            if letter is not None and self._state.new_letter(letter.header.decode()):
                found.add(message.offset)
        return found

    def mended(self, message: Incoming) -> set[int]:
        """A rejection that had no index is named by a number of PostgreSQL's, which means nothing here: each
        number takes one rejection without an index, once."""
        number = self._numbers[key_of(message)]
        return {at for at, mend in enumerate(message.envelope.mends) if self._state.take_rejection(number, mend)}


def _day(batch: MicroBatch) -> dt.date | None:
    """The day on which the micro-batch came in; micro-batches are cut at midnight."""
    times = [message.received_at for message in batch.messages if message.received_at is not None]
    return min(times).astimezone(ZONE).date() if times else None
