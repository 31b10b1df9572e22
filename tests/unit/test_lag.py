"""The lag's arithmetic between two looks, the notes that workers leave, and its table on a narrow terminal."""

import pytest
from rich.console import Console

from cli.lag_table import duration, line, table
from kafka_client.group_members import _partitions_in
from operations.lag import Look, Pace, PartitionLag
from schemas.lane_note import LaneNote

OWNER = "scanline-worker-7f9c:12345"


def partition(number: int, end: int, written: int | None, lag: int, **other: object) -> PartitionLag:
    known: dict[str, object] = {
        "begin": 0, "committed": written, "lag_seconds": 3.0 if lag else 0.0, "gone": 0, "owner": OWNER,
        "host": "10.0.0.7", "state": "running", "reason": None, "since": None,
    }  # fmt: skip
    return PartitionLag(partition=number, end=end, written=written, lag=lag, **(known | other))  # type: ignore[arg-type]


def look(at: float, *partitions: PartitionLag) -> Look:
    return Look(at, "postgresql", list(partitions))


def test_the_pace_of_a_partition_and_of_all() -> None:
    before = look(10, partition(0, 1_000, 100, 900), partition(1, 50, 50, 0))
    after = look(14, partition(0, 1_040, 340, 700), partition(1, 58, 58, 0))
    # 60 a second are written and 10 come in: 700 are gone in 14 s
    assert Pace.between(before, after, 0) == Pace(60, 10, 14)
    assert Pace.between(before, after, 1) == Pace(2, 2, 0)
    assert Pace.between(before, after) == Pace(62, 12, 14)


def test_what_does_not_shrink_is_never_empty() -> None:
    before, after = look(0, partition(0, 100, 0, 100)), look(1, partition(0, 150, 50, 100))
    assert Pace.between(before, after) == Pace(50, 50, None)


def test_no_pace_where_offsets_of_different_kinds_would_be_compared() -> None:
    by_group = look(1, partition(0, 100, None, 40, committed=60))._replace(counted_by="group")
    assert Pace.between(look(0, partition(0, 100, 70, 30)), by_group) is None
    assert Pace.between(look(0), look(1, partition(0, 1, 0, 1))) is None


def test_an_offset_that_was_moved_back_is_no_negative_rate() -> None:
    found = Pace.between(look(0, partition(0, 100, 90, 10)), look(1, partition(0, 100, 10, 90)))
    assert found == Pace(0, 0, None)


def test_a_note_is_read_as_it_was_written() -> None:
    note = LaneNote("member-1", "host:1", "database", 1_700_000_000)
    assert LaneNote.of(note.text()) == note
    assert LaneNote.of(note.text() + "\x80what lies behind it") == note
    assert len(LaneNote("m" * 300, "w" * 300, "dead_letter_topic", 1).text().encode()) < 4096


@pytest.mark.parametrize(
    "text", [None, "", "x", "[]", "null", "{}", '{"member":"m","worker":"w","reason":"tea","since":1}']
)
def test_what_is_no_note(text: str | None) -> None:
    assert LaneNote.of(text) is None


def test_a_members_partitions_of_one_topic() -> None:
    def named(topic: bytes, *numbers: int) -> bytes:
        return (
            len(topic).to_bytes(2) + topic + len(numbers).to_bytes(4) + b"".join(each.to_bytes(4) for each in numbers)
        )

    bytes_of_two = b"\0\4" + (2).to_bytes(4) + named(b"other", 7) + named(b"scans", 0, 300) + b"\0\0\0\1x"
    assert list(_partitions_in(bytes_of_two, "scans")) == [0, 300]
    assert list(_partitions_in(bytes_of_two, "nothing")) == list(_partitions_in(b"", "scans")) == []


@pytest.mark.parametrize("width", [200, 80, 50])
@pytest.mark.parametrize("end", [1_234, 9_999_999, 123_456_789])
def test_everything_is_shown_at_any_width(width: int, end: int, monkeypatch: pytest.MonkeyPatch) -> None:
    paused = partition(2, end, end - 5, 5, state="paused", reason="dead_letter_limit", gone=1_234)
    found = look(0, *(partition(number, end, end - 7, 7) for number in range(2)), paused)
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table(found, lambda _: Pace(12_345, 10, 7_384.2), width))
    text = console.export_text()
    console.file.close()
    assert all(len(each) <= width for each in text.splitlines())
    words = " ".join(text.split())
    for each in (OWNER, "10.0.0.7", "dừng/paused", "người vận hành", "1.234 offset", "12.345", "2:03:04"):
        assert each in words, (each, text)
    assert str(end) in words.replace(".", "")
    if width >= 80:
        assert "written" in text.splitlines()[2]  # a table, with its headings


def test_durations() -> None:
    assert [duration(each) for each in (None, 0, 3.4, 63, 7_384, 90_000)] == [
        "-",
        "0:00",
        "0:03",
        "1:03",
        "2:03:04",
        "1d 01:00",
    ]


def test_a_line_says_the_sums() -> None:
    text = line(look(0, partition(0, 10, 3, 7), partition(1, 10, 9, 1, state="unowned")), Pace(2, 1, 8))
    assert "tồn đọng/lag 8 " in text and "hết sau/empty 0:08" in text and text.endswith("chạy/running 1/2")
