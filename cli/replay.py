"""`scanline replay`: scan.records.v1 read again, into NDJSON, Parquet or PostgreSQL."""

import contextlib
import json as jsonlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.interrupts import sigterm_as_ctrl_c
from cli.options import PIPELINE, Json, Pipeline
from cli.output import console, print_json, show, shown, stderr, take_output
from infra.settings import InfraSettings
from operations.progress_columns import CountColumn
from operations.replay.command import Request, run
from operations.replay.selection import Selection
from schemas.numbers import number

PASSED_OVER: Final = 3  # exit code: something could not be handled, everything else was
_KINDS: Final = {
    "missing": "thiếu trong bảng / missing from the table",
    "extra": "chỉ có trong bảng / in the table alone",
    "altered": "nội dung khác / altered",
}


@contextlib.contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Any]:
    """A bar on standard error; yields what takes operations.replay.run.ReplayProgress."""
    columns = (
        BarColumn(),
        CountColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[done]}"),
    )
    hidden = quiet or not stderr.is_terminal
    with Progress(TextColumn("{task.description}"), *columns, console=stderr, disable=hidden) as bar:
        task = bar.add_task("Phát lại / replaying", total=None, done="")
        yield lambda now: bar.update(
            task,
            description=now.doing,
            total=now.total,
            completed=now.offsets,
            done=f"{number(now.records, 'vi')} bản ghi / records",
        )


def replay(
    tenant: list[str] = typer.Option([], help="chỉ tổ chức này, lặp lại được / this tenant alone, repeatable"),
    scan: list[str] = typer.Option([], help="chỉ lượt quét này, lặp lại được / this scan alone, repeatable"),
    since: str = typer.Option(
        "", help="từ thời điểm này (+07:00 nếu không ghi) / from this time on (+07:00 unless said)"
    ),
    until: str = typer.Option("", help="đến trước thời điểm này / until before this time"),
    starts: list[str] = typer.Option([], "--from", help="phân_vùng:offset / partition:offset, repeatable"),
    ends: list[str] = typer.Option([], "--to", help="đến trước phân_vùng:offset / until before partition:offset"),
    to_ndjson: bool = typer.Option(False, "--to-ndjson", help="NDJSON, ra đầu ra chuẩn hoặc -o / on stdout or -o"),
    to_parquet: Path | None = typer.Option(
        None, help="thư mục; mỗi tổ chức và ngày một tệp / a file per tenant and day"
    ),
    to_schema: str | None = typer.Option(
        None, help="lược đồ PostgreSQL riêng, không phải bảng đang dùng / PostgreSQL schema of its own"
    ),
    output: Path | None = typer.Option(None, "--output", "-o", help="tệp của --to-ndjson / file of --to-ndjson"),
    checkpoint: Path | None = typer.Option(
        None, "--resume-from", help="tệp ghi nhớ để làm tiếp / remembers where to go on"
    ),
    overwrite: bool = typer.Option(False, help="thay kết quả của lần trước / replace an earlier run's result"),
    rate: float = typer.Option(0, min=0, help="bản ghi mỗi giây, 0 là không giới hạn / records a second, 0 no limit"),
    nice: int = typer.Option(
        10, min=0, max=19, help="nhường bộ xử lý cho hệ thống đang chạy / gives way to what is live"
    ),
    verify: bool = typer.Option(
        False,
        help="so với bảng đang dùng, khác thì mã thoát 1 / compare with the live table, exit code 1 if different",
    ),
    pipeline: Pipeline = PIPELINE,
    json: Json = False,
) -> None:
    """Đọc lại scan.records.v1, không ảnh hưởng đến hệ thống đang chạy. / Read scan.records.v1 again, beside the live system.

    Bị ngắt giữa chừng: chạy lại cùng lệnh để làm tiếp. /
    Interrupted: the same command again goes on.

    Mã thoát: 0 ổn; 1 khác bảng, hoặc lỗi; 3 có bản ghi không xử lý được, bị bỏ qua và nêu tên; 130 bị ngắt. /
    Exit code: 0 well; 1 the table differs, or an error; 3 records that could not be handled were passed over and are
    named; 130 interrupted.
    """
    sigterm_as_ctrl_c()
    os.nice(nice)
    request = Request(
        Selection.of(tenant, scan, since, until, starts, ends),
        to_ndjson=to_ndjson,
        parquet=to_parquet,
        schema=to_schema,
        output=output,
        checkpoint=checkpoint,
        overwrite=overwrite,
        rate=rate,
        verify=verify,
        pipeline=pipeline,
    )
    if to_ndjson and output is None:
        take_output()
    try:
        with progress_bar(quiet=json) as on_progress:
            report = run(request, InfraSettings(), on_progress)
    except KeyboardInterrupt:
        raise request.interrupted from None
    _print_report(report, as_json=json, on_stderr=to_ndjson and output is None)
    raise typer.Exit(exit_code_of(report))


def _print_report(report: dict[str, Any], *, as_json: bool, on_stderr: bool) -> None:
    if on_stderr:  # standard output is the records'
        stderr.print_json(jsonlib.dumps(report, default=str))
    elif as_json:
        print_json(report)
    else:
        figures = {name: value for name, value in report.items() if not isinstance(value, list | dict)}
        show([figures], title="replay", as_json=False)
        print_differences(report.get("differences", []))
        print_passed_over(report)


def print_differences(differences: list[dict[str, Any]]) -> None:
    """Prints the differences for people: a scan a line, and below it what differs, with the first of the keys."""
    for each in differences:
        _line(f"khác / different: {each['tenant_id']} {each['scan_id']}")
        for name, (replayed, live) in each["counts"].items():
            _line(f"  {name}: phát lại / replay {shown(replayed)}, bảng / table {shown(live)}")
        for name, what in _KINDS.items():
            keys = each[name]
            if keys["count"]:
                more = ", …" if keys["count"] > len(keys["first"]) else ""
                _line(f"  {what}: {number(keys['count'], 'vi')}: {', '.join(keys['first'])}{more}")


def print_passed_over(report: Mapping[str, Any]) -> None:
    """Prints the skipped records for people, one a line."""
    found = report.get("passed_over") or {"count": 0, "first": []}
    if found["count"]:
        _line(f"bỏ qua, không xử lý được / passed over, could not be handled: {number(found['count'], 'vi')}")
    for each in found["first"]:
        index = None if each["record_index"] is None else f"#{each['record_index']}"
        message = None if each["message"] is None else f"thông điệp / message {each['message']}"
        where = (each["tenant_id"], each["scan_id"], each["activity_key"], index, message)
        _line(f"  {' '.join(part for part in where if part is not None)}: {each['reason']}")


def exit_code_of(report: Mapping[str, Any]) -> int:
    """0 well; 1 the table differs; 3 records were passed over."""
    if report.get("differences"):
        return 1
    return PASSED_OVER if (report.get("passed_over") or {}).get("count") else 0


def _line(text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)
