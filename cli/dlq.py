"""`scanline dlq`: messages that could not be read: look at them, send them again, put them aside for good."""

from pathlib import Path
from typing import Final

import typer

from cli.dlq_rows import show_letter
from cli.dlq_runs import (
    audited,
    can_be_raw,
    letter_at,
    list_all,
    needs_choice,
    reader_of_states,
    run_drop,
    run_retry,
    show_plan_of,
    states_of,
    today,
    write_raw,
)
from cli.options import Json
from cli.output import take_output
from infra.errors import InfraError
from operations.dead_letters.asking import selection as chosen
from operations.dead_letters.masking import described
from operations.dead_letters.planning import Rules

_MOST_PREVIEW: Final = 64 * 1024
_IDS = typer.Argument(None, help="phân vùng:offset trong scan.dlq.v1, ví dụ 0:17 / partition:offset, as listed")
_TENANT = typer.Option("", help="mã tổ chức / tenant id")
_SCAN = typer.Option("", help="mã lượt quét / scan id")
_REASON = typer.Option("", help="message_unreadable, type_unknown, …")
_SINCE = typer.Option("", help="lỗi từ lúc này: RFC 3339, hoặc 30s, 15m, 2h, 7d trước / failed at or after")
_UNTIL = typer.Option("", help="lỗi trước lúc này / failed before")
_PARTITION = typer.Option(None, min=0, help="phân vùng của scan.dlq.v1 / partition of scan.dlq.v1")
_OFFSET = typer.Option(None, min=0, help="từ offset này của scan.dlq.v1 / from this offset on")


def _agreed(question: str) -> bool:
    """False also where nobody is there to answer."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False


def list_letters(
    tenant: str = _TENANT,
    scan: str = _SCAN,
    reason: str = _REASON,
    since: str = _SINCE,
    until: str = _UNTIL,
    partition: int | None = _PARTITION,
    offset: int | None = _OFFSET,
    limit: int = typer.Option(50, min=1, help="số dòng nhiều nhất, mới nhất trước / most lines, newest first"),
    everything: bool = typer.Option(False, "--all", help="cả đã gửi lại và đã bỏ / retried and dropped ones, too"),
    json: Json = False,
) -> None:
    """Các thông điệp không xử lý được, và lý do. / What could not be read, and why."""
    asked = chosen([], tenant, scan, reason, since, until, partition, offset)
    list_all(asked, limit, everything=everything, as_json=json)


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
    if raw and output is None:
        take_output()
    letter = letter_at(id)
    if raw:
        can_be_raw(letter, output)
    if raw or preview:
        audited(letter)
    if raw:
        write_raw(letter.value or b"", output)
        return
    with reader_of_states() as ledger:
        state = states_of([letter], ledger)[letter.id]
        history = [] if ledger is None else ledger.history(letter.id)
    facts = described(letter, reveal=preview > 0, most=preview)
    show_letter({**facts, "state": state, "today": today(letter), "history": history}, as_json=json)


def retry(
    ids: list[str] = _IDS,
    tenant: str = _TENANT,
    scan: str = _SCAN,
    reason: str = _REASON,
    since: str = _SINCE,
    until: str = _UNTIL,
    partition: int | None = _PARTITION,
    offset: int | None = _OFFSET,
    limit: int = typer.Option(0, min=0, help="gửi nhiều nhất từng ấy / send at most so many"),
    everything: bool = typer.Option(False, "--everything", help="tất cả, không lọc / all of them"),
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
    asked = chosen(ids or [], tenant, scan, reason, since, until, partition, offset)
    needs_choice(asked, everything=everything)
    rules = Rules(max_replays, anyway, dropped, rate, limit)
    if dry_run:
        show_plan_of(asked, rules, as_json=json)
        return
    raise typer.Exit(run_retry(asked, rules, as_json=json))


def drop(
    ids: list[str] = _IDS,
    because: str = typer.Option(..., help="vì sao, cho nhật ký kiểm toán / why, for the audit log"),
    tenant: str = _TENANT,
    scan: str = _SCAN,
    reason: str = _REASON,
    since: str = _SINCE,
    until: str = _UNTIL,
    partition: int | None = _PARTITION,
    offset: int | None = _OFFSET,
    limit: int = typer.Option(0, min=0, help="bỏ nhiều nhất từng ấy / drop at most so many"),
    everything: bool = typer.Option(False, "--everything", help="tất cả, không lọc / all of them"),
    yes: bool = typer.Option(False, "--yes", help="không hỏi lại / do not ask"),
    json: Json = False,
) -> None:
    """Bỏ hẳn: không hiện và không gửi lại nữa; Kafka giữ đến hết hạn. / Put aside for good."""
    asked = chosen(ids or [], tenant, scan, reason, since, until, partition, offset)
    needs_choice(asked, everything=everything)
    if not 1 <= len(because.strip()) <= 500:
        raise InfraError.of("dlq_because_length")
    if not yes and not _agreed("Bỏ hẳn các thông điệp này? / Drop these letters for good?"):
        raise InfraError.of("dlq_not_confirmed")
    run_drop(asked, because.strip(), limit, as_json=json)
