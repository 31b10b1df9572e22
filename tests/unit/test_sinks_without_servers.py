"""The sinks that need no server keep the sinks' contract (tests/sink_contract.py)."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sinks.files import LocalSink
from sinks.files.ndjson import FileOutput
from sinks.files.state import State
from sinks.protocol import MicroBatch, Unavailable
from tests.memory_sink import Content, MemorySink
from tests.sink_contract import Row, SinkContract, Store


class FullDisk(FileOutput):
    """Takes some of the rows, where `full`."""

    full = False

    def take(self, connection: Any, rows: Sequence[Any], day: Any) -> None:
        super().take(connection, rows, day)
        if self.full:
            raise OSError(28, "no space left on device")


class Files:
    """Rows in NDJSON, as far as the state says that they are there."""

    tenant = "acme"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = State(folder / "state")
        self._output = FullDisk(folder / "rows")
        self.sink = LocalSink(self._state, self._output)

    def rows(self, scan: str) -> list[Row]:
        committed = (self._folder / "rows").read_bytes()[: int(self._state.get("output_length") or 0)]
        found = [json.loads(line) for line in committed.splitlines()]
        return sorted(Row(*(row[name] for name in Row._fields)) for row in found if row["scan_id"] == scan)

    def rejections(self, scan: str) -> list[int | None]:
        query = (
            "SELECT record_index FROM rejections WHERE scan = (SELECT number FROM scans WHERE scan_id = ?) ORDER BY 1"
        )
        return [index for (index,) in self._state.connection.execute(query, (scan,))]

    @contextmanager
    def breaking(self) -> Iterator[None]:
        self._output.full = True
        yield
        self._output.full = False


class Breaking(MemorySink):
    """Where `broken`, it fails with everything worked out."""

    broken = False

    def commit(self, batch: MicroBatch, content: Content) -> None:
        if self.broken:
            raise Unavailable("53100", "DiskFull")
        super().commit(batch, content)


class Memory:
    """What the lanes' tests write to."""

    tenant = "acme"

    def __init__(self) -> None:
        self.sink = Breaking(0)
        self.sink.answering.set()

    def rows(self, scan: str) -> list[Row]:
        rows = self.sink.content.rows.items()
        return sorted(Row(key, index, record.name) for (_, own, key), (index, record) in rows if own == scan)

    def rejections(self, scan: str) -> list[int | None]:
        found = [index for (_, own), index in self.sink.content.rejections if own == scan]
        return sorted(found, key=lambda index: -1 if index is None else index)

    @contextmanager
    def breaking(self) -> Iterator[None]:
        self.sink.broken = True
        yield
        self.sink.broken = False


class TestFiles(SinkContract):
    """As a replay into NDJSON has it."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Files(tmp_path)


class TestMemory(SinkContract):
    """As the tests of lanes have it."""

    @pytest.fixture
    def store(self) -> Store:
        return Memory()
