"""What is shown of a dead letter has an end, whatever its headers hold: anybody can write a megabyte of them."""

import json
from typing import Any, Final

import pytest

from operations.dead_letters.dead_letter import letter_of
from operations.dead_letters.masking import described, summary

MIB: Final = 1024 * 1024
REASONS: Final = [("scanline_topic", b"scan.records.v1"), ("scanline_partition", b"3"), ("scanline_offset", b"17")]
HEADERS: Final[dict[str, list[tuple[str, bytes | None]]]] = {
    "many": [(f"h{number}", b"x") for number in range(50_000)],
    "a long value": [("h", b"\x01" * MIB)],
    "a long name": [("\x01" * MIB, b"x")],
    "many long ones": [("n" * 5_000, b"\xff" * 5_000) for _ in range(200)],
    "a long reason": [("scanline_reason", b"r" * MIB)],
    "a long origin": [
        ("scanline_topic", b"t" * MIB),
        ("scanline_partition", b"9" * MIB),
        ("scanline_offset", b"\xff" * MIB),
    ],
    "a long scan": [("ce_subject", b"s" * MIB), ("ce_type", b"t" * MIB), ("scanline_replay_count", b"9" * MIB)],
}


class Message:
    """As confluent-kafka gives it."""

    def __init__(self, headers: list[tuple[str, bytes | None]], key: bytes, value: bytes) -> None:
        self._headers, self._key, self._value = headers, key, value

    def headers(self) -> list[tuple[str, bytes | None]]:
        return self._headers

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 5


def letter(headers: list[tuple[str, bytes | None]]) -> Any:
    return letter_of(Message([*REASONS, *headers], b"acme", b"\x01" * MIB))


@pytest.mark.parametrize("name", HEADERS)
def test_a_line_of_the_list_is_short(name: str) -> None:
    assert len(json.dumps(summary(letter(HEADERS[name])))) < 1_000


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("most", [0, 1_000])
def test_a_letter_is_shown_within_bounds(name: str, most: int) -> None:
    shown = described(letter(HEADERS[name]), reveal=most > 0, most=most)
    assert len(json.dumps(shown)) < MIB
    left_out = len(HEADERS[name]) + len(REASONS) - 100
    assert shown.get("headers_left_out", 0) == max(0, left_out)


def test_usual_headers_are_shown_whole() -> None:
    shown = described(letter([("ce_type", b"vn.scanline.scan.records.v1"), ("x", b"v" * 900)]), reveal=True, most=10)
    assert ["x", "v" * 900] in shown["headers"] and "headers_left_out" not in shown
    assert shown["source"] == {"topic": "scan.records.v1", "partition": "3", "offset": "17"}
