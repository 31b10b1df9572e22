"""Request bodies as a bounded stream: received, inflated, counted. Nothing here holds more than a few MiB at once."""

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple, Protocol

import zstandard
from starlette.requests import ClientDisconnect, Request

from producer_api import metrics
from producer_api.problems import ApiProblem
from schemas.problems import quantity

_PIECE: Final = 256 * 1024  # of inflated data at a time
_BREATHE: Final = 1024 * 1024  # inflated bytes after which other requests get their turn
_RATIO_FROM: Final = 8 * 1024 * 1024
# zstd cannot be told how much to give back. A block takes 4 bytes at least and inflates to 128 KiB at most, so 256 bytes at a
# time stay under 8 MiB whatever they say.
_ZSTD_FEED: Final = 256
_ZSTD_WINDOW: Final = 8 * 1024 * 1024  # RFC 9659: what a decoder of zstd content encoding must support
_READ: Final = "scanline.body"  # in the ASGI scope: how much of the body was read, "some" or "all"


class BodyLimits(NamedTuple):
    """In bytes: as sent, and decompressed; `ratio` the most it may grow."""

    received: int
    inflated: int
    ratio: int


class Patience(NamedTuple):
    """With a client that sends: `seconds` of silence, and after as many of waiting in all a rate that it must keep."""

    seconds: float
    bytes_per_second: int


class Broken(ValueError):
    """The compressed data is damaged or cut short."""


class Inflater(Protocol):
    """Takes compressed bytes as they come."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What can be inflated so far. Raises Broken."""
        ...

    def finish(self) -> None:
        """Raises Broken when the end is missing."""
        ...


class Identity:
    """No compression."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        """Nothing can be missing."""


class Gunzip:
    """gzip (RFC 1952): any number of members one after another, zero padding between and after them."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._begun = False  # inside a member

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if not self._begun:
                if self._member.eof:
                    data = data.lstrip(b"\0")
                    if not data:
                        return
                    self._member = zlib.decompressobj(wbits=31)
                self._begun = True
            try:
                piece = self._member.decompress(data, _PIECE)
            except zlib.error:
                raise Broken from None
            if piece:
                yield piece
            data = self._member.unconsumed_tail
            if self._member.eof:
                data = self._member.unused_data
                self._begun = False
            elif len(piece) == _PIECE and not data:
                yield from self._rest_of_window()

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
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame = self._decompressor.decompressobj()
        self._begun = False
        self._ended = False  # at least one frame has

    def feed(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), _ZSTD_FEED):
            part = data[at : at + _ZSTD_FEED]
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


_INFLATERS: Final[dict[str, type[Identity] | type[Gunzip] | type[Unzstd]]] = {
    "": Identity,
    "identity": Identity,
    "gzip": Gunzip,
    "x-gzip": Gunzip,
    "zstd": Unzstd,
}


def encoding_of(request: Request) -> str:
    """The content coding. Raises ApiProblem content_encoding_unsupported."""
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in _INFLATERS:
        raise ApiProblem("content_encoding_unsupported", headers={"Accept-Encoding": "gzip, zstd"})
    return coding


def content_length(request: Request) -> int | None:
    """What the client says its body takes, as sent."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _over(code: str, limit: int) -> ApiProblem:
    return ApiProblem(code, limit=quantity(limit), extra={"limit": limit})


async def pieces(request: Request, limits: BodyLimits, patience: Patience) -> AsyncIterator[bytes]:
    """The inflated body. Raises ApiProblem (413, 408, 400) and ClientDisconnect."""
    coding = encoding_of(request)
    if (content_length(request) or 0) > limits.received:
        raise _over("body_too_large", limits.received)
    inflater: Inflater = _INFLATERS[coding]()
    received = inflated = breathed = 0
    try:
        async for chunk in _received(request, patience):
            received += len(chunk)
            if received > limits.received:
                raise _over("body_too_large", limits.received)
            for piece in inflater.feed(chunk):
                inflated += len(piece)
                if inflated > limits.inflated:
                    raise _over("inflated_too_large", limits.inflated)
                if inflated > _RATIO_FROM and inflated > received * limits.ratio:
                    raise _over("inflation_too_high", limits.ratio)
                yield piece
                if inflated - breathed > _BREATHE:
                    breathed = inflated
                    await asyncio.sleep(0)
        inflater.finish()
    except Broken:
        raise ApiProblem("encoding_malformed", encoding=coding) from None
    finally:
        metrics.BYTES_IN.inc(received)
        metrics.INFLATED.inc(inflated)


def _too_slow(seconds: float) -> ApiProblem:
    return ApiProblem("upload_too_slow", headers={"Connection": "close"}, seconds=quantity(round(seconds)))


async def _received(request: Request, patience: Patience) -> AsyncIterator[bytes]:
    """What comes in. Only the time spent waiting for the client counts against it, never our own waits."""
    more = True
    request.scope[_READ] = "some"
    waited = received = 0.0
    while more:
        began = time.monotonic()
        try:
            async with asyncio.timeout(patience.seconds):
                message = await request.receive()
        except TimeoutError:
            request.scope[_READ] = "all"  # nothing more is worth reading
            raise _too_slow(patience.seconds) from None
        waited += time.monotonic() - began
        received += len(message.get("body", b""))
        if waited > patience.seconds and received < waited * patience.bytes_per_second:
            request.scope[_READ] = "all"
            raise _too_slow(waited)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if not more:
            request.scope[_READ] = "all"
        if message.get("body"):
            yield message["body"]


async def drain(request: Request, most: int = 64 * 1024 * 1024, seconds: float = 2.0) -> None:
    """Reads on after a refusal, within bounds, so that a client still sending gets to read the answer.

    A client that asked first (Expect: 100-continue) and was not told to go on is not sending.
    """
    read = request.scope.get(_READ)
    if read == "all" or (read is None and request.headers.get("expect", "").lower() == "100-continue"):
        return
    seen = 0
    try:
        async with asyncio.timeout(seconds):
            while seen < most:
                message = await request.receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
                seen += len(message.get("body", b""))
    except TimeoutError:
        return
