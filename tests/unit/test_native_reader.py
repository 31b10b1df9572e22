"""Compiled code takes a record only where the thorough way takes it too, with the same line; what it declines costs nobody else
anything; and it reads and writes nothing outside. What of it is a promise on any bytes is the target `native` of tests/fuzz."""

import ctypes
import datetime as dt
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.codes import CATEGORIES, COUNTRIES
from schemas.decoder import decode
from schemas.messages import Envelope
from schemas.raw_records import split_records
from schemas.record import EARLIEST, MAX_ATTRIBUTES_BYTES, MAX_DEPTH, Record, Transfer
from schemas.text import is_plain
from sinks.postgres.native import library, rules
from sinks.postgres.native.reader import NativeReader, native_reader
from sinks.postgres.rows import FormattedRecords, lines_of
from tests.fuzz import native as sanitized
from tests.fuzz import targets
from tests.fuzz.targets import SCAN, Message
from tests.unit.examples import FULL, MINIMAL, MISSING, NOW, changed, encode, sample_lines
from tests.unit.test_fast_way import _json, _likely, _paths
from trials import generator

pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")
NUMBERED: Final = Envelope(topics.RECORDS, "tenant-a", SCAN, 17)
ALONE: Final = NUMBERED._replace(first_index=None)


@pytest.fixture(scope="module")
def reader() -> NativeReader:
    found = native_reader()
    assert isinstance(found, NativeReader), "run make setup"
    return found


def takes(reader: NativeReader, record: dict[str, Any] | bytes) -> bool:
    """Whether it takes this record; what it takes is right in every respect (targets.native)."""
    raw = record if isinstance(record, bytes) else encode(record)
    targets.native(b"\x00" + raw)
    targets.native(b"\x80" + raw)
    found = reader.read_message(7, NUMBERED, raw, NOW)
    return found is not None and found.plain


def test_it_takes_the_real_scans(reader: NativeReader) -> None:
    lines = sample_lines()
    for first in range(0, len(lines), 1_000):
        value = generator.array(lines[first : first + 1_000])
        incoming = reader.read_message(7, NUMBERED, value, NOW)
        assert incoming is not None and incoming.plain
        targets.native(b"\x80" + value)
    targets.native(b"\x00" + b"\n".join(lines))


def test_it_takes_every_optional_field_and_every_code(reader: NativeReader) -> None:
    assert takes(reader, FULL)
    for name in FULL:
        assert takes(reader, changed(f"/{name}", MISSING)) == (name not in MINIMAL)
    for name in ("controller_role", "provider_country", "transfer", "retention_days", "subject_count", "confidence"):
        assert takes(reader, FULL | {name: None})
    for code in CATEGORIES:
        assert takes(reader, FULL | {"data_categories": [code]})
    for country in COUNTRIES:
        assert takes(reader, FULL | {"storage_country": country})
    assert not any(
        takes(reader, FULL | {"storage_country": code}) for code in ("XX", "vn", "V", "VNM", "AA", "ZZ", "{A")
    )


_TIMES: Final = {
    "2026-11-20T09:30:00+07:00": True,
    "2026-11-20T09:30:00Z": True,
    "2026-11-20T09:30:00.000Z": True,
    "2026-11-20T09:30:00.25Z": True,
    "2026-11-20T09:30:00.123456-02:30": True,
    "2026-11-20T09:30:00+00:00": True,
    "2026-11-20T09:30:00-00:00": True,
    "2024-02-29T23:59:59Z": True,
    "1900-01-01T00:00:00Z": True,
    "1900-01-01T00:30:00+01:00": False,
    "1899-12-31T23:59:59Z": False,
    "2023-02-29T00:00:00Z": False,
    "1900-02-29T00:00:00Z": False,
    "2000-02-29T00:00:00Z": True,
    "2026-13-01T00:00:00Z": False,
    "2026-00-01T00:00:00Z": False,
    "2026-01-00T00:00:00Z": False,
    "2026-04-31T00:00:00Z": False,
    "2026-11-20T24:00:00Z": False,
    "2026-11-20T23:60:00Z": False,
    "2026-11-20T23:59:60Z": False,
    "2026-11-20T09:30:00": False,
    "2026-11-20T09:30:00.Z": False,
    "2026-11-20T09:30:00+25:00": False,
    "2026-11-24T03:05:00Z": True,  # NOW and the tolerance
    "2026-11-24T03:05:00.000001Z": False,
    "2026-11-24T10:05:00+07:00": True,
    "2026-11-24T10:05:01+07:00": False,
    "0000-01-01T00:00:00Z": False,
    "9999-12-31T23:59:59Z": False,
}


@pytest.mark.parametrize("time", _TIMES)
def test_times(reader: NativeReader, time: str) -> None:
    assert takes(reader, FULL | {"discovered_at": time}) == _TIMES[time]


_NUMBERS: Final = {
    "0": True, "1": True, "0.0": True, "1.0": True, "1.000": True, "0.5": True, "0.0001": True, "0.123456789012345": True,
    "0.00001": False, "0.50": False, "1.1": False, "1e0": False, "0.": False, ".5": False, "00": False, "-0": False,
    "0.1234567890123456": False, "2": False, '"0.5"': False, "true": False, "0.5.5": False, "NaN": False,
}  # fmt: skip


@pytest.mark.parametrize("number", _NUMBERS)
def test_shares(reader: NativeReader, number: str) -> None:
    raw = encode(FULL | {"confidence": 0.93}).replace(b'"confidence":0.93', b'"confidence":' + number.encode())
    assert takes(reader, raw) == _NUMBERS[number]


@pytest.mark.parametrize(
    ("path", "longest"),
    [
        ("/activity_key", 300),
        ("/name", 500),
        ("/source_system", 100),
        ("/recipients/0", 300),
        ("/transfer/dossier_ref", 100),
    ],
)
@pytest.mark.parametrize("letter", ["x", "đ", "ế"])
def test_lengths_count_characters(reader: NativeReader, path: str, longest: int, letter: str) -> None:
    assert takes(reader, changed(path, letter * longest))
    assert not takes(reader, changed(path, letter * (longest + 1)))
    assert not takes(reader, changed(path, ""))


def test_bounds_of_lists_and_numbers(reader: NativeReader) -> None:
    for name, most, item in (
        ("data_fields", 200, "x"),
        ("recipients", 100, "x"),
        ("data_categories", 50, "basic_name"),
    ):
        assert takes(reader, FULL | {name: [item] * most})
        assert not takes(reader, FULL | {name: [item] * (most + 1)})
    assert takes(reader, FULL | {"data_fields": [], "recipients": []})
    assert not takes(reader, FULL | {"data_categories": []}) and not takes(reader, FULL | {"data_subjects": []})
    for name, greatest in (("retention_days", 36_500), ("subject_count", 10**10)):
        assert takes(reader, FULL | {name: greatest}) and takes(reader, FULL | {name: 0})
        assert not any(takes(reader, FULL | {name: odd}) for odd in (greatest + 1, -1, 1.5, "7", True, 10**30))


def test_attributes_are_bounded_in_size_and_depth(reader: NativeReader) -> None:
    room = MAX_ATTRIBUTES_BYTES - len('{"a":""}')
    assert takes(reader, FULL | {"attributes": {"a": "x" * room}})
    assert not takes(reader, FULL | {"attributes": {"a": "x" * (room + 1)}})
    for depth in (MAX_DEPTH - 1, MAX_DEPTH):
        nested = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
        raw = encode(FULL | {"attributes": {}}).replace(b'"attributes":{}', b'"attributes":' + nested)
        assert takes(reader, raw) == (depth < MAX_DEPTH)


@pytest.mark.parametrize(
    "raw",
    [
        encode(FULL).replace(b'"name":', b'"asset":'),
        encode(FULL)[:-1] + b',"name":"twice"}',
        encode(FULL)[:-1] + b',"other":1}',
        encode(FULL)[:-1] + b",}",
        encode(FULL).replace(b"varchar", b"var\\u0063har"),
        encode(FULL).replace(b"varchar", b"var\x01char"),
        encode(FULL).replace(b"varchar", b"var\xc0\x80char"),
        encode(FULL).replace(b"varchar", b"var\xe1\xba"),
        encode(FULL).replace(b'"varchar"', b'\n"varchar"'),
        encode(FULL).replace(b"2.5", b"2e5"),
        b"\xef\xbb\xbf" + encode(FULL),
        encode(FULL) + b"x",
        b"[" + encode(FULL) + b"]]",
        b"[" + encode(FULL) + b",]",
        b"[]",
        b"",
        b" ",
    ],
)
def test_what_is_unusual_is_declined(reader: NativeReader, raw: bytes) -> None:
    assert reader.read_message(7, NUMBERED, raw, NOW) is None
    targets.native(b"\x00" + raw)


def test_no_character_is_taken_that_is_not_plain(reader: NativeReader) -> None:
    record = encode(MINIMAL | {"name": "@@"})
    for point in [*range(0x20, 0x3100), 0xFFFD, 0x1F600]:
        text = chr(point).encode()
        raw = record.replace(b"@@", text)
        taken = reader.read_message(7, NUMBERED, raw, NOW) is not None
        assert taken == (is_plain(raw) and text != b'"'), hex(point)


@pytest.mark.parametrize("at", [0, 3, 9])
def test_one_record_that_is_declined_costs_itself_alone(reader: NativeReader, at: int) -> None:
    lines = generator.records(10, 3, "acme")
    escaped = json.dumps(json.loads(lines[at])).encode()
    for other, taken in (
        (escaped, 10),
        (b'{"a":["]}\\"",{}]}', 9),
        (b"null", 9),
        (b"1 2", 9),
        (lines[at][:-1] + b" ", 9),
    ):
        parts = [*lines[:at], other, *lines[at + 1 :]]
        incoming = reader.read_message(7, NUMBERED, b" [" + b" ,\n".join(parts) + b"] ", NOW)
        if other is parts[at] and other.endswith(b" "):  # its brackets do not end: nobody knows where the next begins
            assert incoming is None
            continue
        assert incoming is not None and isinstance(incoming.records, FormattedRecords)
        assert (len(incoming.records), len(incoming.rejected)) == (taken, 10 - taken)
        assert incoming.positions == [position for position in range(10) if taken == 10 or position != at]
        targets.native(b"\x80[" + b",".join(parts) + b"]")
        rows = [line.split(b"\t")[3] for line in lines_of(incoming).lines]
        assert rows == [str(17 + position).encode() for position in incoming.positions]


def test_where_most_is_declined_all_is_decoded(reader: NativeReader) -> None:
    lines = generator.records(40, 3, "acme")
    escaped = [json.dumps(json.loads(line)).encode() for line in lines]
    assert reader.read_message(7, NUMBERED, generator.array(escaped), NOW) is None
    assert reader.read_message(7, NUMBERED, generator.array(escaped[:20] + lines[20:]), NOW) is None
    assert reader.read_message(7, NUMBERED, generator.array(escaped[:8] + lines[8:]), NOW) is not None
    assert reader.read_singles(ALONE, escaped, NOW) == [(40, None)]


def test_single_records_keep_their_order(reader: NativeReader) -> None:
    lines = generator.records(20, 3, "acme")
    lines[4] = json.dumps(json.loads(lines[4])).encode()
    lines[5] = b'{"no":1}'
    lines[19] = b"{} "
    runs = reader.read_singles(ALONE, lines, NOW)
    assert [(count, records is not None) for count, records in runs] == [(4, True), (2, False), (13, True), (1, False)]
    found = [record for _, records in runs for record in records or ()]
    assert found == [targets.fast(lines[at]) for at in [*range(4), *range(6, 19)]]
    for _, records in runs:
        if records is not None:
            assert [line.split(b"\t")[2].decode() for line in records.lines.lines] == [  # type: ignore[attr-defined]
                record.activity_key for record in records
            ]


def test_a_message_has_at_most_a_thousand_records(reader: NativeReader) -> None:
    lines = generator.records(1_001, 3, "acme")
    assert reader.read_message(7, NUMBERED, generator.array(lines[:1_000]), NOW) is not None
    assert reader.read_message(7, NUMBERED, generator.array(lines), NOW) is None


@settings(max_examples=300, deadline=None)
@given(before=st.integers(0, 3), raw=st.text('{}[]",:\\ a1\n', max_size=30), behind=st.integers(1, 12))
def test_declined_records_end_where_the_splitter_ends_them(
    reader: NativeReader, before: int, raw: str, behind: int
) -> None:
    lines = [*(generator.records(3, 1, "a")[:before]), raw.encode(), *generator.records(behind, 2, "a")]
    value = b"[" + b",".join(lines) + b"]"
    incoming = reader.read_message(7, NUMBERED, value, NOW)
    if incoming is not None:
        assert incoming.record_count == len(split_records(value))
        targets.native(b"\x80" + value)


@settings(max_examples=500, deadline=None)
@given(path=_paths, value=_likely | _json, escaped=st.booleans(), spaced=st.booleans())
def test_a_changed_record_is_read_alike(path: str, value: Any, escaped: bool, spaced: bool) -> None:
    record = changed(path, value)
    raw = json.dumps(record, ensure_ascii=escaped, separators=(", ", ": ") if spaced else (",", ":")).encode(
        errors="surrogatepass"
    )
    targets.native(b"\x00" + raw)
    targets.native(b"\x80[" + raw + b"," + b",".join([encode(FULL)] * 5) + b"]")


@settings(max_examples=500, deadline=None)
@given(position=st.integers(0, 2_000), patch=st.binary(max_size=4), cut=st.integers(0, 3))
def test_damaged_bytes_are_read_alike(position: int, patch: bytes, cut: int) -> None:
    raw = encode(FULL)
    position %= len(raw)
    damaged = raw[:position] + patch + raw[position + cut :]
    targets.native(b"\x00" + damaged)
    targets.native(b"\x80[" + raw + b"," + damaged + b"," + b",".join([raw] * 4) + b"]")


def test_large_messages_and_many_records_find_room(reader: NativeReader) -> None:
    wide = FULL | {"data_fields": ["ế" * 300] * 200}
    lines = [encode(wide | {"activity_key": str(number)}) for number in range(4)]
    incoming = reader.read_message(7, NUMBERED, generator.array(lines), NOW)
    assert incoming is not None and len(incoming.records) == 4
    runs = reader.read_singles(ALONE, lines * 4 + generator.records(3_000, 1, "a"), NOW + dt.timedelta(minutes=5))
    assert [(count, records is not None) for count, records in runs] == [(3_016, True)]


def test_no_room_is_no_fault(reader: NativeReader) -> None:
    value = generator.array(generator.records(10, 3, "acme"))
    loaded = library.load(library.library_path())
    assert loaded is not None
    job = library.Job(b"t\ts\t", 4, -1, 2**62, 0)
    rows = (ctypes.c_uint32 * 6_000)()
    plenty = (ctypes.c_uint8 * 20_000)()
    assert loaded.scanline_read_message(value, len(value), job, rows, 10, plenty, len(plenty)) == 10
    wanted = rows[9 * 6 + 4]
    assert loaded.scanline_read_message(value, len(value), job, rows, 10, plenty, wanted) == 10
    assert loaded.scanline_read_message(value, len(value), job, rows, 9, plenty, len(plenty)) == -1
    for room in [*range(0, wanted, 7), wanted - 1]:
        out = (ctypes.c_uint8 * (room + 64))()
        found = loaded.scanline_read_message(value, len(value), job, rows, 1_000, out, room)
        assert found == -1 and not any(out[room:])


def test_the_rules_are_those_of_the_schemas() -> None:
    """They are made from there. What cannot be said in C is refused when it is made."""
    made = rules.header()
    for field in (*Record.__struct_fields__, *Transfer.__struct_fields__):
        assert f'"{field}"' in made
    assert all(f'"{code}"' in made for code in CATEGORIES)
    assert str(int(EARLIEST.timestamp()) * 1_000_000) in made


def test_the_librarys_name_says_what_it_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    before = library.library_path()
    monkeypatch.setattr(rules, "MAX_ATTRIBUTES_BYTES", MAX_ATTRIBUTES_BYTES + 1)
    assert library.library_path() != before


def test_without_the_library_there_is_no_reader(tmp_path: Path) -> None:
    assert library.load(tmp_path / "none.so") is None
    (tmp_path / "bad.so").write_bytes(b"no library")
    assert library.load(tmp_path / "bad.so") is None


@pytest.fixture(scope="module")
def build_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native")
    if not sanitized.has_sanitizers(folder):
        pytest.skip("the compiler has no sanitizers")
    return folder


def test_nothing_outside_is_read_or_written(build_folder: Path) -> None:
    command = library.compiler()
    assert command is not None
    program = sanitized.build(build_folder, command, f"-fsanitize={sanitized.SANITIZERS}", "-DBY_ITSELF")
    names = []
    for number, data in enumerate(sanitized.inputs(6_000)):
        names.append(str(build_folder / f"{number}.input"))
        Path(names[-1]).write_bytes(data)
    _run(program, names)


def _run(program: Path, names: Sequence[str]) -> None:
    for first in range(0, len(names), 1_000):
        done = subprocess.run([str(program), *names[first : first + 1_000]], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3_000:]


@pytest.mark.skipif(shutil.which("clang") is None, reason="clang leads the search, and is not there")
def test_a_short_search_finds_nothing(tmp_path: Path) -> None:
    assert sanitized.search(tmp_path, 5, tmp_path / "corpus") == 0


def test_a_cancelled_scans_records_are_decoded_when_asked_for(reader: NativeReader) -> None:
    value = generator.array(generator.records(5, 3, "acme"))
    incoming, decoded = reader.read_message(7, NUMBERED, value, NOW), decode(Message(b"t", [], value), NUMBERED, NOW)
    assert incoming is not None
    assert list(incoming.records) == list(decoded.records) == incoming.records[0:5]
    assert incoming.records[-1] == decoded.records[4]
    with pytest.raises(IndexError):
        incoming.records[5]
