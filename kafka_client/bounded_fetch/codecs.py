"""Compressed record batches, unpacked within bounds.

A broker looks at what a batch weighs compressed only: a megabyte can unpack to 32 GiB. Clients unpack a batch whole,
without a bound (aiokafka too). Here small batches are still unpacked whole; what is larger comes piece by piece."""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import cramjam
import zstandard
from aiokafka import codec
from aiokafka.record.default_records import DefaultRecordBatch

WHOLE_BYTES: Final = 2 * 1024 * 1024  # of a batch, unpacked; clients gather up to 1 MB
_PIECE: Final = 256 * 1024
_WINDOW: Final = (
    8 * 1024 * 1024
)  # of a zstd stream that is read in pieces: all levels up to 19, and what RFC 8878 asks for
_WIDEST_WINDOW: Final = 128 * 1024 * 1024  # zstd's own limit; of it, no more is touched than is unpacked
_SNAPPY_BLOCK: Final = 32 * 1024 * 1024  # a megabyte of snappy cannot be more than 22
_LZ4_MAGIC: Final = b"\x04\x22\x4d\x18"
_LZ4_BLOCKS: Final = {4: 64 * 1024, 5: 256 * 1024, 6: 1024 * 1024, 7: 4 * 1024 * 1024}
_GZIP_MAGIC: Final = b"\x1f\x8b"
_XERIAL_HEADER: Final = 16


class NotWhole(Exception):
    """The batch is too large to be unpacked at once, or cannot be unpacked at all; `pieces` is how far it can be
    read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__("not unpacked at once")
        self.pieces = pieces


def _gzip(payload: bytes, window: int) -> Iterator[bytes]:
    rest = payload
    while rest[:2] == _GZIP_MAGIC:
        inflater = zlib.decompressobj(wbits=31)
        while not inflater.eof:
            piece = inflater.decompress(rest, _PIECE)
            rest = inflater.unconsumed_tail
            if not (piece or rest or inflater.eof):
                raise ValueError("gzip: ends early")
            yield piece
        rest = inflater.unused_data


def _zstd(payload: bytes, window: int) -> Iterator[bytes]:
    unpacker = zstandard.ZstdDecompressor(max_window_size=window)
    with unpacker.stream_reader(payload, read_across_frames=True) as stream:
        while piece := stream.read(_PIECE):
            yield piece


def _lz4(payload: bytes, window: int) -> Iterator[bytes]:
    """Block by block: Kafka's blocks do not depend on each other."""
    at = 0
    room = bytearray()
    while payload[at : at + 4] == _LZ4_MAGIC:
        flags, largest = payload[at + 4], _LZ4_BLOCKS[payload[at + 5] >> 4 & 7]
        if not flags & 0x20:
            raise ValueError("lz4: linked blocks")
        at += 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
        while size := int.from_bytes(payload[at : at + 4], "little"):
            at += 4
            stored, size = size >> 31, size & 0x7FFFFFFF
            block = payload[at : at + size]
            if stored:
                yield block
            else:
                room = room or bytearray(largest)
                yield bytes(memoryview(room)[: cramjam.lz4.decompress_block_into(block, room, output_len=largest)])
            at += size + (4 if flags & 0x10 else 0)
        at += 4 + (4 if flags & 0x04 else 0)


def _snappy(payload: bytes, window: int) -> Iterator[bytes]:
    if not codec._detect_xerial_stream(payload):
        yield _snappy_block(payload)
        return
    at = _XERIAL_HEADER
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 4], "big")
        at += 4
        yield _snappy_block(payload[at : at + size])
        at += size


def _snappy_block(block: bytes) -> bytes:
    if cramjam.snappy.decompress_raw_len(block) > _SNAPPY_BLOCK:
        raise ValueError("snappy: says it is larger than it can be")
    return bytes(cramjam.snappy.decompress_raw(block))


Pieces = Callable[[bytes, int], Iterator[bytes]]


def _bounded(pieces: Pieces) -> Callable[[Any], bytes]:
    """A decoder in aiokafka's shape. Raises NotWhole."""

    def decode(payload: Any) -> bytes:
        payload = bytes(payload)  # the view does not keep alive what it shows
        taken: list[bytes] = []
        size = 0
        try:
            for piece in pieces(payload, _WIDEST_WINDOW):
                taken.append(piece)
                size += len(piece)
                if size > WHOLE_BYTES:
                    break
        except Exception:  # each library has its own, cramjam's are even OSError
            size = WHOLE_BYTES + 1
        if size > WHOLE_BYTES:
            raise NotWhole(pieces(payload, _WINDOW))
        return taken[0] if len(taken) == 1 else b"".join(taken)

    return decode


_CODECS: Final[dict[str, Pieces]] = {"gzip": _gzip, "snappy": _snappy, "lz4": _lz4, "zstd": _zstd}


def unpacked(codec: int, payload: bytes) -> Iterator[bytes]:
    """A batch's records, piece by piece. `codec` by its number in the batch's attributes: 0 is none, then in the order
    above."""
    return list(_CODECS.values())[codec - 1](payload, _WINDOW) if codec else iter([payload])


def bound_the_client() -> None:
    """Makes aiokafka unpack no batch of this process beyond WHOLE_BYTES from now on. It looks its decoders up by
    name."""
    module: Any = sys.modules[DefaultRecordBatch.__module__]
    for name, pieces in _CODECS.items():
        assert callable(getattr(module, f"{name}_decode"))
        setattr(module, f"{name}_decode", _bounded(pieces))
