"""The protocol between a lane and a sink: what is handed over, and what each may expect."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from schemas.decoder import Incoming
from schemas.messages import Envelope
from schemas.record import Record
from schemas.status import ScanStatus
from schemas.stored_offset import StoredOffset


class MicroBatch(NamedTuple):
    """The messages of the offsets [start, end) of one partition; offsets in between may be missing (gaps are real).
    `topic_id` is that of the offset where the partition was begun to be read. Corrections are alone in theirs: the
    rejections that they take the place of must be stored before, by earlier messages or by records of their own
    message."""

    topic: str
    partition: int
    start: int
    end: int
    messages: Sequence[Incoming]
    topic_id: str | None = None


class SinkError(Exception):
    """A micro-batch was not written, as a whole. Nothing of it is visible."""


class Fenced(SinkError):
    """The offsets have moved: another worker, or an attempt of ours whose answer was lost, has been here."""


class Unstorable(SinkError):
    """The store answers and refuses the micro-batch, most likely for a value in it, so that handing it in again cannot
    help. What the store raised is the cause, `cause_code` its SQLSTATE."""

    def __init__(self, cause_code: str) -> None:
        super().__init__(cause_code)
        self.cause_code = cause_code


class Unavailable(SinkError):
    """The store cannot take anything now; the same micro-batch may be handed in again. `cause_code` is its SQLSTATE."""

    def __init__(self, cause_code: str, text: str) -> None:
        super().__init__(f"{cause_code}: {text}")
        self.cause_code = cause_code


class RecordReader(Protocol):
    """Reads records from their bytes right into what its sink writes of them. It takes what is right, as the thorough way
    (schemas.decoder) would take it; what it declines, that way has to read, and it alone refuses."""

    def read_message(self, offset: int, envelope: Envelope, value: bytes, now: dt.datetime) -> Incoming | None:
        """Reads a message of records as schemas.decoder.decode does; a record that it declines is read the thorough way.
        None: the message is to be read by `decode`."""
        ...

    def read_singles(
        self, envelope: Envelope, values: Sequence[bytes], latest: dt.datetime
    ) -> list[tuple[int, Sequence[Record] | None]]:
        """Reads messages of one record each, which have no number. Returns runs that come to all of them, in their order:
        how many messages, and their records; None for the records: these messages are to be read the thorough way."""
        ...


Prepared = TypeVar("Prepared")


class Sink(Protocol[Prepared]):
    """Takes micro-batches, each exactly once: all that a replay needs. Calls block."""

    def load_offsets(
        self, topic: str, partitions: Iterable[int], topic_id: str | None = None
    ) -> dict[int, StoredOffset]:
        """The offset at which each partition is to be read on; 0 where nothing was written yet. With `topic_id`, the id
        of the topic as it is now, it is stored where none is, and where the offset is 0: nothing was read of the topic
        before. Raises Unavailable."""
        ...

    def prepare(self, batch: MicroBatch) -> Prepared:
        """Does what can be done without the store: pure computing, so that callers can do it one at a time."""
        ...

    def write(self, prepared: Prepared) -> list[ScanStatus]:
        """Writes all of it in one transaction, moves the offset of that topic from `start` to `end`, and returns the
        status of each scan it touched, with times by the store's clock: workers' clocks differ, and jump. Raises
        Fenced, Unavailable or Unstorable; then nothing was written, or (a lost answer) the next call says Fenced. A
        micro-batch of no messages that ends where it starts is written by the same statements, and changes nothing."""
        ...

    def close(self) -> None:
        """Gives every connection back."""
        ...


class LaneStore(Sink[Prepared], Protocol[Prepared]):
    """A sink that a worker's lanes write to and ask. Calls come from the lanes' threads, several at a time."""

    @property
    def reader(self) -> RecordReader | None:
        """What reads records for this sink, where there is something faster than decoding them."""
        ...

    def statuses(self, partition: int, changed_within: dt.timedelta) -> list[ScanStatus]:
        """The unfinished scans of the partition, and those changed within that time by the store's clock. Raises
        Unavailable."""
        ...

    def probe(self) -> None:
        """Returns when the store can take writes again. Raises Unavailable."""
        ...

    def interrupt(self, thread: int) -> None:
        """Makes the call that this thread (threading.get_ident) is in fail soon, if it waits for the store."""
        ...

    def answers(self, thread: int | None) -> int:
        """The number of answers that the store has given in the call that this thread is in: a long call gets on where
        it grows. 0 for a thread that is in none."""
        ...

    @property
    def batch_bytes(self) -> int | None:
        """The number of bytes of messages that a micro-batch should have, so that it is stored within a reasonable
        time. None: any amount. A larger one is stored all the same."""
        ...

    def dead_letters_allowed(self, topic: str, partition: int) -> int:
        """The offset below which an operator lets messages go to the dead-letter topic, however many; 0 where nobody
        said so. Raises Unavailable."""
        ...

    def used_by_others(self, partition: int, tenant_id: str | None) -> bool:
        """True where tenants other than this one (None: any) had scans in the partition lately. Raises Unavailable."""
        ...
