"""A sink in memory: the rules over dictionaries. It answers when it is let."""

import copy
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from schemas.dead_letters import DeadLetterId
from schemas.decoder import Incoming
from schemas.record import Record
from schemas.status import Scan, ScanStatus, status_of
from schemas.stored_offset import StoredOffset
from sinks.effects import Key, Plan, Stored, key_of, kind_of
from sinks.protocol import Fenced, LaneStore, MicroBatch


@dataclass
class Content:
    """All that is stored."""

    offsets: dict[int, int] = field(default_factory=dict)
    scans: dict[Key, Scan] = field(default_factory=dict)
    rows: dict[tuple[str, str, str], tuple[int | None, Record]] = field(
        default_factory=dict
    )  # by scan and activity_key
    rejections: list[tuple[Key, int | None]] = field(default_factory=list)
    arrays: set[tuple[str, str, int]] = field(default_factory=set)
    letters: set[DeadLetterId] = field(default_factory=set)

    def copied(self) -> "Content":
        """What can be thrown away."""
        scans = {key: copy.copy(scan) for key, scan in self.scans.items()}
        return Content(
            dict(self.offsets), scans, dict(self.rows), list(self.rejections), set(self.arrays), set(self.letters)
        )


class _Ledger:
    """Of one micro-batch (sinks.effects.Ledger)."""

    def __init__(self, content: Content, batch: MicroBatch) -> None:
        self._content = content
        self._batch = batch

    def resent(self) -> set[int]:
        found = set()
        for message in self._batch.messages:
            index = message.envelope.first_index
            if index is not None and message.record_count:
                array = (*key_of(message), index)
                if array in self._content.arrays:
                    found.add(message.offset)
                self._content.arrays.add(array)
        return found

    def returned(self) -> set[int]:
        found = set()
        for message in self._batch.messages:
            letter = message.envelope.letter
            if letter is not None and letter not in self._content.letters:
                self._content.letters.add(letter)
                found.add(message.offset)
        return found

    def mended(self, message: Incoming) -> set[int]:
        found = set()
        for position, mend in enumerate(message.envelope.mends):
            if (key_of(message), mend) in self._content.rejections:
                self._content.rejections.remove((key_of(message), mend))
                found.add(position)
        return found


class MemorySink:
    """A sink for the tests of one lane: `offset` is partition 0's. Before `answering` is set, it does not say where it is."""

    reader = None

    def __init__(self, offset: int) -> None:
        self.content = Content({0: offset})
        self.answering = threading.Event()
        self.written: list[MicroBatch] = []
        self.batch_bytes: int | None = None

    @property
    def offset(self) -> int:
        return self.content.offsets[0]

    @offset.setter
    def offset(self, offset: int) -> None:
        self.content.offsets[0] = offset

    def load_offsets(
        self, topic: str, partitions: Iterable[int], topic_id: str | None = None
    ) -> dict[int, StoredOffset]:
        assert self.answering.wait(30)
        return {partition: StoredOffset(self.content.offsets.get(partition, 0)) for partition in partitions}

    def prepare(self, batch: MicroBatch) -> MicroBatch:
        return batch

    def write(self, prepared: MicroBatch) -> list[ScanStatus]:
        batch, plan, content = prepared, Plan(prepared), self.content.copied()
        if content.offsets.get(batch.partition, 0) != batch.start:
            raise Fenced(str(batch.start))
        content.offsets[batch.partition] = batch.end
        scans = {key: content.scans.setdefault(key, Scan(*key)) for key in plan.scan_keys}
        effects = plan.apply(scans, _Ledger(content, batch))
        gained: dict[Key, Stored] = {}
        for _, message, _ in effects.taken:
            key = key_of(message)
            for position, record in zip(message.positions, message.records, strict=True):
                if (*key, record.activity_key) not in content.rows:
                    content.rows[*key, record.activity_key] = message.index_of(position), record
                    gained.setdefault(key, Stored())[kind_of(record)] += 1
        effects.settle(gained, {})
        content.rejections += [
            (key_of(message), message.index_of(rejected.position)) for message, rejected in effects.rejects
        ]
        for scan in scans.values():
            scan.settle(datetime.now(UTC))
        self.commit(batch, content)
        return [status_of(scan) for scan in scans.values()]

    def commit(self, batch: MicroBatch, content: Content) -> None:
        """All of it at once."""
        self.content = content
        self.written.append(batch)

    def statuses(self, partition: int, changed_within: timedelta) -> list[ScanStatus]:
        return []

    def dead_letters_allowed(self, topic: str, partition: int) -> int:
        return 0

    def used_by_others(self, partition: int, tenant_id: str | None) -> bool:
        return False

    def interrupt(self, thread: int) -> None: ...

    def answers(self, thread: int | None) -> int:
        return 0

    def probe(self) -> None: ...

    def close(self) -> None: ...


if TYPE_CHECKING:
    _keeps: type[LaneStore[MicroBatch]] = MemorySink
