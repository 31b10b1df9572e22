"""Record batches that the client cannot read, record by record, in bounded memory: those that are too large to be
unpacked at once, and those with a header whose name is no UTF-8, at which it raises and would never get past.

What is too large to be kept is described instead: where it stands, whose it is and how large. Nothing stops a lane
here."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.record.memory_records import MemoryRecords

from kafka_client.bounded_fetch.codecs import NotWhole, unpacked
from schemas.exception_summary import is_of_the_machine
from schemas.messages import Header
from schemas.topics import MAX_MESSAGE_BYTES

MAX_VALUE_BYTES: Final = 32 * 1024 * 1024  # of a value that is kept; half of what the dead-letter topic takes
KEPT_BYTES: Final = 64 * 1024 * 1024  # of all values together that are too large to be read, in the whole process
MAX_BATCH_BYTES: Final = 128 * 1024 * 1024  # looked through; with gzip, which is slow, that takes about a second
_MAX_KEY_BYTES: Final = 1024
_MAX_HEADER_BYTES: Final = 64 * 1024
_MAX_HEADERS: Final = 1_000
_BROKERS_TIME: Final = 1
_LENGTH: Final = slice(8, 12)  # where a batch says how long it is, less what comes before
_VERSION: Final = 16  # where it says which format it has
_CODEC: Final = 22
_CODECS: Final = 0b111
_RECORDS: Final = 61  # where the records begin


class _Kept(bytes):
    """A value that is too large to be read; it goes to the dead-letter topic as it came, where there is room for it
    till then."""

    together = 0
    _lock = threading.RLock()

    @classmethod
    def has_room(cls, size: int) -> bool:
        return cls.together + size <= KEPT_BYTES

    def __new__(cls, value: bytes) -> "_Kept":
        with cls._lock:
            cls.together += len(value)
        return super().__new__(cls, value)

    def __del__(self) -> None:
        with self._lock:
            _Kept.together -= len(self)


class Streamed(NamedTuple):
    """A message out of a large batch; as aiokafka's DefaultRecord, as far as lanes read it."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


class Oversized(NamedTuple):
    """A message, or all that is left of a batch, that was not kept. `value` is None; the rest is there as far as it was
    read."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: None
    headers: Sequence[Header]
    reason: str  # a code
    last_offset: int  # up to where it reaches
    size: int  # bytes, of the value or of as much of the batch as was unpacked


class Batches:
    """aiokafka's MemoryRecords, whose batches can be as large as they like, and hold headers of any name."""

    def __init__(self, fetched: bytes) -> None:
        self._records = MemoryRecords(fetched)
        self._fetched = fetched
        self._at = 0

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        start, fetched = self._at, self._fetched
        self._at += _LENGTH.stop + int.from_bytes(fetched[start + _LENGTH.start : start + _LENGTH.stop], "big")
        if fetched[start + _VERSION] < 2 or batch.is_control_batch:
            return batch
        return _Batch(batch, memoryview(fetched)[start : self._at])


class _Batch:
    """A batch of publishers' messages: iterating over it unpacks it."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except NotWhole as large:
            yield from read(self._batch, large.pieces)
        except Exception as error:
            if is_of_the_machine(error):
                raise
            # from the first message again: who asks passes over what was handed out
            codec, payload = self._raw[_CODEC] & _CODECS, bytes(self._raw[_RECORDS:])
            yield from read(self._batch, unpacked(codec, payload))


def read(batch: Any, pieces: Iterator[bytes]) -> Iterator[Streamed | Oversized]:
    """The batch's messages; at the end, where it could not be read to its end, one that stands for what is left."""
    stream = _Stream(pieces)
    records = _Records(batch, stream)
    try:
        while not stream.at_end():
            yield records.next()
    except Exception:  # whichever way a sender found
        yield records.rest()


class _Stream:
    """Unpacked bytes, in order. Raises EOFError and OverflowError (more than MAX_BATCH_BYTES)."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""
        self._at = 0
        self.unpacked = 0  # bytes until now

    @property
    def position(self) -> int:
        return self.unpacked - len(self._held) + self._at

    def at_end(self) -> bool:
        while self._at >= len(self._held):
            self._held, self._at = next(self._pieces, b""), 0
            self.unpacked += len(self._held)
            if not self._held:
                return True
            if self.unpacked > MAX_BATCH_BYTES:
                raise OverflowError
        return False

    def _some(self, most: int) -> bytes:
        if self.at_end():
            raise EOFError
        some = self._held[self._at : self._at + most]
        self._at += len(some)
        return some

    def take(self, count: int) -> bytes:
        parts: list[bytes] = []
        while count > 0:
            parts.append(self._some(count))
            count -= len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, count: int) -> None:
        while count > 0:
            count -= len(self._some(count))

    def varint(self) -> int:
        """Zigzag, as in protocol buffers."""
        value = shift = 0
        while True:
            (byte,) = self._some(1)
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value >> 1 ^ -(value & 1)
            shift += 7
            if shift > 63:
                raise ValueError


class _Records:
    """Reads records of format version 2, each after the other."""

    def __init__(self, batch: Any, stream: _Stream) -> None:
        self._batch = batch
        self._stream = stream
        self._offset: int = batch.base_offset  # of the record that is being read
        self._timestamp: int = batch.max_timestamp
        self._key: bytes | None = None

    def next(self) -> Streamed | Oversized:
        batch, stream = self._batch, self._stream
        length = stream.varint()
        end = stream.position + length
        stream.skip(1)  # attributes, of which there are none
        delta = stream.varint()
        self._timestamp = (
            batch.max_timestamp if batch.timestamp_type == _BROKERS_TIME else batch.first_timestamp + delta
        )
        offset = batch.base_offset + stream.varint()
        if not self._offset <= offset < batch.next_offset:
            raise ValueError
        self._offset = offset
        key_size = stream.varint()
        self._key = self._bytes(key_size, _MAX_KEY_BYTES)
        value_size = stream.varint()
        fits = value_size <= MAX_MESSAGE_BYTES or (value_size <= MAX_VALUE_BYTES and _Kept.has_room(value_size))
        value = self._bytes(value_size, value_size if fits else 0)
        if value is not None and value_size > MAX_MESSAGE_BYTES:
            value = _Kept(value)
        headers, complete = self._headers(end)
        stream.skip(end - stream.position)
        key, self._key = self._key, None
        self._offset += 1
        if complete and fits and key_size <= _MAX_KEY_BYTES:
            return Streamed(offset, self._timestamp, batch.timestamp_type, key, value, headers)
        return Oversized(
            offset, self._timestamp, batch.timestamp_type, key, None, headers, "message_too_large", offset, length
        )

    def _bytes(self, size: int, most: int) -> bytes | None:
        if 0 <= size <= most:
            return self._stream.take(size)
        self._stream.skip(size)
        return None

    def _headers(self, end: int) -> tuple[list[Header], bool]:
        """Reads the headers before `end`, and says whether they are all; only the first where there are too many."""
        stream = self._stream
        headers: list[Header] = []
        count = stream.varint()
        most = stream.position + _MAX_HEADER_BYTES
        while len(headers) < count:
            if len(headers) == _MAX_HEADERS:
                return headers, False
            name_size = stream.varint()
            if stream.position + name_size > most:
                return headers, False
            name = stream.take(name_size).decode(errors="replace")
            size = stream.varint()
            if stream.position + size > most:
                return headers, False
            headers.append((name, stream.take(size) if size >= 0 else None))
        return headers, True

    def rest(self) -> Oversized:
        batch = self._batch
        return Oversized(
            min(self._offset, batch.next_offset - 1), self._timestamp, batch.timestamp_type, self._key, None, (),
            "batch_unreadable", batch.next_offset - 1, self._stream.unpacked,
        )  # fmt: skip
