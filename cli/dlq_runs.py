"""What the `scanline dlq` commands do, with their progress on standard error."""

import datetime as dt
import heapq
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli import INTERRUPTED
from cli.dlq_rows import OUTCOMES, both, meaning, newest, show_counts, show_list, show_plan
from cli.output import console, print_json, stderr
from infra.errors import InfraError
from infra.settings import InfraSettings
from operations.dead_letters.asking import letter_place, unknown_letter
from operations.dead_letters.dropping import drop
from operations.dead_letters.ledger import Ledger
from operations.dead_letters.letters import Selection, judge
from operations.dead_letters.masking import summary
from operations.dead_letters.planning import LEFT as NOT_SENT
from operations.dead_letters.planning import Plan
from operations.dead_letters.reading import Reader
from operations.dead_letters.retrying import Retry
from schemas.messages import MessageRefused
from schemas.unexpected import described

LEFT: Final = 3  # exit code: something that was meant was not sent


@contextmanager
def _bar(total: int, words: str, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; yields what moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, disable=quiet or not stderr.is_terminal, transient=True) as progress:
        task = progress.add_task(words, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """The first Ctrl-C (or SIGTERM) ends the run after its batch, the second at once."""
    stopping = threading.Event()
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: Any) -> None:
        stopping.set()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def states_of(letters: list[Any], ledger: Any) -> dict[Any, str | None]:
    """What was done about each until now; None where nobody knows."""
    if ledger is None:
        return {letter.id: None for letter in letters}
    return dict(ledger.states(letter.id for letter in letters))


@contextmanager
def reader_of_states() -> Iterator[Any]:
    """None, and a word about it, where PostgreSQL cannot be asked: the letters themselves are in Kafka."""
    try:
        ledger = Ledger(InfraSettings().url("read"))
    except InfraError as error:
        stderr.print(f"[yellow]{escape(error.vi)} / {escape(error.en)}[/yellow]")
        yield None
        return
    with ledger:
        yield ledger


def list_all(selection: Any, limit: int, *, everything: bool, as_json: bool) -> None:
    """The newest `limit` letters of a selection, and how many there are by reason."""
    reasons: Counter[str] = Counter()
    kept: list[tuple[Any, dict[str, Any]]] = []  # a heap of the newest
    with reader_of_states() as ledger, Reader(InfraSettings().kafka_bootstrap, selection) as reader:
        with _bar(reader.total, "scan.dlq.v1", quiet=as_json) as advance:
            for chunk in reader.letters(advance):
                states = states_of(chunk, ledger)
                for letter in chunk:
                    state = states[letter.id]
                    if state in ("retried", "dropped") and not everything:
                        continue
                    line = {**summary(letter), "state": state}
                    reasons[line["reason"]] += 1
                    heapq.heappush(kept, ((letter.id.failed_at_ms, letter.id), line))
                    if len(kept) > limit:
                        heapq.heappop(kept)
    show_list(newest(line for _, line in kept), reasons, reasons.total(), as_json=as_json)


def letter_at(place: str) -> Any:
    """The letter itself. Raises InfraError."""
    with Reader(InfraSettings().kafka_bootstrap, Selection(ids=frozenset({letter_place(place)}))) as reader:
        for chunk in reader.letters():
            return chunk[0]
    raise unknown_letter(place)


def today(letter: Any) -> str:
    """What this version would read in it, without saying what stands there."""
    if letter.not_kept:
        return both(OUTCOMES["not_kept"]._asdict())
    try:
        read = judge(letter, dt.datetime.now(dt.UTC))
    except MessageRefused as refused:
        cause = "" if refused.__cause__ is None else f" ({described(refused)})"
        return f"{refused.code}: {both(meaning(refused.code))}{cause}"
    if read.control is not None:
        return "đọc được / readable"
    return (
        f"đọc được: {len(read.records)} bản ghi, {len(read.rejected)} bị từ chối / "
        f"readable: {len(read.records)} records, {len(read.rejected)} rejected"
    )


def audited(letter: Any) -> None:
    """Whoever looks at content leaves a row; without it nothing is shown."""
    with Ledger(InfraSettings().url("write")) as ledger:
        ledger.shown(letter)


def can_be_raw(letter: Any, output: Path | None) -> None:
    """There must be bytes, and they can be commands to a terminal. Raises InfraError."""
    if letter.not_kept:
        raise InfraError.of("dlq_content_not_kept", letter=letter.id.short)
    if output is None and sys.stdout.isatty():
        raise InfraError.of("dlq_raw_to_terminal")


def write_raw(value: bytes, output: Path | None) -> None:
    """Into a new file that its owner alone can read. Raises InfraError."""
    if output is None:
        sys.stdout.buffer.write(value)
        sys.stdout.buffer.flush()
        return
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(value)
    except OSError as error:
        raise InfraError.of("file_not_written", output=output, reason=error.strerror) from error


def needs_choice(selection: Any, *, everything: bool) -> None:
    """Nobody means all letters by accident. Raises InfraError."""
    if selection.is_everything and not everything:
        raise InfraError.of("dlq_nothing_chosen")


def _check_ids(selection: Any, seen: set[tuple[int, int]]) -> None:

    missing = sorted(selection.ids - seen)
    if missing:
        raise unknown_letter(", ".join(f"{partition}:{offset}" for partition, offset in missing))


def _watched(
    chunks: Iterator[list[Any]], wanted: frozenset[tuple[int, int]], seen: set[tuple[int, int]]
) -> Iterator[list[Any]]:
    """Notes which of the letters that were named are there; of a filter nothing is kept."""
    for chunk in chunks:
        seen.update(wanted.intersection(letter.id[:2] for letter in chunk))
        yield chunk


def show_plan_of(selection: Any, rules: Any, *, as_json: bool) -> None:
    """Says what a retry would do, and does nothing."""
    plan = Plan(rules)
    seen: set[tuple[int, int]] = set()
    with Ledger(InfraSettings().url("read")) as ledger, Reader(InfraSettings().kafka_bootstrap, selection) as reader:
        with _bar(reader.total, "dry run", quiet=as_json) as advance:
            for chunk in _watched(reader.letters(advance), selection.ids, seen):
                states, now = ledger.states(letter.id for letter in chunk), dt.datetime.now(dt.UTC)
                for letter in chunk:
                    plan.add(letter, states[letter.id], now)
                if plan.full:
                    break
    if not plan.full:
        _check_ids(selection, seen)
    show_plan(plan, as_json=as_json)


def run_retry(selection: Any, rules: Any, *, as_json: bool) -> int:
    """Sends letters again. Returns the exit code."""
    bootstrap = InfraSettings().kafka_bootstrap
    seen: set[tuple[int, int]] = set()
    with (
        Ledger(InfraSettings().url("write")) as ledger,
        Reader(bootstrap, selection) as reader,
        _stoppable() as stopping,
    ):
        run = Retry(ledger, bootstrap, rules, stopping)
        try:
            with _bar(reader.total, "dlq retry", quiet=as_json) as advance:
                run.run(_watched(reader.letters(advance), selection.ids, seen))
        except InfraError:
            if run.counts.total():
                show_counts(run.counts, as_json=as_json)
            raise
    show_counts(run.counts, as_json=as_json)
    if stopping.is_set():
        return INTERRUPTED
    if not rules.limit:
        _check_ids(selection, seen)
    return LEFT if any(run.counts[name] for name in NOT_SENT) else 0


def run_drop(selection: Any, note: str, most: int, *, as_json: bool) -> None:
    """Puts letters aside for good."""
    bootstrap = InfraSettings().kafka_bootstrap
    seen: set[tuple[int, int]] = set()
    with Ledger(InfraSettings().url("write")) as ledger, Reader(bootstrap, selection) as reader:
        with _bar(reader.total, "dlq drop", quiet=as_json) as advance:
            done = drop(ledger, bootstrap, _watched(reader.letters(advance), selection.ids, seen), note, most)
    if not most:
        _check_ids(selection, seen)
    if as_json:
        print_json({"dropped": done["dropped"], "retried_before": done["retried"]})
    else:
        console.print(
            f"  {done['dropped']} đã bỏ / dropped; {done['retried']} đã gửi lại từ trước / retried before",
            highlight=False,
            soft_wrap=True,
        )
