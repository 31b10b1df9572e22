"""What every sink keeps (sinks/protocol.py), whatever it stores in. Each sink runs all of it, in a class of its own that says how
one is made and looked into."""

import datetime as dt
import itertools
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import pytest

from schemas import topics
from schemas.decoder import Incoming, decode, envelope_of
from schemas.messages import Envelope, headers_for
from schemas.status import ScanStatus
from sinks.protocol import Fenced, MicroBatch, Sink, SinkError
from tests.helpers import array
from tests.unit.examples import MINIMAL, encode

PARTITION: Final = 9_002  # no worker's


class Row(NamedTuple):
    """What is looked at of a stored record."""

    activity_key: str
    record_index: int | None
    name: str


class Store(Protocol):
    """A sink that nothing was written to, and what is in it."""

    tenant: str

    @property
    def sink(self) -> Sink[Any]: ...

    def rows(self, scan: str) -> list[Row]:
        """The scan's records, by activity_key."""
        ...

    def rejections(self, scan: str) -> list[int | None]:
        """Indexes of the scan's records whose rejection stands open, in order."""
        ...

    def breaking(self) -> AbstractContextManager[None]:
        """Meanwhile every micro-batch that brings rows fails when part of it is written."""
        ...


class Sent(NamedTuple):
    """A message before it has an offset."""

    kind: str
    value: bytes
    first_index: int | None = None
    mends: tuple[int, ...] = ()


class Message(NamedTuple):
    """As it comes from Kafka."""

    offset: int
    key: bytes
    value: bytes
    headers: Any
    timestamp: int = 0


def record(key: str, name: str = "first", **changes: Any) -> bytes:
    return encode(MINIMAL | {"activity_key": key, "name": name} | changes)


def bad(key: str) -> bytes:
    return record(key, legal_basis="none")


def records(*lines: bytes, first: int | None = None) -> Sent:
    return Sent(topics.RECORDS, array(lines), first)


def mended(*lines: bytes, mends: tuple[int, ...]) -> Sent:
    return Sent(topics.MENDED, array(lines), mends=mends)


def opened(total: int | None = None) -> Sent:
    return Sent(topics.OPENED, msgspec.json.encode({"records_total": total}))


def closed(total: int) -> Sent:
    return Sent(topics.CLOSED, msgspec.json.encode({"records_total": total}))


CANCELLED: Final = Sent(topics.CANCELLED, b"{}")


def counts(status: ScanStatus) -> tuple[int, int, int]:
    """Stored, rejected, duplicate."""
    return status.records_stored, status.records_rejected, status.records_duplicate


class Partition:
    """One partition that is written to, message after message."""

    def __init__(self, store: Store, number: int = PARTITION) -> None:
        self._store = store
        self.number = number
        self.next_offset = self.offset
        self.scan = str(uuid.uuid4())

    @property
    def offset(self) -> int:
        """As the store says."""
        return self._store.sink.load_offsets(topics.RECORDS_TOPIC, [self.number])[self.number].next_offset

    def incoming(self, *sent: Sent, start: int, scan: str | None = None) -> list[Incoming]:
        messages = [
            Message(
                start + at,
                self._store.tenant.encode(),
                each.value,
                headers_for(each.kind, scan or self.scan, first_index=each.first_index, mends=each.mends),
            )
            for at, each in enumerate(sent)
        ]
        return [decode(message, envelope_of(message), dt.datetime.now(dt.UTC)) for message in messages]

    def batch(self, messages: Sequence[Incoming], start: int) -> Any:
        """Prepared."""
        batch = MicroBatch(topics.RECORDS_TOPIC, self.number, start, start + len(messages), messages)
        return self._store.sink.prepare(batch)

    def prepared(self, *sent: Sent, start: int | None = None) -> Any:
        first = self.next_offset if start is None else start
        return self.batch(self.incoming(*sent, start=first), first)

    def write(self, *sent: Sent) -> ScanStatus:
        """One micro-batch of the one scan; each message of mended records is alone in its own (see MicroBatch)."""
        for mends, group in itertools.groupby(sent, key=lambda each: each.mends):
            together = list(group)
            for part in [[each] for each in together] if mends else [together]:
                (status,) = self._store.sink.write(self.prepared(*part))
                self.next_offset += len(part)
        return status

    def write_each(self, *sent: Sent) -> ScanStatus:
        """A micro-batch for each."""
        return [self.write(each) for each in sent][-1]


TOGETHER_OR_APART: Final = pytest.mark.parametrize("write", [Partition.write, Partition.write_each])


class SinkContract:
    """Every case, for a subclass that has the fixture `store`."""

    @pytest.fixture
    def partition(self, store: Store) -> Partition:
        return Partition(store)

    # Offsets

    def test_the_offset_of_each_partition_is_returned(self, store: Store, partition: Partition) -> None:
        other = Partition(store, PARTITION + 1)
        assert (partition.offset, other.offset) == (0, 0)
        partition.write(records(record("a")), records(record("b")))
        other.write(records(record("c")))
        found = store.sink.load_offsets(topics.RECORDS_TOPIC, [PARTITION, PARTITION + 1])
        assert {number: place.next_offset for number, place in found.items()} == {PARTITION: 2, PARTITION + 1: 1}

    def test_offsets_that_are_missing_are_passed(self, store: Store, partition: Partition) -> None:
        messages = partition.incoming(records(record("a")), records(record("b")), start=3)
        store.sink.write(store.sink.prepare(MicroBatch(topics.RECORDS_TOPIC, PARTITION, 0, 9, messages)))
        assert partition.offset == 9

    def test_a_micro_batch_of_nothing_changes_nothing(self, store: Store, partition: Partition) -> None:
        partition.write(records(record("a")))
        assert store.sink.write(partition.prepared()) == []
        assert partition.offset == 1

    @pytest.mark.parametrize("start", [0, 1, 3])
    def test_a_swap_that_fails_writes_nothing(self, store: Store, partition: Partition, start: int) -> None:
        partition.write(records(record("a"), bad("x"), first=0), closed(2))
        late = partition.prepared(records(record("b"), bad("y"), first=2), CANCELLED, start=start)
        with pytest.raises(Fenced):
            store.sink.write(late)
        assert partition.offset == 2
        assert store.rows(partition.scan) == [Row("a", 0, "first")]
        assert store.rejections(partition.scan) == [1]
        status = partition.write(records(record("b"), first=2))  # the array is new, and the scan is not cancelled
        assert (status.status, status.version, counts(status)) == ("completed_with_errors", 2, (2, 1, 0))

    def test_the_same_micro_batch_twice_is_written_once(self, store: Store, partition: Partition) -> None:
        sent = records(record("a"), bad("x")), closed(2)
        prepared, anew = partition.prepared(*sent), partition.prepared(*sent)
        (status,) = store.sink.write(prepared)
        for again in (prepared, anew):
            with pytest.raises(Fenced):
                store.sink.write(again)
        assert (status.status, counts(status), partition.offset) == ("completed_with_errors", (1, 1, 0), 2)
        assert (store.rows(partition.scan), store.rejections(partition.scan)) == ([Row("a", None, "first")], [None])

    # Failing

    def test_what_was_fenced_is_written_when_its_turn_comes(self, store: Store, partition: Partition) -> None:
        early = partition.prepared(records(record("b"), bad("y"), first=1), closed(3), start=1)
        with pytest.raises(Fenced):
            store.sink.write(early)
        partition.write(records(record("a"), first=0))
        (status,) = store.sink.write(early)
        assert (status.status, counts(status), status.version) == ("completed_with_errors", (2, 1, 0), 2)
        assert store.rows(partition.scan) == [Row("a", 0, "first"), Row("b", 1, "first")]

    def test_what_failed_midway_left_nothing_and_is_written_when_handed_in_again(
        self, store: Store, partition: Partition
    ) -> None:
        partition.write(records(record("a"), bad("x"), first=0))
        prepared = partition.prepared(records(record("a", "second"), record("b"), bad("y"), first=2), closed(5))
        with store.breaking():
            for _ in range(2):
                with pytest.raises((SinkError, OSError)):
                    store.sink.write(prepared)
            assert (partition.offset, store.rows(partition.scan)) == (1, [Row("a", 0, "first")])
            assert store.rejections(partition.scan) == [1]
        (status,) = store.sink.write(prepared)
        assert (status.status, counts(status), status.version) == ("completed_with_errors", (2, 2, 1), 2)
        assert store.rows(partition.scan) == [Row("a", 0, "first"), Row("b", 3, "first")]
        assert store.rejections(partition.scan) == [1, 4]

    def test_a_correction_that_failed_midway_takes_no_rejection_away(self, store: Store, partition: Partition) -> None:
        partition.write(records(bad("a"), first=0), closed(1))
        prepared = partition.prepared(mended(record("a"), mends=(0,)))
        with store.breaking():
            with pytest.raises((SinkError, OSError)):
                store.sink.write(prepared)
            assert store.rejections(partition.scan) == [0]
        (status,) = store.sink.write(prepared)
        assert (status.status, counts(status), store.rejections(partition.scan)) == ("completed", (1, 0, 0), [])

    # Records

    @pytest.mark.parametrize(
        "sent",
        [
            [records(record("a"), record("b"), record("a", "second"))],
            [records(record("a"), record("b")), records(record("a", "second"))],
        ],
        ids=["in one array", "in two"],
    )
    @TOGETHER_OR_APART
    def test_the_first_of_twins_is_stored(
        self, store: Store, partition: Partition, sent: list[Sent], write: Any
    ) -> None:
        status = write(partition, *sent, closed(3))
        assert (status.status, counts(status)) == ("completed", (2, 0, 1))
        assert [(row.activity_key, row.name) for row in store.rows(partition.scan)] == [("a", "first"), ("b", "first")]

    def test_one_key_in_two_scans_is_no_twin(self, store: Store, partition: Partition) -> None:
        scans = [str(uuid.uuid4()) for _ in range(2)]
        messages = [
            message
            for at, scan in enumerate(scans)
            for message in partition.incoming(records(record("a", scan)), start=at, scan=scan)
        ]
        statuses = store.sink.write(partition.batch(messages, 0))
        assert sorted(status.scan_id for status in statuses) == sorted(scans)
        for status in statuses:
            assert (status.tenant_id, counts(status)) == (store.tenant, (1, 0, 0))
            assert store.rows(status.scan_id) == [Row("a", None, status.scan_id)]

    def test_what_is_sensitive_or_crosses_a_border_counts_where_it_is_stored(self, partition: Partition) -> None:
        special: dict[str, Any] = {"data_categories": ["sensitive_health"], "storage_country": "SG"}
        partition.write(records(record("a", **special), record("b")))
        status = partition.write(records(record("a", "second", **special), record("c", **special), bad("x")))
        assert (status.records_sensitive, status.records_cross_border) == (2, 2)

    @TOGETHER_OR_APART
    def test_an_array_that_is_sent_again_counts_once(self, store: Store, partition: Partition, write: Any) -> None:
        sent = records(record("a"), bad("x"), first=0)
        status = write(partition, sent, sent, records(record("b"), first=2), sent, closed(3))
        assert (status.status, counts(status)) == ("completed_with_errors", (2, 1, 0))
        assert store.rejections(partition.scan) == [1]

    def test_an_array_without_a_number_is_not_known_again(self, partition: Partition) -> None:
        sent = records(record("a"))
        assert counts(partition.write(sent, sent)) == (1, 0, 1)

    # Scans

    @TOGETHER_OR_APART
    def test_what_comes_after_a_cancellation_is_rejected(self, store: Store, partition: Partition, write: Any) -> None:
        before, after = records(record("a"), first=0), records(record("b"), bad("x"), first=1)
        status = write(partition, opened(3), before, CANCELLED, after, closed(3))
        assert (status.status, status.cancel_reason, counts(status)) == ("cancelled", "by_request", (1, 2, 0))
        samples = msgspec.to_builtins(status.errors_sample)
        assert [(each["index"], each["code"]) for each in samples] == [
            (1, "scan_cancelled"),
            (2, "scan_cancelled"),
        ]
        assert (store.rows(partition.scan), store.rejections(partition.scan)) == ([Row("a", 0, "first")], [1, 2])

    @TOGETHER_OR_APART
    def test_a_cancellation_of_a_complete_scan_comes_too_late(self, partition: Partition, write: Any) -> None:
        status = write(partition, records(record("a")), closed(1), CANCELLED)
        assert (status.status, status.cancel_reason) == ("completed", None)

    def test_a_scan_may_be_closed_before_its_arrays_came(self, partition: Partition) -> None:
        assert partition.write(closed(3), opened(3)).status == "queued"
        assert partition.write(records(record("a"), record("b"))).status == "processing"
        status = partition.write(records(record("c")))
        assert (status.status, status.progress, status.finished_at is None) == ("completed", 1.0, False)

    @TOGETHER_OR_APART
    def test_of_totals_that_disagree_the_one_at_the_end_counts(self, partition: Partition, write: Any) -> None:
        status = write(partition, opened(1), records(record("a")), closed(2))
        assert (status.status, status.records_total) == ("processing", 2)
        status = write(partition, records(record("b")), closed(5), opened(7))
        assert (status.status, status.records_total, counts(status)) == ("completed", 2, (2, 0, 0))

    def test_a_message_that_cannot_be_read_is_counted(self, store: Store, partition: Partition) -> None:
        lost = Incoming(0, Envelope(topics.RECORDS, store.tenant, partition.scan, None), unreadable=True)
        (status,) = store.sink.write(partition.batch([lost], 0))
        assert (status.messages_unreadable, counts(status)) == (1, (0, 0, 0))
        partition.next_offset += 1
        assert partition.write(closed(1)).status == "failed"
        assert partition.write(records(record("a"))).status == "completed_with_errors"

    # Mending

    @TOGETHER_OR_APART
    def test_a_rejected_record_is_corrected_once(self, store: Store, partition: Partition, write: Any) -> None:
        correction = mended(record("b"), mends=(1,))
        sent = records(record("a"), bad("b"), record("c"), first=0), closed(3)
        status = write(partition, *sent, correction, correction, mended(record("b", "second"), mends=(1,)))
        assert (status.status, counts(status)) == ("completed", (3, 0, 0))
        assert store.rows(partition.scan) == [Row(key, at, "first") for at, key in enumerate("abc")]
        assert store.rejections(partition.scan) == []

    def test_of_several_corrected_records_those_count_whose_rejection_stands(
        self, store: Store, partition: Partition
    ) -> None:
        partition.write(records(bad("a"), bad("b"), record("c"), bad("d"), first=0), closed(4))
        status = partition.write(
            mended(record("a"), record("c", "second"), bad("b"), record("e"), mends=(0, 2, 1, 9)), opened()
        )
        assert (status.status, counts(status)) == ("completed_with_errors", (2, 2, 0))
        assert store.rows(partition.scan) == [Row("a", 0, "first"), Row("c", 2, "first")]
        assert store.rejections(partition.scan) == [1, 3]

    def test_a_corrected_record_whose_key_is_taken_is_a_duplicate(self, store: Store, partition: Partition) -> None:
        partition.write(records(record("a"), bad("x"), first=0), closed(2))
        status = partition.write(mended(record("a", "second"), mends=(1,)))
        assert (status.status, counts(status)) == ("completed", (1, 0, 1))
        assert (store.rows(partition.scan), store.rejections(partition.scan)) == ([Row("a", 0, "first")], [])

    def test_nothing_of_a_cancelled_scan_is_corrected(self, store: Store, partition: Partition) -> None:
        partition.write(records(bad("a"), first=0), CANCELLED)
        status = partition.write(mended(record("a"), mends=(0,)))
        assert (status.status, counts(status)) == ("cancelled", (0, 1, 0))
        assert (store.rows(partition.scan), store.rejections(partition.scan)) == ([], [0])

    # All of it

    def test_how_messages_are_cut_into_micro_batches_does_not_matter(self, store: Store) -> None:
        sent = [
            opened(9),
            records(record("a"), bad("x"), record("b"), first=0),
            records(record("c"), record("a", "second"), first=3),
            records(record("a"), bad("x"), record("b"), first=0),
            mended(record("x"), mends=(1,)),
            closed(6),
            records(bad("y"), first=5),
            CANCELLED,
            mended(record("y"), mends=(5,)),
        ]
        found = set()
        for cut in range(len(sent) + 1):
            partition = Partition(store)
            for part in (sent[:cut], sent[cut:]):
                if part:
                    status = partition.write(*part)
            rows, rejections = store.rows(partition.scan), store.rejections(partition.scan)
            found.add((status.status, counts(status), tuple(rows), tuple(rejections)))
        stored = tuple(Row(key, at, "first") for key, at in (("a", 0), ("b", 2), ("c", 3), ("x", 1), ("y", 5)))
        assert found == {("completed", (5, 0, 1), stored, ())}
