"""A body as it comes: in pieces of a bounded size, and only what the client takes counts as the client's time."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any, Final

import pytest
import zstandard
from starlette.requests import Request

from producer_api.http.bodies import PIECE, BodyLimits, Patience, pieces

MIB: Final = 1 << 20
LIMITS: Final = BodyLimits(64 * MIB, 64 * MIB, 1_000_000)


def request(chunks: list[bytes], coding: str = "") -> Request:
    """A request whose body is all there already."""
    waiting: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": number + 1 < len(chunks)}
        for number, chunk in enumerate(chunks)
    ]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    scope = {"type": "http", "headers": [(b"content-encoding", coding.encode())], "method": "POST", "path": "/"}
    return Request(scope, receive)


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("", bytes), ("gzip", gzip.compress), ("zstd", zstandard.compress)],
    ids=["as is", "gzip", "zstd"],
)
def test_no_piece_is_larger_than_what_room_is_kept_for(coding: str, pack: Callable[[bytes], bytes]) -> None:
    body = b"{}\n" * MIB

    async def read() -> list[bytes]:
        found = pieces(request([pack(body)], coding), LIMITS, Patience(60, 0))
        return [piece async for piece in found]

    found = asyncio.run(read())
    assert max(map(len, found)) <= PIECE
    assert b"".join(found) == body


def test_time_that_we_take_is_not_the_clients() -> None:
    """Someone who waits for room is not told that he is too slow."""
    patience = Patience(0.05, 1_000_000)

    async def read() -> int:
        count = 0
        async for _ in pieces(request([b"x"] * 5), LIMITS, patience):
            count += 1
            await asyncio.sleep(2 * patience.seconds)
        return count

    assert asyncio.run(read()) == 5
