"""`scanline rebuild`: the live tables again, from scan.records.v1, after the database was lost."""

from collections.abc import Mapping
from typing import Any

import typer

from cli.interrupts import sigterm_as_ctrl_c
from cli.options import PIPELINE, Json, Pipeline
from cli.output import print_json, show, stderr
from cli.replay import exit_code_of, print_differences, print_passed_over, progress_bar
from cli.servers import service_urls
from infra.settings import InfraSettings
from operations.rebuild import RebuildProgress
from operations.rebuild import rebuild as rebuild_tables
from operations.replay.command import Request, run
from operations.replay.run import ReplayProgress
from operations.replay.selection import Selection


def _say(vi: str, en: str) -> None:
    stderr.print(f"{vi} / {en}", markup=False)


def _print_cut(cut: Mapping[int, int]) -> None:
    where = ", ".join(f"{partition}:{first}" for partition, first in cut.items())
    _say(
        f"CHÚ Ý: thời hạn lưu của topic đã xóa phần đầu; không dựng lại được những gì trước {where}.",
        f"ATTENTION: retention has taken the head of the topic; what stood before {where} cannot be rebuilt.",
    )


def rebuild(
    going_on: bool = typer.Option(
        False, "--continue", help="các bảng đã có một phần dữ liệu / the tables hold a part of it already"
    ),
    workers: int = typer.Option(
        1,
        min=0,
        max=16,
        help="chạy thêm; 0: chỉ chờ các tiến trình đang chạy / started here; 0: wait for those running",
    ),
    verify: bool = typer.Option(True, help="so bảng với topic khi xong / compare table and topic at the end"),
    pipeline: Pipeline = PIPELINE,
    json: Json = False,
) -> None:
    """Dựng lại các bảng từ scan.records.v1 khi mất cơ sở dữ liệu. / Rebuild the tables from the topic: the database was lost.

    Bị ngắt giữa chừng: chạy lại với --continue. /
    Interrupted: run it again with --continue.

    Mã thoát như của `scanline replay`. / Exit codes as of `scanline replay`.
    """
    sigterm_as_ctrl_c()
    settings = InfraSettings()
    cut: dict[int, int] = {}
    printed: set[int] = set()

    def on_cut(found: Mapping[int, int]) -> None:
        cut.update(found)
        _print_cut(found)

    with progress_bar(quiet=json) as on_progress:

        def on_offsets(now: RebuildProgress) -> None:
            on_progress(ReplayProgress(now.offsets, now.total, 0, now.offsets, doing="Dựng lại / rebuilding"))
            for partition in now.still.keys() - printed:
                printed.add(partition)
                _say(
                    f"Phân vùng {partition} đứng ở {now.still[partition]}: hãy xem nhật ký của tiến trình xử lý "
                    "(giới hạn thông điệp lỗi? xem `scanline dlq allow`).",
                    f"Partition {partition} stands still at {now.still[partition]}: see the workers' logs "
                    "(the dead-letter limit? see `scanline dlq allow`).",
                )

        places = rebuild_tables(
            settings,
            service_urls(settings),
            pipeline,
            workers=workers,
            going_on=going_on,
            on_cut=on_cut,
            on_progress=on_offsets,
        )
        report: dict[str, Any] = {
            "offsets": {str(number): [place.start, place.end] for number, place in places.items()},
            "cut": {str(number): first for number, first in cut.items()},
        }
        if verify:
            found = run(Request(Selection(), verify=True, pipeline=pipeline), settings, on_progress)
            report |= {name: value for name, value in found.items() if name != "offsets"}
    if json:
        print_json(report)
    else:
        figures = {name: value for name, value in report.items() if not isinstance(value, list | dict)}
        show([figures], title="rebuild", as_json=False)
        print_differences(report.get("differences", []))
        print_passed_over(report)
    raise typer.Exit(exit_code_of(report))
