"""One record that a replay cannot handle is named and left out; its neighbours are in every output."""

import datetime as dt
import json
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow.parquet as pq
import pytest

from operations.replay.batch_preparation import prepared_for
from schemas.decoder import Incoming
from schemas.messages import Envelope
from schemas.record import Record, decode_record
from schemas.topics import RECORDS, RECORDS_TOPIC
from sinks.files import LocalSink, Nowhere, Output
from sinks.files.ndjson import FileOutput
from sinks.files.parquet import ParquetOutput
from sinks.files.skipped_records import SkippedRecords
from sinks.files.state import State
from sinks.postgres import PostgresSink
from sinks.postgres.engine import write_engine
from sinks.protocol import MicroBatch
from tests.unit.examples import FULL, encode

SCAN: Final = str(uuid.UUID(int=7))
DEEP: Final = b'{"a":' + b"[" * 3_000 + b"]" * 3_000 + b"}"


def record(key: str, **fields: Any) -> Record:
    return msgspec.structs.replace(decode_record(encode(FULL)), activity_key=key, **fields)


# What no rule of today lets through, in a record that came through all the same.
BAD: Final[dict[str, dict[str, Any]]] = {
    "nested beyond Python": {"attributes": msgspec.Raw(DEEP)},
    "no JSON": {"attributes": msgspec.Raw(b'{"a":')},
    "no UTF-8": {"attributes": msgspec.Raw(b'{"a":"\xff"}')},
    "half a character": {"name": "\ud800"},
    "an exponent beyond Decimal": {"attributes": msgspec.Raw(b'{"a":1e99999999999999999999}')},
    "not a number": {"subject_count": "many"},
    "a number beyond 64 bits": {"subject_count": 10**30},
    "no time": {"discovered_at": "yesterday"},
}


class Raising:
    """An output that cannot take one record."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def begin(self, connection: Any) -> None: ...

    def take(self, connection: Any, rows: Sequence[Any], day: dt.date | None) -> None:
        if any(row.activity_key.startswith("bad") for row in rows):
            raise RuntimeError("secret")
        self.keys += [row.activity_key for row in rows]

    def finish(self, connection: Any, passed_over: Any) -> None: ...


def replayed(output: Output, bad: Sequence[dict[str, Any]], folder: Path) -> LocalSink:
    """Good and bad records in turn, through the sink and to the end."""
    records = []
    for number, fields in enumerate(bad):
        records += [record(f"good/{number}"), record(f"bad/{number}", **fields)]
    records.append(record("good/last"))
    state = State(folder / "state")
    sink = LocalSink(state, output)
    envelope = Envelope(RECORDS, "acme", SCAN, 0)
    message = Incoming(0, envelope, records, range(len(records)))
    sink.write(sink.prepare(MicroBatch(RECORDS_TOPIC, 0, 0, 1, [message])))
    sink.finish()
    assert sum(scan.records_stored for _, scan in state.scans()) == len(records)
    assert len(list(state.keys(1))) == len(records)
    return sink


def from_ndjson(folder: Path) -> list[str]:
    return [json.loads(line)["activity_key"] for line in (folder / "rows").read_bytes().splitlines()]


def from_parquet(folder: Path) -> list[str]:
    (file,) = folder.glob("*.parquet")
    keys: list[str] = pq.read_table(file)["activity_key"].to_pylist()
    (described,) = json.loads((folder / "_manifest.json").read_text())["files"]
    assert described["rows"] == len(keys)
    return keys


OUTPUTS: Final[dict[str, tuple[Callable[[Path], Output], Callable[[Path], list[str]]]]] = {
    "ndjson": (lambda folder: FileOutput(folder / "rows"), from_ndjson),
    "parquet": (lambda folder: ParquetOutput(folder, "{}"), from_parquet),
}


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("names", [*([name] for name in BAD), list(BAD)], ids=[*BAD, "all of them"])
def test_a_bad_record_is_named_and_its_neighbours_are_written(names: list[str], kind: str, tmp_path: Path) -> None:
    make, written = OUTPUTS[kind]
    sink = replayed(make(tmp_path), [BAD[name] for name in names], tmp_path)
    good = [*(f"good/{number}" for number in range(len(names))), "good/last"]
    keys = written(tmp_path)
    assert [key for key in keys if key.startswith("good")] == good
    told = sink.passed_over.as_json()
    # every bad one is written as it is, or named
    assert sorted([*keys, *(each["activity_key"] for each in told["first"])]) == sorted(
        [*good, *(f"bad/{number}" for number in range(len(names)))]
    )
    for each in told["first"]:
        assert (each["tenant_id"], each["scan_id"]) == ("acme", SCAN)
        assert each["record_index"] == 2 * int(each["activity_key"][4:]) + 1
        assert each["reason"].isidentifier()


def test_an_output_that_cannot_take_a_record_takes_the_others(tmp_path: Path) -> None:
    output = Raising()
    sink = replayed(output, [{}, {}], tmp_path)
    assert output.keys == ["good/0", "good/1", "good/last"]
    assert [each.reason for each in sink.passed_over.first] == ["RuntimeError"] * 2
    assert "secret" not in json.dumps(sink.passed_over.as_json())


def test_where_nothing_is_written_a_bad_record_is_named_too(tmp_path: Path) -> None:
    sink = replayed(Nowhere(), list(BAD.values()), tmp_path)
    assert 0 < sink.passed_over.count <= len(BAD)


def test_of_many_the_first_are_named_and_all_are_counted(tmp_path: Path) -> None:
    sink = replayed(Nowhere(), [BAD["no JSON"]] * 300, tmp_path)
    assert (sink.passed_over.count, len(sink.passed_over.first)) == (300, 100)


def test_a_record_that_cannot_be_formatted_for_postgresql_is_named(tmp_path: Path) -> None:
    """Formatting asks for no database."""
    sink = PostgresSink(
        write_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none", connections=1, deadline_seconds=1), "x"
    )
    records = [record("good/0"), record("bad", attributes=msgspec.Raw(b'{"a":"\xff"}')), record("good/1")]
    message = Incoming(0, Envelope(RECORDS, "acme", SCAN, 100), records, range(3))
    passed_over = SkippedRecords()
    plan, lines = prepared_for(sink, MicroBatch(RECORDS_TOPIC, 0, 0, 1, [message]), passed_over)
    assert [each.activity_key for each in plan.batch.messages[0].records] == ["good/0", "good/1"]
    assert list(plan.batch.messages[0].positions) == [0, 2]
    assert len(lines[0].lines) == 2
    assert passed_over.first == [("acme", SCAN, "bad", 101, "UnicodeDecodeError", None)]
    sink.close()
