"""`scanline demo`: the README's first command."""

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.measure import Measurement
from rich.table import Table

from cli.interrupts import sigterm_as_ctrl_c
from cli.options import Json, below
from cli.output import console, print_json, show, shown, stderr
from infra.errors import Interrupted
from infra.settings import InfraSettings
from infra.stack import Stack
from schemas.numbers import decimal, number
from trials.demo.run import DemoResult, run
from trials.demo.scans import SPREAD

_WIDE: Final = 1_000  # cells: more than any table needs
_COLUMNS: Final = {
    "tenant": "tổ chức\ntenant",
    "way": "cách\nway",
    "records": "bản ghi\nrecords",
    "stored": "đã lưu\nstored",
    "rejected": "từ chối\nreject.",
    "duplicate": "trùng\ndupl.",
    "sensitive": "nhạy\nsens.",
    "cross_border": "ngoài VN\nx-border",
    "seconds": "giây\ns",
}


def demo(
    data_dir: Annotated[Path | None, below("demo")] = None,
    json: Json = False,
) -> None:
    """Chạy thử toàn bộ hệ thống trên dữ liệu thật. / Run the whole system on real scans and account for every record."""
    sigterm_as_ctrl_c()
    try:
        outcome = _whole(data_dir or InfraSettings().data_dir / "demo")
    except KeyboardInterrupt:
        raise Interrupted.of("interrupted_stopped") from None
    if json:
        print_json(_document(outcome))
    else:
        _print(outcome)
    if outcome.problems:
        raise typer.Exit(1)


def _whole(folder: Path) -> DemoResult:
    with Stack(folder, fresh=True) as stack:
        stderr.print("Khởi động Kafka, PostgreSQL, API và worker… / Starting Kafka, PostgreSQL, the API and a worker…")
        began = time.perf_counter()
        stack.start()
        stderr.print(
            f"Kafka {stack.kafka.bootstrap} · PostgreSQL 127.0.0.1:{stack.postgres.port} ·"
            f" API {stack.apis[0].base_url} ({decimal(time.perf_counter() - began, 1, 'vi')} s)",
        )
        return run(stack, stderr)


def _document(outcome: DemoResult) -> dict[str, Any]:
    return {
        "scans": outcome.rows,
        "phases": [
            {
                "name": phase.name,
                "records": phase.records,
                "seconds": round(phase.seconds, 2),
                "rows_per_second": round(phase.rate),
            }
            for phase in outcome.phases
        ],
        "api_latency_ms": outcome.latency_ms,
        "accounted": not outcome.problems,
        "problems": outcome.problems,
    }


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return decimal(value, 2, "vi") if isinstance(value, float) else shown(value)


def _table(outcome: DemoResult) -> Table:
    """Fits a terminal of 80 columns."""
    table = Table(title="Lượt quét / scans", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name, heading in _COLUMNS.items():
        text = name in ("tenant", "way")
        table.add_column(heading, justify="left" if text else "right", no_wrap=True)
    for row in outcome.rows:
        table.add_row(*(_cell(row[name]) for name in _COLUMNS))
    return table


def _print(outcome: DemoResult) -> None:
    table = _table(outcome)
    if Measurement.get(console, console.options.update(max_width=_WIDE), table).maximum <= console.width:
        console.print(table)
    else:
        names = {name: heading.replace("\n", " / ") for name, heading in _COLUMNS.items()}
        rows = [{heading: _cell(row[name]) for name, heading in names.items()} for row in outcome.rows]
        show(rows, title="Lượt quét / scans", as_json=False)
    for phase in outcome.phases:
        console.print(
            f"{len(phase.sent):>3} lượt quét / scans: {number(phase.records, 'vi'):>7} bản ghi / records,"
            f" {decimal(phase.seconds, 2, 'vi')} s, {decimal(phase.rate, 0, 'vi')} dòng/giây / rows/s",
            highlight=False,
        )
    latency = ", ".join(f"{name} {decimal(value, 0, 'vi')} ms" for name, value in outcome.latency_ms.items())
    console.print(
        f"API, {len(outcome.phases[1].sent)} tổ chức trong {SPREAD:.0f} giây / tenants within {SPREAD:.0f} s: {latency}",
        highlight=False,
    )
    scans, records = len(outcome.rows), sum(phase.records for phase in outcome.phases)
    if outcome.problems:
        console.print(f"[red]Không khớp / does not add up: {len(outcome.problems)}[/red]")
        for problem in outcome.problems[:20]:
            console.print(f"  {problem}", highlight=False)
        return
    stored, rejected, duplicates = (
        sum(row[name] for row in outcome.rows) for name in ("stored", "rejected", "duplicate")
    )
    console.print(
        f"[green]✓ Đã đối chiếu từng bản ghi[/green]: {scans} lượt quét, {number(records, 'vi')} bản ghi đã gửi ="
        f" {number(stored, 'vi')} đã lưu + {number(rejected, 'vi')} bị từ chối + {number(duplicates, 'vi')} trùng;"
        " các bảng, nhật ký và topic trạng thái khớp nhau.\n"
        f"[green]✓ Every record is accounted for[/green]: {scans} scans, {records:,} records sent ="
        f" {stored:,} stored + {rejected:,} rejected + {duplicates:,} duplicates;"
        " tables, audit log and status topic agree.",
        highlight=False,
    )
