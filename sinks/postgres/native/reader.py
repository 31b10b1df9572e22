"""Messages read by records.c: their bytes in, an Incoming whose lines are made already out."""

import ctypes
import datetime as dt
import threading
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from schemas.codes import SENSITIVE_CATEGORIES
from schemas.decoder import Incoming, Rejected, read_record
from schemas.messages import Envelope
from schemas.record import CLOCK_TOLERANCE, Record
from schemas.topics import MAX_RECORDS_PER_MESSAGE
from sinks.effects import Kind
from sinks.postgres.metrics import NATIVE_RECORDS
from sinks.postgres.native.library import Job, library_path, load
from sinks.postgres.native.rules import CATEGORY_CODES
from sinks.postgres.rows import FormattedRecords, Lines, lines_of
from sinks.protocol import RecordReader

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_COLUMNS: Final = 6  # of a row in records.c, each an unsigned integer of four bytes
_AROUND: Final = 256  # bytes of a line at most that are neither its prefix nor the record's own
_KEPT: Final = 2 * 1024 * 1024  # bytes of room that a thread keeps
_KINDS_KEPT: Final = 10_000
_CROSSES: Final = 1 << 30


class _Room(NamedTuple):
    """What records.c writes into."""

    rows: "ctypes.Array[ctypes.c_uint32]"
    out: "ctypes.Array[ctypes.c_uint8]"

    @classmethod
    def of(cls, records: int, size: int) -> "_Room":
        return cls((ctypes.c_uint32 * (_COLUMNS * records))(), (ctypes.c_uint8 * size)())


class _Read(NamedTuple):
    """What was read of some bytes; one of each for every record, those that were declined too."""

    json: bytes
    spans: list[tuple[int, int]]
    lines: Lines  # of a declined one there is none: it ends where the one before it ends
    taken: Sequence[int]  # 0: declined
    declined: int

    def part(self, first: int, end: int) -> FormattedRecords:
        """The records from `first` to `end`, none of which was declined."""
        data, ends, keys, kinds = self.lines
        if (first, end) == (0, len(ends)):
            return FormattedRecords(self.json, self.spans, self.lines, {})
        start = ends[first - 1] if first else 0
        ends = [each - start for each in ends[first:end]]
        lines = Lines(data[start : start + ends[-1]], ends, keys[first:end], kinds[first:end])
        return FormattedRecords(self.json, self.spans[first:end], lines, {})


class _Kinds(dict[int, Kind]):
    """The kind that a row's number stands for."""

    def __missing__(self, number: int) -> Kind:
        if len(self) >= _KINDS_KEPT:
            self.clear()
        codes = [code for at, code in enumerate(CATEGORY_CODES) if number >> at & 1]
        kind = self[number] = (
            ",".join(codes),
            not SENSITIVE_CATEGORIES.isdisjoint(codes),
            bool(number & _CROSSES),
        )
        return kind


class NativeReader:
    """Reads messages for PostgreSQL. Thread-safe: each thread has room of its own, and C runs without the interpreter's
    lock."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._own = threading.local()
        self._kinds = _Kinds()

    def read_message(self, offset: int, envelope: Envelope, value: bytes, now: dt.datetime) -> Incoming | None:
        """See RecordReader."""
        job = _job(envelope, now + CLOCK_TOLERANCE)
        room = self._room(MAX_RECORDS_PER_MESSAGE, len(value), job)
        found = self._library.scanline_read_message(
            value, len(value), job, room.rows, MAX_RECORDS_PER_MESSAGE, room.out, len(room.out)
        )
        if found < 0 or job.declined * 4 > found:  # then the thorough way is faster alone
            return None
        read = self._read(value, found, job, room)
        NATIVE_RECORDS.inc(found - read.declined)
        if read.declined:
            return _completed(offset, envelope, read, now)
        return Incoming(offset, envelope, read.part(0, found), range(found), plain=True, bytes=len(value))

    def read_singles(
        self, envelope: Envelope, values: Sequence[bytes], latest: dt.datetime
    ) -> list[tuple[int, Sequence[Record] | None]]:
        """See RecordReader."""
        json = b"".join(values)
        job = _job(envelope, latest)
        room = self._room(len(values), len(json), job)
        ends = array("I", accumulate(map(len, values)))
        found = self._library.scanline_read_singles(
            json, ends.buffer_info()[0], len(values), job, room.rows, room.out, len(room.out)
        )
        if found < 0 or job.declined * 4 > found:
            return [(len(values), None)]
        read = self._read(json, found, job, room)
        NATIVE_RECORDS.inc(found - read.declined)
        runs: list[tuple[int, Sequence[Record] | None]] = []
        first = 0
        while first < found:
            end = _run_ends(read.taken, first) if read.declined else found
            runs.append((end - first, read.part(first, end) if read.taken[first] else None))
            first = end
        return runs

    def _room(self, records: int, size: int, job: Job) -> _Room:
        wanted = size + records * (job.prefix_n + _AROUND)
        kept: _Room | None = getattr(self._own, "room", None)
        if kept is not None and len(kept.out) >= wanted and len(kept.rows) >= records * _COLUMNS:
            return kept
        room = _Room.of(max(records, MAX_RECORDS_PER_MESSAGE), max(wanted, _KEPT))
        if wanted <= _KEPT:
            self._own.room = room
        return room

    def _read(self, json: bytes, found: int, job: Job, room: _Room) -> _Read:
        table = array("I")
        table.frombytes(memoryview(room.rows).cast("B")[: found * _COLUMNS * table.itemsize])
        starts, ends, key_starts, key_ends, line_ends, kinds = (table[at::_COLUMNS] for at in range(_COLUMNS))
        data = bytes(memoryview(room.out)[: line_ends[-1]])
        keys = [data[start:end] for start, end in zip(key_starts, key_ends, strict=True)]
        lines = Lines(data, line_ends, keys, [self._kinds[number] for number in kinds])
        return _Read(json, list(zip(starts, ends, strict=True)), lines, kinds, job.declined)


def _job(envelope: Envelope, latest: dt.datetime) -> Job:
    prefix = f"{envelope.tenant_id}\t{envelope.scan_id}\t".encode()
    first = -1 if envelope.first_index is None else envelope.first_index
    return Job(prefix, len(prefix), first, (latest - _EPOCH) // _MICROSECOND, 0)


def _run_ends(taken: Sequence[int], first: int) -> int:
    """Behind the last of those from `first` on that are all taken, or all declined."""
    end = first
    while end < len(taken) and bool(taken[end]) == bool(taken[first]):
        end += 1
    return end


def _completed(offset: int, envelope: Envelope, read: _Read, now: dt.datetime) -> Incoming:
    """The message, with what was declined of it read the thorough way."""
    incoming = Incoming(offset, envelope, bytes=len(read.json))
    rejected: list[Rejected] = []
    positions: list[int] = []
    others: dict[int, Record] = {}
    made: list[tuple[bytes, bytes, Kind]] = []  # line, key and kind of each that is right
    for position, line in enumerate(read.lines.lines):
        one = line, read.lines.keys[position], read.lines.kinds[position]
        if not read.taken[position]:
            start, end = read.spans[position]
            outcome = read_record(position, read.json[start:end], now)
            if isinstance(outcome, Rejected):
                rejected.append(outcome)
                continue
            others[len(positions)] = outcome
            own = lines_of(incoming._replace(records=[outcome], positions=[position]))
            one = own.data, own.keys[0], own.kinds[0]
        positions.append(position)
        made.append(one)
    lines = Lines.of([line for line, _, _ in made], [key for _, key, _ in made], [kind for _, _, kind in made])
    spans = [read.spans[position] for position in positions]
    records = FormattedRecords(read.json, spans, lines, others)
    return incoming._replace(records=records, positions=positions, rejected=rejected)


def native_reader() -> RecordReader | None:
    """The reader, where its library was compiled on this machine (`make setup`)."""
    library = load(library_path())
    return NativeReader(library) if library is not None else None
