"""A request for a replay, checked, run, and reported on."""

import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.errors import InfraError, Interrupted
from infra.processes.folder_lock import held
from infra.settings import InfraSettings
from operations import pipelines
from operations.replay import schema
from operations.replay.live_tables import Live
from operations.replay.run import Replay, ReplayProgress, ReplayResult
from operations.replay.selection import Range, Selection, ranges, topic_id_of
from operations.replay.verification import Verified, verify
from schemas.stored_offset import StoredOffset
from schemas.topics import RECORDS_TOPIC
from sinks.files import LocalSink, Nowhere, Output
from sinks.files.ndjson import FileOutput, StreamOutput
from sinks.files.skipped_records import SkippedRecords
from sinks.files.state import State

_SELECTION: Final = "selection"
_TOPIC_ID: Final = "topic_id"
OnProgress = Callable[[ReplayProgress], None]


class Request(NamedTuple):
    """The request for a replay."""

    selection: Selection
    to_ndjson: bool = False
    parquet: Path | None = None
    schema: str | None = None
    output: Path | None = None
    checkpoint: Path | None = None
    overwrite: bool = False
    rate: float = 0.0
    verify: bool = False
    pipeline: str = "inventory"  # whose offsets say how far the live table is

    def check(self) -> None:
        """Raises InfraError where it makes no sense."""
        targets = self.to_ndjson + (self.parquet is not None) + (self.schema is not None)
        if targets != 1 and not (self.verify and targets == 0):
            raise InfraError.of("replay_target_missing")
        if self.output is not None and not self.to_ndjson:
            raise InfraError.of("replay_output_option")
        if self.schema is None:
            return
        schema.check_name(self.schema)
        if self.verify or self.checkpoint is not None:
            raise InfraError.of("replay_schema_options")

    @property
    def state_file(self) -> Path | None:
        """The file in which a local replay remembers how far it is; None where it cannot be continued."""
        if self.checkpoint is not None:
            return self.checkpoint
        if self.parquet is not None:
            return self.parquet / "_replay.checkpoint"
        return None if self.output is None else self.output.with_name(f"{self.output.name}.checkpoint")

    @property
    def interrupted(self) -> Interrupted:
        """The text about how to continue."""
        if self.schema is not None or self.state_file is not None:
            return Interrupted.of("replay_interrupted")
        return Interrupted.of("replay_interrupted_for_good")


def run(request: Request, settings: InfraSettings, on_progress: OnProgress) -> dict[str, Any]:
    """Runs it, and returns the report. Raises InfraError."""
    request.check()
    if request.schema is not None:
        return _into_schema(request, request.schema, settings, on_progress)
    with _alone(request.state_file):
        return _into_files(request, settings, on_progress)


def _alone(checkpoint: Path | None) -> AbstractContextManager[None]:
    """Two replays on one checkpoint would undo each other's work. Raises InfraError for the second."""
    if checkpoint is None:
        return nullcontext()
    return held(
        checkpoint,
        lambda owner: InfraError.of("replay_busy", owner=owner, checkpoint=checkpoint),
    )


def _into_schema(request: Request, name: str, settings: InfraSettings, on_progress: OnProgress) -> dict[str, Any]:
    places = ranges(settings.kafka_bootstrap, request.selection)
    topic_id = topic_id_of(settings.kafka_bootstrap)
    with schema.opened(settings, name, request.selection.text, topic_id, overwrite=request.overwrite) as target:
        sink = target.sink()
        try:
            _insist_on_the_same_log(sink.load_offsets(RECORDS_TOPIC, places, topic_id), places)
            passed_over = SkippedRecords()
            replay = Replay(
                sink, request.selection, rate=request.rate, on_progress=on_progress, passed_over=passed_over
            )
            outcome = replay.run(settings.kafka_bootstrap, places)
            return {"schema": name, **target.finish(), **outcome.as_json(), "passed_over": passed_over.as_json()}
        finally:
            sink.close()


def _insist_on_the_same_log(written: Mapping[int, StoredOffset], places: Mapping[int, Range]) -> None:
    """The same selection can only end later than it did: where it ends earlier, the topic was recreated by a broker
    that tells no ids, or lost its end. Raises InfraError."""
    for number, place in places.items():
        at = written[number].next_offset
        if at > max(place.end, place.first):
            raise InfraError.of("replay_schema_ahead", partition=number, end=place.end, written=at)


def _into_files(request: Request, settings: InfraSettings, on_progress: OnProgress) -> dict[str, Any]:
    places = ranges(settings.kafka_bootstrap, request.selection)
    if request.verify:
        places = _written(places, request, settings)
    state = _state(request)
    try:
        sink = LocalSink(state, _output(request))
        state.put(_SELECTION, request.selection.text)
        _insist_on_the_same_topic(state, settings)
        replay = Replay(
            sink,
            request.selection,
            rate=request.rate,
            by_day=True,
            on_progress=on_progress,
            passed_over=sink.passed_over,
        )
        outcome = replay.run(settings.kafka_bootstrap, places)
        sink.finish()
        report = _report(outcome, state)
        if request.verify:
            report |= _verified(state, request, settings, outcome, sink.passed_over, on_progress)
        report["passed_over"] = sink.passed_over.as_json()
    except (OSError, sqlite3.Error) as error:
        state.close()
        if isinstance(error, BrokenPipeError):
            raise
        raise InfraError.of("replay_result_not_written", reason=error) from error
    except BaseException:
        state.close()
        raise
    state.remove()  # complete: there is nothing to go on with
    return report


def _written(places: dict[int, Range], request: Request, settings: InfraSettings) -> dict[int, Range]:
    """No further than the live table is by now: what it has not written yet is no difference."""
    pipelines.check(settings.url("read"), request.pipeline)
    with Live(settings.url("read")) as live:
        offsets = live.offsets(request.pipeline)
    return {number: place._replace(end=min(place.end, offsets.get(number, 0))) for number, place in places.items()}


def _verified(
    state: State,
    request: Request,
    settings: InfraSettings,
    outcome: ReplayResult,
    passed_over: SkippedRecords,
    on_progress: OnProgress,
) -> dict[str, Any]:
    read = {
        number: place._replace(start=place.first) if number in outcome.lost else place
        for number, place in outcome.ranges.items()
    }
    with Live(settings.url("read")) as live:
        found = verify(
            state,
            live,
            request.selection,
            read,
            topic_id_of(settings.kafka_bootstrap),
            passed_over,
            lambda rows, total: on_progress(
                ReplayProgress(rows, total, outcome.messages, rows, doing="So sánh / comparing")
            ),
        )
    return _as_json(found)


def _as_json(found: Verified) -> dict[str, Any]:
    return {
        "compared": found.scans,
        "rows_compared": found.rows,
        "equal": found.equal,
        "not_comparable": found.not_comparable,
        "different": len(found.differences),
        "differences": [each.as_json() for each in found.differences],
    }


def _state(request: Request) -> State:
    """New, or that of the same request interrupted."""
    path = request.state_file
    going_on = path is not None and path.exists()
    result = request.output or request.parquet
    if not going_on and result is not None and _holds_result(result) and not request.overwrite:
        raise InfraError.of("replay_result_exists", result=result)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        state = State(path)
        with suppress(sqlite3.OperationalError):
            state.connection.execute("PRAGMA temp_store = FILE")
        known = state.get(_SELECTION)
    except sqlite3.Error as error:
        raise InfraError.of("replay_checkpoint_unusable", path=path, reason=error) from error
    if known is not None and known != request.selection.text:
        state.close()
        raise InfraError.of("replay_checkpoint_of_another", path=path, known=known)
    return state


def _insist_on_the_same_topic(state: State, settings: InfraSettings) -> None:
    """A checkpoint's offsets count one topic's messages: after it was recreated they would pass over the new one's."""
    topic_id = topic_id_of(settings.kafka_bootstrap)
    known = state.get(_TOPIC_ID)
    if topic_id is None:
        return
    if known is not None and known != topic_id:
        raise InfraError.of("replay_topic_replaced", topic=RECORDS_TOPIC, path=state.path)
    state.put(_TOPIC_ID, topic_id)


def _holds_result(place: Path) -> bool:
    return any(place.rglob("*.parquet")) if place.is_dir() else place.exists()


def _output(request: Request) -> Output:
    if request.parquet is not None:
        from sinks.files.parquet import ParquetOutput  # pyarrow takes its time; only who asks for it waits

        return ParquetOutput(request.parquet, request.selection.text)
    if not request.to_ndjson:
        return Nowhere()
    return StreamOutput(sys.stdout.buffer) if request.output is None else FileOutput(request.output)


def _report(outcome: ReplayResult, state: State) -> dict[str, Any]:
    """Counts of everything the target holds by now, not of this run alone."""
    totals = {"scans": 0, "stored": 0, "rejected": 0, "duplicate": 0}
    for _, scan in state.scans():
        totals["scans"] += 1
        for name in ("stored", "rejected", "duplicate"):
            totals[name] += getattr(scan, f"records_{name}")
    return {**totals, **outcome.as_json()}
