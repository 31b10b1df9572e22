"""A request for a replay, checked, run, and reported on."""

import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.errors import InfraError
from infra.replay.run import Outcome, Progress, Replay
from infra.replay.selection import Selection, ranges
from infra.settings import InfraSettings
from sinks.local import LocalSink, Output
from sinks.local.ndjson import FileOutput, StreamOutput
from sinks.local.state import State

_SELECTION: Final = "selection"
OnProgress = Callable[[Progress], None]


class Request(NamedTuple):
    """What was asked for."""

    selection: Selection
    to_ndjson: bool = False
    parquet: Path | None = None
    output: Path | None = None
    checkpoint: Path | None = None
    overwrite: bool = False
    rate: float = 0.0

    def check(self) -> None:
        """Raises InfraError where it makes no sense."""
        if self.to_ndjson == (self.parquet is not None):
            raise InfraError(
                "Hãy chọn đúng một nơi nhận: --to-ndjson hoặc --to-parquet THƯ_MỤC.",
                "Choose one target: --to-ndjson or --to-parquet DIR.",
            )
        if self.output is not None and not self.to_ndjson:
            raise InfraError("-o chỉ dùng với --to-ndjson.", "-o goes with --to-ndjson only.")

    @property
    def state_file(self) -> Path | None:
        """Where a local replay remembers how far it is; None: nowhere, it cannot be gone on with."""
        if self.checkpoint is not None:
            return self.checkpoint
        if self.parquet is not None:
            return self.parquet / "_replay.checkpoint"
        return None if self.output is None else self.output.with_name(f"{self.output.name}.checkpoint")

    @property
    def how_to_go_on(self) -> str:
        """For whoever interrupted it."""
        if self.state_file is not None:
            return "Đã ngắt; chạy lại cùng lệnh để làm tiếp. / Interrupted; the same command again goes on."
        return (
            "Đã ngắt, không làm tiếp được: lần sau hãy dùng -o TỆP hoặc --resume-from TỆP. / "
            "Interrupted, and cannot be gone on with: next time use -o FILE or --resume-from FILE."
        )


def run(request: Request, settings: InfraSettings, on_progress: OnProgress) -> dict[str, Any]:
    """Runs it, and returns the report. Raises InfraError."""
    request.check()
    return _into_files(request, settings, on_progress)


def _into_files(request: Request, settings: InfraSettings, on_progress: OnProgress) -> dict[str, Any]:
    state = _state(request)
    try:
        sink = LocalSink(state, _output(request))
        state.put(_SELECTION, request.selection.text)
        replay = Replay(
            sink,
            request.selection,
            rate=request.rate,
            by_day=True,
            on_progress=on_progress,
        )
        outcome = replay.run(settings.kafka_bootstrap, ranges(settings.kafka_bootstrap, request.selection))
        sink.finish()
        report = _report(outcome, state)
    except (OSError, sqlite3.Error) as error:
        state.close()
        if isinstance(error, BrokenPipeError):
            raise
        raise InfraError(
            f"Không ghi được kết quả: {error}. Hãy kiểm tra đĩa và quyền, rồi chạy lại cùng lệnh.",
            f"The result cannot be written: {error}. Check disk and rights, then run the same command again.",
        ) from error
    except BaseException:
        state.close()
        raise
    state.remove()  # complete: there is nothing to go on with
    return report


def _state(request: Request) -> State:
    """New, or that of the same request interrupted."""
    path = request.state_file
    going_on = path is not None and path.exists()
    result = request.output or request.parquet
    if not going_on and result is not None and _holds_result(result) and not request.overwrite:
        raise InfraError(
            f"{result} đã có kết quả. Hãy chọn nơi khác, hoặc dùng --overwrite.",
            f"{result} holds a result already. Choose another place, or use --overwrite.",
        )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        state = State(path)
        with suppress(sqlite3.OperationalError):
            state.connection.execute("PRAGMA temp_store = FILE")
        known = state.get(_SELECTION)
    except sqlite3.Error as error:
        raise InfraError(
            f"Không dùng được tệp ghi nhớ {path}: {error}", f"The checkpoint {path} cannot be used: {error}"
        ) from error
    if known is not None and known != request.selection.text:
        state.close()
        raise InfraError(
            f"{path} thuộc về một lần phát lại khác: {known}. Hãy xóa nó để bắt đầu lại.",
            f"{path} belongs to another replay: {known}. Delete it to start anew.",
        )
    return state


def _holds_result(place: Path) -> bool:
    return any(place.rglob("*.parquet")) if place.is_dir() else place.exists()


def _output(request: Request) -> Output:
    if request.parquet is not None:
        from sinks.parquet import ParquetOutput  # pyarrow takes its time; only who asks for it waits

        return ParquetOutput(request.parquet, request.selection.text)
    return StreamOutput(sys.stdout.buffer) if request.output is None else FileOutput(request.output)


def _report(outcome: Outcome, state: State) -> dict[str, Any]:
    """Counts of everything the target holds by now, not of this run alone."""
    totals = {"scans": 0, "stored": 0, "rejected": 0, "duplicate": 0}
    for _, scan in state.scans():
        totals["scans"] += 1
        for name in ("stored", "rejected", "duplicate"):
            totals[name] += getattr(scan, f"records_{name}")
    return {**totals, **_of_run(outcome)}


def _of_run(outcome: Outcome) -> dict[str, Any]:
    return {
        "messages": outcome.messages,
        "unreadable": dict(outcome.unreadable),
        "lost": {str(partition): count for partition, count in outcome.lost.items()},
        "offsets": {str(number): [place.start, place.end] for number, place in outcome.ranges.items()},
    }
