"""Content codings (RFC 9110, section 8.4.1), inflated in small pieces. Nothing here holds more than a few MiB."""

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

import zstandard

_PIECE: Final = 256 * 1024  # of inflated data at a time
# zstd takes no limit on how much to give back. A block takes 4 bytes at least and inflates to 128 KiB at most, so 64 bytes at a
# time stay under 2 MiB whatever they say.
_ZSTD_FEED: Final = 64
ZSTD_WINDOW: Final = 8 * 1024 * 1024  # RFC 9659: what a decoder of zstd content encoding must support
_ZSTD_HEAD: Final = 18  # the longest header of a frame: it says how large the window is
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = b"\x2a\x4d\x18"  # after a byte of 0x50 to 0x5f


class Broken(ValueError):
    """The compressed data is damaged or cut short."""


class NotCompressed(Broken):
    """It does not even begin as its coding does."""


class WindowTooLarge(Broken):
    """The data takes more memory to inflate than is granted."""


def _may_begin(head: bytes, magic: bytes) -> bool:
    """True where the data begins like this, as far as there is any."""
    return magic.startswith(head[: len(magic)])


class Inflater(Protocol):
    """Takes compressed bytes as they come; `taken` is how many of them the pieces so far were made from. Bytes that
    wait, of which a transport may hand over hundreds of KiB at once, say nothing about the ratio."""

    taken: int

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Gives what can be inflated so far. Raises Broken, or one of its kinds."""
        ...

    def finish(self) -> None:
        """Raises Broken when the end is missing. Nothing at all is no data, and not broken."""
        ...


class Identity:
    """No compression."""

    def __init__(self) -> None:
        self.taken = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        self.taken += len(data)
        yield data

    def finish(self) -> None:
        """Does nothing: nothing can be missing."""


class Gunzip:
    """gzip (RFC 1952): any number of members one after another, zero padding between and after them."""

    def __init__(self) -> None:
        self.taken = 0
        self._member = zlib.decompressobj(wbits=31)
        self._begun = False  # inside a member
        self._head = b""  # of the body

    def feed(self, data: bytes) -> Iterator[bytes]:
        received = self.taken + len(data)
        if len(self._head) < 2:
            self._head += data[:2]
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
                raise self._why() from None
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
        if self._head and not self._member.eof:
            raise self._why()

    def _why(self) -> Broken:
        return Broken() if _may_begin(self._head, _GZIP) else NotCompressed()


class Unzstd:
    """Zstandard (RFC 8878): any number of frames one after another."""

    def __init__(self) -> None:
        self.taken = 0
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        self._frame = self._decompressor.decompressobj()
        self._head = b""  # of the frame
        self._begun = False
        self._ended = False  # at least one frame has

    def feed(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), _ZSTD_FEED):
            part = data[at : at + _ZSTD_FEED]
            self.taken += len(part)
            while part:
                if not self._begun:
                    self._frame = self._decompressor.decompressobj()
                    self._head = b""
                    self._begun = True
                self._head += part[: _ZSTD_HEAD - len(self._head)]
                try:
                    piece = self._frame.decompress(part)
                except zstandard.ZstdError:
                    raise self._why() from None
                if piece:
                    yield piece
                part = b""
                if self._frame.eof:
                    part = self._frame.unused_data
                    self._begun, self._ended = False, True

    def finish(self) -> None:
        if self._begun:
            raise self._why()

    def _why(self) -> Broken:
        skippable = 0x50 <= self._head[0] <= 0x5F and _may_begin(self._head[1:], _ZSTD_SKIPPABLE)
        if not self._ended and not skippable and not _may_begin(self._head, _ZSTD):
            return NotCompressed()
        try:
            window = zstandard.get_frame_parameters(self._head).window_size
        except zstandard.ZstdError:
            return Broken()
        return WindowTooLarge() if window > ZSTD_WINDOW else Broken()


INFLATERS: Final[dict[str, type[Identity] | type[Gunzip] | type[Unzstd]]] = {
    "": Identity,
    "identity": Identity,
    "gzip": Gunzip,
    "x-gzip": Gunzip,
    "zstd": Unzstd,
}
