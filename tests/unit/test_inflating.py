"""Bodies are inflated in small pieces, and what each was made from is known: a bomb shows itself however it arrives."""

import gzip
import random
from collections.abc import Callable
from typing import Final

import pytest
import zstandard

from producer_api.http.content_codings import INFLATERS

MIB: Final = 1 << 20
CODINGS: Final = pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)], ids=["gzip", "zstd"]
)


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


@CODINGS
@pytest.mark.parametrize("size", [1_000, 64 * 1024, 320 * 1024, 1 << 30])
def test_the_ratio_shows_however_much_arrives_at_once(coding: str, pack: Callable[[bytes], bytes], size: int) -> None:
    """And long before all of it is inflated."""
    packed = pack(b" " * (64 * MIB)) * 16
    inflater, inflated = INFLATERS[coding](), 0
    for chunk in cut(packed, size):
        for piece in inflater.feed(chunk):
            inflated += len(piece)
            if inflated > 8 * MIB:
                assert inflated > 500 * inflater.taken
                assert inflated <= 16 * MIB
                return
    raise AssertionError("never inflated that far")


@CODINGS
@pytest.mark.parametrize("size", [1, 1_000, 1 << 30])
def test_what_was_taken_is_what_was_sent(coding: str, pack: Callable[[bytes], bytes], size: int) -> None:
    """Never more than has arrived, nor less than before."""
    noise = random.Random(7).randbytes(3_000)
    packed = pack(noise) + pack(b" " * MIB) + pack(b"") + pack(noise) + (b"\0" * 100 if coding == "gzip" else b"")
    inflater = INFLATERS[coding]()
    arrived, taken, inflated = 0, 0, b""
    for chunk in cut(packed, size):
        arrived += len(chunk)
        for piece in inflater.feed(chunk):
            inflated += piece
            assert taken <= inflater.taken <= arrived
            taken = inflater.taken
        assert inflater.taken == arrived
    assert inflated == noise + b" " * MIB + noise
