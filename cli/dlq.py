"""`scanline dlq`: messages that could not be read: look at them, send them again, put them aside for good."""

import datetime as dt
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cli import INTERRUPTED
from cli.dlq_tables import OUTCOMES, both, meaning, show_counts, show_dropped, show_letter, show_list, show_plan
from cli.options import PIPELINE, Json, Pipeline
from cli.output import show, stderr, take_output
from infra.errors import InfraError
from infra.settings import InfraSettings
from operations import pipelines
from operations.dead_letters import runs
from operations.dead_letters.allowance import allow as let_pass
from operations.dead_letters.arguments import selection as chosen
from operations.dead_letters.dead_letter import DeadLetter, DeadLetterSelection, judge
from operations.dead_letters.ledger import DeadLetterLedger
from operations.dead_letters.masking import described
from operations.dead_letters.plan import LEFT as NOT_SENT
from operations.dead_letters.plan import RetryRules
from operations.progress_columns import CountColumn
from schemas.errors import MESSAGE_ERRORS
from schemas.exception_summary import described as cause_of
from schemas.messages import MessageRefused

LEFT: Final = 3  # exit code: something that was meant was not sent
_MOST_PREVIEW: Final = 64 * 1024
Ids = Annotated[
    list[str] | None,
    typer.Argument(help="phân vùng:offset trong scan.dlq.v1, ví dụ 0:17 / partition:offset, as listed"),
]
Everything = Annotated[bool, typer.Option("--everything", help="tất cả, không lọc / all of them")]


def _filtered(
    *,
    tenant: str = typer.Option("", help="mã tổ chức / tenant id"),
    scan: str = typer.Option("", help="mã lượt quét / scan id"),
    reason: str = typer.Option("", help=f"chỉ lý do này / for this reason alone: {', '.join(MESSAGE_ERRORS)}"),
    since: str = typer.Option("", help="lỗi từ lúc này: RFC 3339, hoặc 30s, 15m, 2h, 7d trước / failed at or after"),
    until: str = typer.Option("", help="lỗi trước lúc này / failed before"),
    partition: int | None = typer.Option(None, min=0, help="phân vùng của scan.dlq.v1 / partition of scan.dlq.v1"),
    offset: int | None = typer.Option(None, min=0, help="từ offset này của scan.dlq.v1 / from this offset on"),
) -> None:
    """The options that choose letters, for every command that takes them."""


_FILTERS: Final = signature(_filtered).parameters


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that choose letters, in place of its `selection`; `ids` only where it has them
    itself."""
    own = [each for name, each in signature(command).parameters.items() if name != "selection"]

    @wraps(command)
    def run(**given: Any) -> None:
        ids = given.pop("ids", None) or []
        command(chosen(ids, **{name: given.pop(name) for name in _FILTERS}), **given)

    parameters = sorted([*_FILTERS.values(), *own], key=lambda each: each.name != "ids")  # the filters after it
    shown = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in parameters]
    command_with_filters: Any = run  # inspect looks for this attribute, which the type of functions does not have
    command_with_filters.__signature__ = Signature(shown)
    command_with_filters.__annotations__ = {each.name: each.annotation for each in shown}
    return run


def _agreed(question: str) -> bool:
    """False also where nobody is there to answer."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False


@contextmanager
def _bar(words: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), CountColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, disable=quiet or not stderr.is_terminal, transient=True) as progress:
        task = progress.add_task(words, total=total)
        yield lambda count: progress.advance(task, count)


def _progress(words: str, *, quiet: bool) -> runs.Progress:
    """A progress bar on standard error."""

    def bar(total: int) -> AbstractContextManager[Callable[[int], None]]:
        return _bar(words, total, quiet=quiet)

    return bar


@contextmanager
def _stoppable(stopping: threading.Event) -> Iterator[threading.Event]:
    """The first Ctrl-C (or SIGTERM) ends the run after its batch, the second at once."""
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


@contextmanager
def _reader_of_states(settings: InfraSettings) -> Iterator[DeadLetterLedger | None]:
    """Opens the ledger. Gives None, and says so, where PostgreSQL cannot be asked: the letters themselves are in
    Kafka."""
    try:
        ledger = DeadLetterLedger(settings.url("read"))
    except InfraError as error:
        stderr.print(f"[yellow]{escape(error.vi)} / {escape(error.en)}[/yellow]")
        yield None
        return
    with ledger:
        yield ledger


def today(letter: DeadLetter) -> str:
    """Says what this version would read in it, without its content."""
    if letter.not_kept:
        return both(OUTCOMES["not_kept"]._asdict())
    try:
        read = judge(letter, dt.datetime.now(dt.UTC))
    except MessageRefused as refused:
        cause = "" if refused.__cause__ is None else f" ({cause_of(refused)})"
        return f"{refused.code}: {both(meaning(refused.code))}{cause}"
    if read.control is not None:
        return "đọc được / readable"
    return (
        f"đọc được: {len(read.records)} bản ghi, {len(read.rejected)} bị từ chối / "
        f"readable: {len(read.records)} records, {len(read.rejected)} rejected"
    )


def _can_be_raw(letter: DeadLetter, output: Path | None) -> None:
    """There must be bytes, and they can be commands to a terminal. Raises InfraError."""
    if letter.not_kept:
        raise InfraError.of("dlq_content_not_kept", letter=letter.id.short)
    if output is None and sys.stdout.isatty():
        raise InfraError.of("dlq_raw_to_terminal")


def _write_raw(value: bytes, output: Path | None) -> None:
    """Writes the bytes into a new file that its owner alone can read. Raises InfraError."""
    if output is None:
        sys.stdout.buffer.write(value)
        sys.stdout.buffer.flush()
        return
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(value)
    except OSError as error:
        raise InfraError.of("file_not_written", output=output, reason=error.strerror) from error


def _needs_choice(selection: DeadLetterSelection, *, everything: bool) -> None:
    """Nobody means all letters by accident. Raises InfraError."""
    if selection.is_everything and not everything:
        raise InfraError.of("dlq_nothing_chosen")


@_choosing
def list_letters(
    selection: DeadLetterSelection,
    *,
    limit: int = typer.Option(50, min=1, help="số dòng nhiều nhất, mới nhất trước / most lines, newest first"),
    everything: bool = typer.Option(False, "--all", help="cả đã gửi lại và đã bỏ / retried and dropped ones, too"),
    json: Json = False,
) -> None:
    """Các thông điệp không xử lý được, và lý do. / What could not be read, and why."""
    settings = InfraSettings()
    with _reader_of_states(settings) as ledger:
        progress = _progress("scan.dlq.v1", quiet=json)
        found = runs.listed(settings, ledger, selection, limit, progress, everything=everything)
    show_list(found.newest, found.reasons, found.reasons.total(), as_json=json)


def show_one(
    id: str = typer.Argument(..., help="phân vùng:offset, ví dụ 0:17 / partition:offset"),
    preview: int = typer.Option(
        0,
        min=0,
        max=_MOST_PREVIEW,
        help="hiện từng ấy byte đầu và mọi tiêu đề / show so many bytes and all headers",
    ),
    raw: bool = typer.Option(False, "--raw", help="đúng các byte gốc / the exact original bytes"),
    output: Path | None = typer.Option(None, help="với --raw: vào tệp mới này / into this new file"),
    json: Json = False,
) -> None:
    """Một thông điệp; nội dung chỉ hiện khi yêu cầu, và được ghi nhật ký kiểm toán.
    / One letter; its content is shown only on demand, and that leaves an audit row."""
    settings = InfraSettings()
    if raw and output is None:
        take_output()
    letter = runs.letter_at(settings, id)
    if raw:
        _can_be_raw(letter, output)
    if raw or preview:
        with DeadLetterLedger(settings.url("write")) as writer:  # without that row nothing is shown
            writer.shown(letter)
    if raw:
        _write_raw(letter.value or b"", output)
        return
    with _reader_of_states(settings) as ledger:
        state = runs.states_of([letter], ledger)[letter.id]
        history = [] if ledger is None else ledger.history(letter.id)
    facts = described(letter, reveal=preview > 0, most=preview)
    show_letter({**facts, "state": state, "today": today(letter), "history": history}, as_json=json)


@_choosing
def retry(
    selection: DeadLetterSelection,
    *,
    ids: Ids = None,
    limit: int = typer.Option(0, min=0, help="gửi nhiều nhất từng ấy / send at most so many"),
    everything: Everything = False,
    dry_run: bool = typer.Option(False, "--dry-run", help="chỉ xem trước / only say what would happen"),
    max_replays: int = typer.Option(3, min=1, help="số lần gửi lại nhiều nhất của một thông điệp / of one message"),
    anyway: bool = typer.Option(False, "--anyway", help="cả khi vẫn không đọc được / though still unreadable"),
    dropped: bool = typer.Option(False, "--dropped", help="cả những gì đã bỏ / what was dropped, too"),
    rate: float = typer.Option(0, min=0, help="thông điệp mỗi giây; 0: hết mức / messages a second; 0: no limit"),
    json: Json = False,
) -> None:
    """Gửi lại vào scan.records.v1, mỗi thông điệp một lần. / Send letters again, each once.

    Mã thoát: 0 ổn; 1 lỗi; 3 có thông điệp không được gửi; 130 bị dừng, chạy lại sẽ làm tiếp. /
    Exit code: 0 well; 1 an error; 3 something that was meant was not sent; 130 stopped, run it again to go on.
    """
    _needs_choice(selection, everything=everything)
    settings, rules = InfraSettings(), RetryRules(max_replays, anyway, dropped, rate, limit)
    if dry_run:
        plan = runs.planned(settings, selection, rules, _progress("dry run", quiet=json))
        show_plan(plan, as_json=json)
        return
    stopping = threading.Event()
    counts = runs.retry(
        settings,
        selection,
        rules,
        _stoppable(stopping),
        _progress("dlq retry", quiet=json),
        lambda counts: show_counts(counts, as_json=json),
    )
    if stopping.is_set():
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(LEFT if any(counts[name] for name in NOT_SENT) else 0)


@_choosing
def drop(
    selection: DeadLetterSelection,
    *,
    ids: Ids = None,
    because: str = typer.Option(..., help="vì sao, cho nhật ký kiểm toán / why, for the audit log"),
    limit: int = typer.Option(0, min=0, help="bỏ nhiều nhất từng ấy / drop at most so many"),
    everything: Everything = False,
    yes: bool = typer.Option(False, "--yes", help="không hỏi lại / do not ask"),
    json: Json = False,
) -> None:
    """Bỏ hẳn: không hiện và không gửi lại nữa; Kafka giữ đến hết hạn. / Put aside for good."""
    _needs_choice(selection, everything=everything)
    if not 1 <= len(because.strip()) <= 500:
        raise InfraError.of("dlq_because_length")
    if not yes and not _agreed("Bỏ hẳn các thông điệp này? / Drop these letters for good?"):
        raise InfraError.of("dlq_not_confirmed")
    done = runs.drop(InfraSettings(), selection, because.strip(), limit, _progress("dlq drop", quiet=json))
    show_dropped(done, as_json=json)


def allow(
    partition: int = typer.Option(..., min=0, help="phân vùng đang dừng / the partition that stands still"),
    count: int = typer.Option(..., min=1, help="số thông điệp kế tiếp / how many messages from here on"),
    pipeline: Pipeline = PIPELINE,
    json: Json = False,
) -> None:
    """Cho phép các thông điệp không đọc được kế tiếp vào scan.dlq.v1, dù vượt giới hạn.
    / Let the next messages go to scan.dlq.v1 where they cannot be read, although they are over the limit.

    Chỉ dùng khi đã xem chúng và biết lỗi ở bên gửi: nếu lỗi ở worker, hãy triển khai bản sửa, làn sẽ tự tiếp tục. /
    Only after a look at them, when the sender is at fault: with the fault in the worker, deploy a version that can read
    them, and the lane goes on by itself.
    """
    url = InfraSettings().url("write")
    pipelines.check(url, pipeline)
    made = let_pass(url, pipeline, partition, count)
    show([made._asdict()], title="scan.dlq.v1", as_json=json)
