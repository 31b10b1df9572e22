"""The example for direct publishers keeps the contract, whatever the file. It is run against real servers elsewhere."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from schemas.messages import read_envelope
from tests.murmur2 import partition_of
from tests.unit.examples import sample_lines

_PATH = Path(__file__).resolve().parents[2] / "docs" / "examples" / "direct_publisher.py"
SCAN = "0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("direct_publisher", _PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


example = _load()


def test_its_names_and_limits_are_ours() -> None:
    assert example.TOPIC == topics.RECORDS_TOPIC
    assert example.RECORDS_PER_MESSAGE <= topics.MAX_RECORDS_PER_MESSAGE
    assert example.BYTES_PER_MESSAGE <= topics.MAX_MESSAGE_BYTES
    assert f'"partitioner": "{topics.PARTITIONER}"' in _PATH.read_text(encoding="utf-8")
    kinds = {
        read_envelope(b"t", example.headers(kind, SCAN, 7)) for kind in ("opened", "records", "closed", "cancelled")
    }
    assert {kind.type for kind in kinds} == topics.MESSAGE_TYPES - {topics.MENDED}  # mending is done over HTTP
    assert {(kind.scan_id, kind.first_index) for kind in kinds} == {(SCAN, 7)}


def _assert_whole(lines: list[bytes]) -> None:
    expected = 0
    for first_index, array in example.arrays(lines):
        items = msgspec.json.decode(array, type=list[msgspec.Raw])
        assert first_index == expected
        assert [bytes(item) for item in items] == lines[first_index : first_index + len(items)]
        assert 0 < len(items) <= topics.MAX_RECORDS_PER_MESSAGE and len(array) <= topics.MAX_MESSAGE_BYTES
        expected += len(items)
    assert expected == len(lines)


@given(st.lists(st.integers(2, 250_000), max_size=12), st.integers(0, 1_200))
def test_every_record_is_in_one_array_under_its_index(sizes: list[int], small: int) -> None:
    _assert_whole([b'"' + b"x" * (size - 2) + b'"' for size in sizes] + [b"{}"] * small)


def test_the_real_scans_are_cut_whole() -> None:
    _assert_whole(sample_lines())


def test_the_partition_that_the_contract_names_is_where_java_clients_put_that_key() -> None:
    page = (_PATH.parents[1] / "kafka-contract.md").read_text(encoding="utf-8")
    named = re.search(r"key `([^`]+)`:\s+of\s+12\s+partitions\s+it\s+goes\s+to\s+number\s+(\d+)", page)
    assert named is not None and partition_of(named[1].encode()) == int(named[2])
