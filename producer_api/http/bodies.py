"""Request bodies as a bounded stream: received, inflated, counted, cut into lines. Nothing here holds more than a few
MiB."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from itertools import chain
from typing import Any, Final, NamedTuple

from starlette.requests import ClientDisconnect, Request

from producer_api import metrics
from producer_api.http.budget import Room
from producer_api.http.content_codings import INFLATERS, ZSTD_WINDOW, Broken, Inflater, NotCompressed, WindowTooLarge
from producer_api.http.problems import ApiProblem
from schemas.arrays import Lines
from schemas.first_lines import FirstLines
from schemas.problems import quantity

PIECE: Final = 64 * 1024  # the most that is handed on at once
_BREATHE: Final = 1024 * 1024  # inflated bytes after which other requests get their turn
_RATIO_FROM: Final = 8 * 1024 * 1024
_READ: Final = "scanline.body"  # in the ASGI scope: how much of the body was read, "some" or "all"


class BodyLimits(NamedTuple):
    """Limits of a body in bytes, as sent and decompressed; `ratio` the most it may grow."""

    received: int
    inflated: int
    ratio: int


class Patience(NamedTuple):
    """How long a client that sends is waited for: `seconds` of silence, and after as many of waiting in all a rate that
    it must keep."""

    seconds: float
    bytes_per_second: int


def encoding_of(request: Request) -> str:
    """The content coding. Raises ApiProblem content_encoding_unsupported."""
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in INFLATERS:
        raise ApiProblem("content_encoding_unsupported", headers={"Accept-Encoding": "gzip, zstd"})
    return coding


def content_length(request: Request) -> int | None:
    """The length of the body that the client declares, as sent."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def most_of(request: Request, limits: BodyLimits) -> int:
    """The most that the body may come to: known beforehand only where it is not compressed."""
    length = content_length(request)
    if length is None or encoding_of(request) not in ("", "identity"):
        return limits.inflated
    return min(length, limits.inflated)


def _over(code: str, limit: int) -> ApiProblem:
    return ApiProblem(code, limit=quantity(limit), extra={"limit": limit})


async def pieces(request: Request, limits: BodyLimits, patience: Patience) -> AsyncIterator[bytes]:
    """The inflated body, in pieces of at most PIECE bytes. Raises ApiProblem (413, 408, 400) and ClientDisconnect."""
    coding = encoding_of(request)
    if (content_length(request) or 0) > limits.received:
        raise _over("body_too_large", limits.received)
    inflater: Inflater = INFLATERS[coding]()
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
                if inflated > _RATIO_FROM and inflated > inflater.taken * limits.ratio:
                    raise _over("inflation_too_high", limits.ratio)
                for at in range(0, len(piece), PIECE):
                    yield piece[at : at + PIECE]
                if inflated - breathed > _BREATHE:
                    breathed = inflated
                    await asyncio.sleep(0)
        inflater.finish()
    except NotCompressed:
        raise ApiProblem("compression_missing", encoding=coding) from None
    except WindowTooLarge:
        raise _over("zstd_window_too_large", ZSTD_WINDOW) from None
    except Broken:
        raise ApiProblem("encoding_malformed", encoding=coding) from None
    finally:
        metrics.BYTES_IN.inc(received)
        metrics.INFLATED.inc(inflated)


def _too_slow(seconds: float) -> ApiProblem:
    return ApiProblem("upload_too_slow", headers={"Connection": "close"}, seconds=quantity(round(seconds)))


async def _received(request: Request, patience: Patience) -> AsyncIterator[bytes]:
    """Gives the body as it comes in. Only the time spent waiting for the client counts against it, never our own
    waits."""
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


async def whole_body(request: Request, limits: BodyLimits, room: Room, patience: Patience, digest: Any = None) -> bytes:
    """All of a body that is held as a whole, in a room that grows with it and is settled at its size. `digest` is fed
    with it.

    Raises what `pieces` raises, and Overloaded.
    """
    parts: list[bytes] = []
    size = 0
    async for piece in pieces(request, limits, patience):
        size += len(piece)
        parts.append(piece)
        if digest is not None:
            digest.update(piece)
        await room.grow_to(PIECE + size)
    room.settle(size)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class Records:
    """An async iterator over the elements of an NDJSON body, some at a time; each lot is to be used up before the next.

    The first comes, and holds one at least, when the body is known to be NDJSON. Raises SubmissionRefused where it is not, or
    holds no record, and what `body` raises. `digest` is fed with all of it.
    """

    def __init__(self, body: AsyncIterator[bytes], room: Room, digest: Any = None) -> None:
        self._body = body
        self._room = room
        self._digest = digest
        self._lines = Lines()
        self._lots = self._read()

    @property
    def size(self) -> int:
        """Bytes of the line begun."""
        return self._lines.size

    def __aiter__(self) -> AsyncIterator[Iterable[bytes]]:
        return self

    async def __anext__(self) -> Iterable[bytes]:
        return await anext(self._lots)

    async def _read(self) -> AsyncIterator[Iterable[bytes]]:
        first_lines = FirstLines()
        waiting: list[bytes] = []  # what came before it was known
        async for piece in self._body:
            if self._digest is not None:
                self._digest.update(piece)
            first_lines.feed(piece)
            if first_lines.is_ndjson:
                yield chain(waiting, self._lines.feed(piece))
                waiting = []
            else:
                waiting += self._lines.feed(piece)
                held = PIECE + 2 * self.size + sum(map(len, waiting))  # what looks at the first lines has it, too
                await self._room.grow_to(min(held, self._room.most))
        first_lines.finish()
        yield chain(waiting, self._lines.finish())


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
