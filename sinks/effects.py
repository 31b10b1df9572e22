"""The rules of what a micro-batch does to the scans it touches: pure, and the same for every store.

A sink locks or loads the scans, asks a Plan what follows, stores the records that are taken, settles what became of
them, and writes the scans, rejections and audit rows that came out. Everything happens in the order of the offsets.

The counts are made here. Which state follows from them, completed_with_errors for one, is schemas.status.scan_state."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from schemas.decoder import Incoming, Rejected
from schemas.errors import FieldError, Text
from schemas.messages import Closed
from schemas.numbers import number
from schemas.record import Record
from schemas.status import ERRORS_SAMPLE, Scan, error_sample
from sinks.protocol import MicroBatch

Key = tuple[str, str]  # (tenant_id, scan_id)
# What statistics tell apart: categories with commas between them, sensitive, cross-border. Scans have few of them.
Kind = tuple[str, bool, bool]
_json = msgspec.json.Encoder().encode
_WRITTEN: Final = Text(
    "Đã lưu {stored} bản ghi, từ chối {rejected}, trùng lặp {duplicate}.",
    "{stored} records stored, {rejected} rejected, {duplicate} duplicates.",
)
_MENDED: Final = Text(
    "Đã nhận {mended} bản ghi sửa lại: đã lưu {stored}, lại bị từ chối {rejected}, trùng lặp {duplicate}.",
    "{mended} mended records came: {stored} stored, {rejected} rejected again, {duplicate} duplicates.",
)


class Ledger(Protocol):
    """A store's memory of the messages it has had. Each method notes what it finds, in the transaction of the
    micro-batch: it is asked once, and is not asked again of the same messages unless that transaction is rolled
    back."""

    def resent(self) -> set[int]:
        """Offsets of messages whose numbered array was counted before, in this micro-batch or in an earlier one: the
        same one sent again counts nothing, since a publisher that got no answer cannot know that it arrived."""
        ...

    def returned(self) -> set[int]:
        """Offsets of messages that were dead letters, were sent again by an operator, and are here for the first
        time."""
        ...

    def mended(self, message: Incoming) -> set[int]:
        """The positions, in a message of corrections, of the records whose rejection stood open until now."""
        ...


class Stored(Counter[Kind]):
    """Records that a scan gained, counted by kind."""

    @property
    def records(self) -> int:
        """All of them."""
        return self.total()

    @property
    def sensitive(self) -> int:
        """Those with sensitive data."""
        return sum(count for (_, sensitive, _), count in self.items() if sensitive)

    @property
    def cross_border(self) -> int:
        """Those that cross the border."""
        return sum(count for (_, _, cross_border), count in self.items() if cross_border)


def kind_of(record: Record) -> Kind:
    """The kind of a record."""
    return ",".join(record.data_categories), record.sensitive, record.cross_border


class Taken(NamedTuple):
    """A message whose accepted records are to be stored. `at` is the message's place in its micro-batch, from 0."""

    at: int
    message: Incoming
    kept: Sequence[int] | None = None  # which of the message's records as it came; None: all of them


class Plan:
    """A plan of what is to be done with a micro-batch. It can be applied again where the transaction was rolled
    back."""

    def __init__(self, batch: MicroBatch) -> None:
        self.batch = batch
        self.scan_keys = {key_of(message) for message in batch.messages}

    def apply(self, scans: dict[Key, Scan], ledger: Ledger) -> "Effects":
        """Changes the scans by everything but the stored records, and returns what is to be written."""
        resent, returned = ledger.resent(), ledger.returned()
        effects = Effects(self.batch, scans)
        for at, message in enumerate(self.batch.messages):
            scan = scans[key_of(message)]
            if message.offset in returned and scan.messages_unreadable:
                scan.messages_unreadable -= 1  # it is here again; where it still cannot be read, it counts again
            if message.unreadable:
                scan.messages_unreadable += 1
            elif message.control is not None:
                if not scan.take(message.control, effects.pending[key_of(message)]):
                    effects.ignored[key_of(message)].append(message)
            elif message.offset in resent:
                continue
            elif message.envelope.mends:
                if scan.cancel_reason is None:
                    effects.mend(at, message, ledger.mended(message))
            elif scan.cancel_reason is not None:
                effects.refuse_all(message)
            else:
                effects.take(Taken(at, message))
        return effects


def key_of(message: Incoming) -> Key:
    """The key of the message's scan."""
    return message.envelope.tenant_id, message.envelope.scan_id


def _description(message: Incoming) -> dict[str, Any]:
    """The audit row of a control message that came too late."""
    total = {"records_total": message.control.records_total} if isinstance(message.control, Closed) else {}
    return {"type": message.envelope.type, "offset": message.offset, **total}


class Effects:
    """Records to store, records to reject, and what each scan gains."""

    def __init__(self, batch: MicroBatch, scans: dict[Key, Scan]) -> None:
        self.batch = batch
        self.taken: list[Taken] = []  # messages whose accepted records are to be stored, in order
        self.rejects: list[tuple[Incoming, Rejected]] = []
        self.pending: Counter[Key] = Counter()  # accepted records of each scan so far
        self.mended: Counter[Key] = Counter()  # rejections of each scan that corrections replaced
        self.gained: Mapping[Key, Stored] = {}  # what each scan gained, once that is settled
        self.ignored: dict[Key, list[Incoming]] = defaultdict(list)  # what came too late to change each scan
        self._scans = scans
        self._before = {
            key: (scan.records_stored, scan.records_rejected, scan.records_duplicate) for key, scan in scans.items()
        }

    def take(self, taken: Taken) -> None:
        """Its accepted records are to be stored, its rejected ones are rejected."""
        message = taken.message
        self.taken.append(taken)
        self.pending[key_of(message)] += len(message.records)
        for rejected in message.rejected:
            self._reject(message, rejected)

    def mend(self, at: int, message: Incoming, positions: set[int]) -> None:
        """Replaces as many rejections by the records at these positions; the others count nothing."""
        kept = [row for row, position in enumerate(message.positions) if position in positions]
        left = message._replace(
            records=[message.records[row] for row in kept],
            positions=[message.positions[row] for row in kept],
            rejected=[each for each in message.rejected if each.position in positions],
        )
        self.mended[key_of(message)] += left.record_count
        self._scans[key_of(message)].records_rejected -= left.record_count
        self.take(Taken(at, left, kept))

    def refuse_all(self, message: Incoming) -> None:
        """The scan is cancelled: nothing of it is stored, and every record says why."""
        error = (FieldError("scan_cancelled"),)
        for position, record in zip(message.positions, message.records, strict=True):
            self._reject(message, Rejected(position, error, record.activity_key, _json(record)))
        for rejected in message.rejected:
            self._reject(message, rejected._replace(errors=error))

    def settle(self, gained: Mapping[Key, Stored], refused: Mapping[int, str]) -> None:
        """Settles what became of the records taken: each scan gained so many. Those in `refused` {position among all records
        taken: SQLSTATE} are rejected, the rest were duplicates."""
        self.gained = gained
        offered = self.pending
        if refused:
            offered = offered.copy()
            records = ((message, at) for _, message, _ in self.taken for at in range(len(message.records)))
            for line, (message, at) in enumerate(records):
                if line in refused:
                    offered[key_of(message)] -= 1
                    error = FieldError("database_refused", "", {"sqlstate": refused[line]})
                    record = message.records[at]
                    self._reject(message, Rejected(message.positions[at], (error,), record.activity_key, _json(record)))
        for key, count in offered.items():
            stored = gained.get(key, Stored())
            self._gain(key, stored)
            self._scans[key].records_duplicate += count - stored.records

    def _gain(self, key: Key, gained: Stored) -> None:
        scan = self._scans[key]
        scan.records_stored += gained.records
        scan.records_sensitive += gained.sensitive
        scan.records_cross_border += gained.cross_border

    def _reject(self, message: Incoming, rejected: Rejected) -> None:
        scan = self._scans[key_of(message)]
        scan.records_rejected += 1
        if len(scan.errors_sample) < ERRORS_SAMPLE:
            sample = error_sample(message.index_of(rejected.position), rejected.activity_key, rejected.errors[0])
            scan.errors_sample = [*scan.errors_sample, sample]
        self.rejects.append((message, rejected))

    def _gains(self) -> dict[Key, tuple[int, int, int]]:
        return {
            key: (
                scan.records_stored - stored,
                scan.records_rejected - rejected + self.mended[key],
                scan.records_duplicate - duplicate,
            )
            for key, scan in self._scans.items()
            for stored, rejected, duplicate in [self._before[key]]
        }

    def outcomes(self) -> dict[str, int]:
        """Records by outcome, for the metrics."""
        gains = list(self._gains().values())
        return {name: sum(gain[at] for gain in gains) for at, name in enumerate(("stored", "rejected", "duplicate"))}

    def reject_codes(self) -> Counter[str]:
        """Rejected records by the code of their first error, for the metrics."""
        return Counter([rejected.errors[0].code for _, rejected in self.rejects])

    def records_by_tenant(self) -> Counter[str]:
        """Records that reached their end, for the metrics."""
        counts: Counter[str] = Counter()
        for (tenant_id, _), gains in self._gains().items():
            counts[tenant_id] += sum(gains)
        return counts

    def audit_rows(self, actor: str) -> list[dict[str, Any]]:
        """Rows of audit_log: what was touched, how much, when and by whom (Law 91/2025/QH15, Article 23)."""
        rows = []
        for (tenant_id, scan_id), (stored, rejected, duplicate) in self._gains().items():
            scan = self._scans[tenant_id, scan_id]
            mended = self.mended[tenant_id, scan_id]
            counts = {"stored": stored, "rejected": rejected, "duplicate": duplicate}
            if mended:
                counts["mended"] = mended
            ignored = [_description(message) for message in self.ignored[tenant_id, scan_id]]
            texts = _MENDED if mended else _WRITTEN
            vi = {name: number(count, "vi") for name, count in counts.items()}
            en = {name: number(count, "en") for name, count in counts.items()}
            rows.append(
                {
                    "tenant_id": tenant_id,
                    "scan_id": scan_id,
                    "actor": actor,
                    "action": "records_mended" if mended else "records_written",
                    "details": {
                        **counts,
                        "status": scan.status,
                        "version": scan.version,
                        "topic": self.batch.topic,
                        "partition": self.batch.partition,
                        "first_offset": self.batch.start,
                        "next_offset": self.batch.end,
                        **({"topic_id": self.batch.topic_id} if self.batch.topic_id else {}),
                        **({"ignored": ignored} if ignored else {}),
                    },
                    "message": {
                        "vi": texts.vi.format(**vi),
                        "en": texts.en.format(**en),
                    },
                }
            )
        return rows
