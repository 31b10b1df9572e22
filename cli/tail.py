"""`scanline tail`: the status topic, live, a line per change."""

import queue
import uuid
from typing import Any

import typer
from rich.markup import escape

from cli.output import console, print_json, stderr
from cli.scan_rows import checked_tenant, exit_code, has_ended, in_vietnam, percent, state_words
from infra.errors import InfraError
from infra.settings import InfraSettings
from operations.status_follower import Change, StatusFollower, accounted
from schemas.numbers import number
from schemas.topics import STATUS_TOPIC


def _checked_scan(scan_id: str) -> str:
    try:
        return str(uuid.UUID(scan_id))
    except ValueError:
        raise InfraError.of("scan_id_invalid") from None


def _as_json(change: Change) -> dict[str, Any]:
    """The status as it was published; of a scan that was cleaned up, its name alone."""
    removed = {"tenant_id": change.key[0], "scan_id": change.key[1], "status": None}
    return change.status or removed


def _as_text(change: Change) -> str:
    where = f"{in_vietnam(change.published_at)}  [bold]{change.key[0]}[/bold]  {change.key[1]}"
    status: dict[str, Any] | None = change.status
    if status is None:
        return f"{where}  [dim]đã dọn / removed[/dim]"
    total = status["records_total"]
    done = f"{number(accounted(status), 'vi')}/{'?' if total is None else number(total, 'vi')}"
    words = escape(state_words(status))
    rejected = status["records_rejected"]
    wrong = f"  [red]từ chối / rejected {number(rejected, 'vi')}[/red]" if rejected else ""
    waits = "  [yellow]tạm dừng / paused[/yellow]" if status.get("paused") else ""
    return f"{where}  {words}  {percent(status)}  {done}{wrong}{waits}"


def print_change(change: Change, *, as_json: bool) -> None:
    """Prints a change as a line."""
    if as_json:
        print_json(_as_json(change))
    else:
        console.print(_as_text(change), soft_wrap=True, highlight=False)


def _follow(bootstrap: str, tenant: str, scan: str, *, from_start: bool, as_json: bool) -> dict[str, Any] | None:
    """Prints changes; returns the final status of `scan`, where one is asked for."""
    changes: queue.SimpleQueue[Change | None] = queue.SimpleQueue()  # None: all that was there has been read
    follower = StatusFollower(
        bootstrap,
        from_start=from_start or bool(scan),
        on_change=changes.put,
        on_caught_up=lambda: changes.put(None),
    )
    known = False
    with follower:
        stderr.print(f"[dim]{STATUS_TOPIC}…  Ctrl-C: dừng / stop[/dim]")
        while True:
            change = changes.get()
            if change is None:
                if scan and not known:
                    _say_unknown(scan)
                continue
            if (tenant and change.key[0] != tenant) or (scan and change.key[1] != scan):
                continue
            known = True
            print_change(change, as_json=as_json)
            if scan and change.status is not None and has_ended(change.status):
                return change.status


def _say_unknown(scan: str) -> None:
    """It may be about to begin, and so it is waited for; a wrong id, or another tenant's, would be waited for in
    vain."""
    stderr.print(
        f"Chưa có lượt quét nào mang mã {scan} (đúng mã và tổ chức chưa?); vẫn chờ. /"
        f" No scan {scan} is known yet (is it the right id, and the right tenant?); waiting for it.",
    )


def tail(
    tenant: str = typer.Option("", help="chỉ tổ chức này / this tenant alone"),
    scan: str = typer.Option("", help="chỉ lượt quét này, đến khi xong / this scan alone, until it has ended"),
    from_start: bool = typer.Option(False, help="cả những gì đã có / what is there already, too"),
    json: bool = typer.Option(False, "--json", help="mỗi thay đổi một dòng JSON / a line of JSON per change"),
) -> None:
    """Theo dõi trực tiếp các lượt quét; Ctrl-C để dừng. / Follow scans live; Ctrl-C stops.

    Với --scan, mã thoát là 0 nếu mọi bản ghi được lưu, 1 nếu không. /
    With --scan the exit code is 0 where every record was stored, else 1.
    """
    bootstrap = InfraSettings().kafka_bootstrap
    wanted = _checked_scan(scan) if scan else ""
    try:
        only = checked_tenant(tenant) if tenant else ""
        status = _follow(bootstrap, only, wanted, from_start=from_start, as_json=json)
    except KeyboardInterrupt:
        return
    raise typer.Exit(exit_code(status))
