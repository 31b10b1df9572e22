"""Content codings (RFC 9110, section 8.4.1), inflated in small pieces. Nothing here holds more than a few MiB."""

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

import zstandard

_PIECE: Final = 256 * 1024  # of inflated data at a time
# zstd cannot be told how much to give back. A block takes 4 bytes at least and inflates to 128 KiB at most, so 64 bytes at a
# time stay under 2 MiB whatever they say.
_ZSTD_FEED: Final = 64
_ZSTD_WINDOW: Final = 8 * 1024 * 1024  # RFC 9659: what a decoder of zstd content encoding must support


class Broken(ValueError):
    """The compressed data is damaged or cut short."""


class Inflater(Protocol):
    """Takes compressed bytes as they come; `taken` is how many of them the pieces so far were made from. Bytes that wait, of which
    a transport may hand over hundreds of KiB at once, say nothing about the ratio."""

    taken: int

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What can be inflated so far. Raises Broken."""
        ...

    def finish(self) -> None:
        """Raises Broken when the end is missing."""
        ...


class Identity:
    """No compression."""

    def __init__(self) -> None:
        self.taken = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        self.taken += len(data)
        yield data

    def finish(self) -> None:
        """Nothing can be missing."""


class Gunzip:
    """gzip (RFC 1952): any number of members one after another, zero padding between and after them."""

    def __init__(self) -> None:
        self.taken = 0
        self._member = zlib.decompressobj(wbits=31)
        self._begun = False  # inside a member

    def feed(self, data: bytes) -> Iterator[bytes]:
        received = self.taken + len(data)
        while data:
            if not self._begun:
                if self._member.eof:
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    self._member = zlib.decompressobj(wbits=31)
                self._begun = True
            try:
                piece = self._member.decompress(data, _PIECE)
            except zlib.error:
                raise Broken from None
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            self.taken = received - len(data)
            if piece:
                yield piece
            if self._member.eof:
                self._begun = False
            elif len(piece) == _PIECE and not data:
                yield from self._rest_of_window()
        self.taken = received

    def _rest_of_window(self) -> Iterator[bytes]:
        """zlib may hold back inflated bytes although it has taken all input."""
        while piece := self._member.decompress(b"", _PIECE):
            yield piece

    def finish(self) -> None:
        if not self._member.eof:
            raise Broken


class Unzstd:
    """Zstandard (RFC 8878): any number of frames one after another."""

    def __init__(self) -> None:
        self.taken = 0
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame = self._decompressor.decompressobj()
        self._begun = False
        self._ended = False  # at least one frame has

    def feed(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), _ZSTD_FEED):
            part = data[at : at + _ZSTD_FEED]
            self.taken += len(part)
            while part:
                if not self._begun:
                    self._frame = self._decompressor.decompressobj()
                    self._begun = True
                try:
                    piece = self._frame.decompress(part)
                except zstandard.ZstdError:
                    raise Broken from None
                if piece:
                    yield piece
                part = b""
                if self._frame.eof:
                    part = self._frame.unused_data
                    self._begun, self._ended = False, True

    def finish(self) -> None:
        if self._begun or not self._ended:
            raise Broken


INFLATERS: Final[dict[str, type[Identity] | type[Gunzip] | type[Unzstd]]] = {
    "": Identity,
    "identity": Identity,
    "gzip": Gunzip,
    "x-gzip": Gunzip,
    "zstd": Unzstd,
}
