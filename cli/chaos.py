"""`scanline chaos`: breaks a running system on purpose and reconciles what was acknowledged with what is there."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from cli.interrupts import sigterm_as_ctrl_c
from cli.options import Json, below
from cli.output import print_json, show, stderr
from infra.errors import InfraError
from infra.settings import InfraSettings
from schemas.numbers import decimal, number
from trials.chaos.clocks import can_jump
from trials.chaos.disks import can_mount
from trials.chaos.faults import FAULTS
from trials.chaos.plan import chosen, plan
from trials.chaos.results import Round, read, summary
from trials.chaos.rounds import run


def _print_round(one: Round) -> None:
    mark = "[green]✓[/green]" if one.passed else "[red]✗[/red]"
    recovered = "-" if one.recovered is None else f"{decimal(one.recovered, 1, 'vi')} s"
    stderr.print(
        f"{mark} {one.number:>4}  {' + '.join(one.faults):<60} {number(one.acknowledged, 'vi'):>7} xác nhận / acknowledged"
        f"  phục hồi / recovered {recovered}",
    )
    for example in one.examples:
        stderr.print(f"      [red]{example}[/red]")


def chaos(
    rounds: int = typer.Option(
        len(FAULTS), min=1, help="số vòng; mặc định mỗi sự cố một lần / how many; by default each fault once"
    ),
    seed: int = typer.Option(
        0, help="cùng số thì cùng kế hoạch; 0: số mới / the same seed plans the same rounds; 0: a new one"
    ),
    only: str = typer.Option(
        "",
        help="các sự cố, hoặc phần đầu của tên, cách nhau bằng dấu phẩy; không có: tất cả"
        " / faults, or beginnings of their names, with commas between; none: all",
    ),
    rate: int = typer.Option(3_000, min=10, help="số bản ghi gửi mỗi giây / records a second that are offered"),
    long_every: int = typer.Option(
        5, min=0, help="mỗi vòng thứ N kéo dài / each N-th round's faults last 25 to 40 s; 0: none"
    ),
    results: list[Path] = typer.Option([], help="chỉ tổng kết các tệp kết quả này / only sum up these result files"),
    data_dir: Annotated[Path | None, below("chaos")] = None,
    json: Json = False,
) -> None:
    """Phá hệ thống có chủ đích rồi đối soát. / Break the system on purpose, then reconcile."""
    sigterm_as_ctrl_c()
    done = (
        _earlier(results)
        if results
        else _run(rounds, seed, only, rate, long_every, data_dir or InfraSettings().data_dir / "chaos")
    )
    lines = summary(done)
    if json:
        print_json({"summary": [line.as_row() for line in lines], "rounds": [one.as_json() for one in done]})
    else:
        show([line.as_row() for line in lines], title="chaos", as_json=False)
    if any(not one.passed for one in done):
        raise typer.Exit(1)


def _earlier(files: list[Path]) -> list[Round]:
    """Raises InfraError where one is no result of ours."""
    try:
        return read(files)
    except (ValueError, KeyError, TypeError):
        names = ", ".join(map(str, files))
        raise InfraError.of("chaos_result_unknown", names=names) from None


def _run(rounds: int, seed: int, only: str, rate: int, long_every: int, folder: Path) -> list[Round]:
    disks, clocks = can_mount(), can_jump()
    faults = chosen(only, disks=disks, clocks=clocks)
    if not disks:
        left_out = ", ".join(fault.name for fault in chosen(only, disks=True) if fault.disk)
        stderr.print(f"Bỏ qua vì cần quyền root / left out, they need root: {left_out or '-'}")
    if not clocks:
        left_out = ", ".join(fault.name for fault in chosen(only, disks=True) if fault.clock)
        stderr.print(f"Bỏ qua vì cần trình biên dịch C / left out, they need a C compiler: {left_out or '-'}")
    now = dt.datetime.now(dt.UTC)
    seed = seed or int(now.timestamp())
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{now:%Y%m%dT%H%M%SZ}-seed-{seed}.jsonl"
    stderr.print(f"seed {seed}, {rounds} vòng / rounds, {file}")
    done: list[Round] = []
    for at, (setup, steps) in enumerate(plan(faults, rounds, seed, long_every).items()):
        done += run(setup, steps, folder / f"{now:%Y%m%dT%H%M%SZ}-{at}", file, rate, _print_round)
    return done
