"""What a micro-batch does to the scans it touches, worked out in the order of its offsets under the scans' locks."""

from collections import Counter, defaultdict
from typing import Any, Final

import msgspec

from schemas.errors import FieldError, Text
from schemas.messages import Closed
from schemas.status import ERRORS_SAMPLE, Scan, error_sample, number
from sinks.postgres.calls import TimedCursor
from sinks.postgres.copying import Stored
from sinks.postgres.mending import only, take_rejections
from sinks.postgres.returned import note_returned
from sinks.postgres.rows import Lines
from sinks.protocol import Incoming, MicroBatch, Rejected

Key = tuple[str, str]  # (tenant_id, scan_id)
_json = msgspec.json.Encoder().encode
_WRITTEN: Final = Text(
    "Đã lưu {stored} bản ghi, từ chối {rejected}, trùng lặp {duplicate}.",
    "{stored} records stored, {rejected} rejected, {duplicate} duplicates.",
)
_MENDED: Final = Text(
    "Đã nhận {mended} bản ghi sửa lại: đã lưu {stored}, lại bị từ chối {rejected}, trùng lặp {duplicate}.",
    "{mended} mended records came: {stored} stored, {rejected} rejected again, {duplicate} duplicates.",
)

_ENTRY_BYTES: Final = 200  # of the ledger's statement, for each array
_LEDGER: Final = """
INSERT INTO scan_messages (tenant_id, scan_id, first_index, records, kafka_partition, kafka_offset)
SELECT t, s, i, n, %(partition)s, o
FROM unnest(%(tenants)s::text[], %(scans)s::uuid[], %(indexes)s::int[], %(records)s::int[], %(offsets)s::bigint[])
     AS m (t, s, i, n, o)
ON CONFLICT DO NOTHING RETURNING kafka_offset
"""


class Ledger:
    """Which numbered arrays are new: the same one sent again counts nothing (design, section 4)."""

    def __init__(self, cursor: TimedCursor, batch: MicroBatch) -> None:
        self._cursor = cursor
        self._batch = batch

    def resent(self) -> set[int]:
        """Offsets of messages whose array was counted before, in this micro-batch or in an earlier one."""
        first: dict[tuple[str, str, int], Incoming] = {}
        numbered: set[int] = set()
        for message in self._batch.messages:
            index = message.envelope.first_index
            if index is not None and message.count:
                numbered.add(message.offset)
                first.setdefault((message.envelope.tenant_id, message.envelope.scan_id, index), message)
        if not first:
            return set()
        ordered = [first[key] for key in sorted(first)]
        for part in self._cursor.parts.cut(ordered, lambda _: _ENTRY_BYTES):
            self._cursor.execute(
                _LEDGER,
                {
                    "partition": self._batch.partition,
                    "tenants": [message.envelope.tenant_id for message in part],
                    "scans": [message.envelope.scan_id for message in part],
                    "indexes": [message.envelope.first_index for message in part],
                    "records": [message.count for message in part],
                    "offsets": [message.offset for message in part],
                },
            )
            numbered.difference_update(row[0] for row in self._cursor.fetchall())
        return numbered

    def returned(self) -> set[int]:
        """Offsets of dead letters that were sent again (see returned.py)."""
        return note_returned(self._cursor, self._batch)

    def mended(self, message: Incoming, lines: Lines) -> tuple[Incoming, Lines]:
        """What is left of a message of mended records: those whose rejection stood open until now."""
        return only(take_rejections(self._cursor, self._batch.partition, message), message, lines)


class Plan:
    """A micro-batch with its rows formatted, ready to be applied once or, after a conflict, twice."""

    def __init__(self, batch: MicroBatch, lines: list[Lines]) -> None:
        self.batch = batch
        self._lines = lines
        self.scan_keys = {_key(message) for message in batch.messages}

    def has_twins(self) -> bool:
        """True when a scan has the same activity_key twice in here: then a straight COPY is bound to fail."""
        keys: dict[Key, list[str]] = defaultdict(list)
        for message in self.batch.messages:
            keys[_key(message)].extend([record.activity_key for record in message.records])
        return any(len(set(names)) != len(names) for names in keys.values())

    def apply(self, scans: dict[Key, Scan], ledger: Ledger) -> "Effects":
        """Changes the scans by everything but the stored rows, and returns what is to be written."""
        resent, returned = ledger.resent(), ledger.returned()
        effects = Effects(self.batch, scans)
        for message, lines in zip(self.batch.messages, self._lines, strict=True):
            scan = scans[_key(message)]
            if message.offset in returned and scan.messages_unreadable:
                scan.messages_unreadable -= 1  # it is here again; where it still cannot be read, it counts again
            if message.unreadable:
                scan.messages_unreadable += 1
            elif message.control is not None:
                if not scan.take(message.control, effects.pending[_key(message)]):
                    effects.ignored[_key(message)].append(message)
            elif message.offset in resent:
                continue
            elif message.envelope.mends:
                if scan.cancel_reason is None:
                    effects.mend(*ledger.mended(message, lines))
            elif scan.cancel_reason is not None:
                effects.refuse_all(message)
            else:
                effects.take(message, lines)
        return effects


def _key(message: Incoming) -> Key:
    return message.envelope.tenant_id, message.envelope.scan_id


def _description(message: Incoming) -> dict[str, Any]:
    """Of a control message that came too late."""
    total = {"records_total": message.control.records_total} if isinstance(message.control, Closed) else {}
    return {"type": message.envelope.type, "offset": message.offset, **total}


class Effects:
    """Rows to copy, records to reject, and what each scan gains."""

    def __init__(self, batch: MicroBatch, scans: dict[Key, Scan]) -> None:
        self.batch = batch
        self.lines: list[str] = []
        self.rejects: list[tuple[Incoming, Rejected]] = []
        self.pending: Counter[Key] = Counter()  # accepted records of each scan so far
        self.mended: Counter[Key] = Counter()  # rejections of each scan that mended records took the place of
        self.ignored: dict[Key, list[Incoming]] = defaultdict(list)  # what came too late to change each scan
        self._scans = scans
        self._taken: list[tuple[Incoming, Lines]] = []
        self._before = {
            key: (scan.records_stored, scan.records_rejected, scan.records_duplicate) for key, scan in scans.items()
        }

    @property
    def taken(self) -> list[Incoming]:
        """Messages whose accepted records are to be stored, in order."""
        return [message for message, _ in self._taken]

    def take(self, message: Incoming, lines: Lines) -> None:
        """Its accepted records are to be stored, its rejected ones are rejected."""
        self._taken.append((message, lines))
        self.lines += lines.lines
        self.pending[_key(message)] += len(lines.lines)
        for rejected in message.rejected:
            self._reject(message, rejected)

    def mend(self, message: Incoming, lines: Lines) -> None:
        """Its records take the place of as many rejections."""
        self.mended[_key(message)] += message.count
        self._scans[_key(message)].records_rejected -= message.count
        self.take(message, lines)

    def refuse_all(self, message: Incoming) -> None:
        """The scan is cancelled: nothing of it is stored, and every record says why."""
        error = (FieldError("scan_cancelled"),)
        for position, record in zip(message.positions, message.records, strict=True):
            self._reject(message, Rejected(position, error, record.activity_key, _json(record)))
        for rejected in message.rejected:
            self._reject(message, rejected._replace(errors=error))

    def settle_straight(self) -> None:
        """Every line was stored."""
        for message, lines in self._taken:
            self._gain(_key(message), Stored(len(lines.lines), lines.sensitive, lines.cross_border))

    def settle_staged(self, gained: dict[Key, Stored], refused: dict[int, str]) -> None:
        """Some lines were stored; `refused` {position in lines: SQLSTATE} are rejected, the rest were duplicates."""
        offered: Counter[Key] = Counter()
        line = 0
        for message, _ in self._taken:
            for position, record in zip(message.positions, message.records, strict=True):
                state = refused.get(line)
                if state is None:
                    offered[_key(message)] += 1
                else:
                    error = FieldError("database_refused", "", {"sqlstate": state})
                    self._reject(message, Rejected(position, (error,), record.activity_key, _json(record)))
                line += 1
        for key, count in offered.items():
            stored = gained.get(key, Stored())
            self._gain(key, stored)
            self._scans[key].records_duplicate += count - stored.stored

    def _gain(self, key: Key, gained: Stored) -> None:
        scan = self._scans[key]
        scan.records_stored += gained.stored
        scan.records_sensitive += gained.sensitive
        scan.records_cross_border += gained.cross_border

    def _reject(self, message: Incoming, rejected: Rejected) -> None:
        scan = self._scans[_key(message)]
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
