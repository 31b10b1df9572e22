"""`scanline bench`: a benchmark, not a timed test. Exit code 1 means lost or doubled records, never a slow machine."""

import datetime as dt
import json as jsonlib
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.interrupts import sigterm_as_ctrl_c
from cli.options import ApiProcesses, Json, below
from cli.output import print_json, show, stderr
from infra.errors import InfraError
from infra.settings import InfraSettings
from infra.stack import Stack
from trials.bench import machine, postgres_writes, sizes
from trials.bench.cases import QUICK, Bench, Sizes
from trials.bench.copy_baseline import RawCopy
from trials.bench.results import Result, Verdict, table_row, verdicts
from trials.bench.row_watcher import server_version

_RAW = "raw"


def _only(text: str, known: list[str]) -> list[str]:
    asked = [name.strip() for name in text.split(",") if name.strip()] or known
    found = {name: [name] if name in known else [one for one in known if one.startswith(f"{name}-")] for name in asked}
    unknown = [name for name, cases in found.items() if not cases]
    if unknown:
        raise InfraError.of("bench_case_unknown", unknown=", ".join(unknown), known=", ".join(known))
    return [one for cases in found.values() for one in cases]


def run(folder: Path, sizes: Sizes, only: str, workers: int, api_processes: int) -> dict[str, Any]:
    """Runs the cases on fresh servers below `folder` and returns everything measured."""
    with Stack(folder, api_processes=api_processes, fresh=True) as stack:
        stderr.print("Khởi động Kafka và PostgreSQL… / Starting Kafka and PostgreSQL…")
        stack.start_servers()
        bench = Bench(stack, workers, sizes, lambda text: stderr.print(f"  + {text}"))
        wanted = _only(only, [_RAW, *bench.cases])
        host = machine.describe(server_version(stack.postgres.superuser_dsn()))
        repeats: dict[int, list[float]] = {1: [], 4: []}
        results: list[Result] = []
        _measure_raw(bench, repeats)
        cases = [name for name in wanted if name != _RAW]
        if cases:
            for _ in range(api_processes):
                stack.start_api()
            stderr.print("Làm nóng… / Warming up…")
            bench.warm_up()
        for name in cases:
            stderr.print(f"{name}…")
            results.append(bench.cases[name]())
            for problem in results[-1].problems[:5]:
                stderr.print(f"  [red]{problem}[/red]")
        _measure_raw(bench, repeats)
    raws = [RawCopy(connections, found) for connections, found in repeats.items()]
    return {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": host,
        "workers": workers,
        "api_processes": api_processes,
        "raws": raws,
        "results": results,
    }


def _measure_raw(bench: Bench, repeats: dict[int, list[float]]) -> None:
    """Measures raw COPY before and after everything else: a shared machine changes its pace, and the median of both
    ends is fairer."""
    stderr.print("COPY…")
    for connections, found in bench.raw().items():
        repeats[connections] += found


def _as_json(found: dict[str, Any], judged: list[Verdict]) -> dict[str, Any]:
    raw = found["raws"][0].rate
    return {
        **{name: found[name] for name in ("at", "machine", "workers", "api_processes")},
        "raw_copy": [
            {
                "connections": one.connections,
                "rows_per_second": round(one.rate),
                "repeats": [round(rate) for rate in one.repeats],
            }
            for one in found["raws"]
        ],
        "cases": [result.as_json(raw) for result in found["results"]],
        "verdicts": [verdict._asdict() for verdict in judged],
    }


def _bench_postgres(folder: Path, only: str, *, quick: bool, json: bool) -> None:
    """Exit code 0 whatever comes out: the figures are for people to read."""
    wanted = _only(only, [way.name for way in postgres_writes.WAYS])
    ways = [way for way in postgres_writes.WAYS if way.name in wanted]
    with tempfile.TemporaryDirectory(prefix="postgres-", dir=_made(folder)) as clusters:
        amounts = postgres_writes.QUICK if quick else postgres_writes.Amounts()
        found = postgres_writes.run(Path(clusters), amounts, lambda text: stderr.print(f"{text}…"), ways)
    compared = postgres_writes.comparisons(found)
    figures = {"measured": [each._asdict() for each in found], "comparisons": [each._asdict() for each in compared]}
    file, document = _kept(folder, "postgres", figures)
    if json:
        print_json(document)
        return
    show([_written(each) for each in found], title="PostgreSQL", as_json=False)
    show([_compared(each) for each in compared], title="So sánh / comparisons", as_json=False)
    stderr.print(f"{file}")


def _bench_sizes(folder: Path, *, quick: bool, json: bool) -> None:
    """Exit code 0 where everything was stored: the figures are for people to read."""
    amounts = sizes.QUICK if quick else sizes.Amounts()
    found = sizes.run(_made(folder) / "run", amounts, lambda text: stderr.print(f"{text}…"))
    figures = {"amounts": amounts._asdict(), "figures": [{**each._asdict(), "each": each.each} for each in found]}
    file, document = _kept(folder, "sizes", figures)
    if json:
        print_json(document)
        return
    rows = [
        {"what": each.what, "bytes": f"{each.each:,.1f}", "per": each.per, "of": f"{each.number:,}"} for each in found
    ]
    show(rows, title="sizes", as_json=False)
    stderr.print(f"{file}")


def _kept(folder: Path, name: str, figures: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The figures with what they were measured on, and the file that keeps them."""
    now = dt.datetime.now(dt.UTC)
    document = {"at": now.isoformat(timespec="seconds"), "machine": machine.describe(""), **figures}
    file = folder / f"{name}-{now.strftime('%Y%m%dT%H%M%SZ')}.json"
    file.write_text(jsonlib.dumps(document, ensure_ascii=False, indent=1) + "\n")
    return file, document


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _written(each: postgres_writes.Measured) -> dict[str, str]:
    return {
        "way": each.way,
        "settings": each.variant,
        "rows/s": f"{each.rows_per_second:,.0f}",
        "p50 ms": f"{each.p50:.1f}",
        "p99 ms": f"{each.p99:.1f}",
        "max ms": f"{each.longest:.1f}",
        "forced": f"{each.forced_checkpoints:.0f}",
        "WAL MiB": f"{each.wal_mib:,.1f}",
    }


def _compared(each: postgres_writes.Comparison) -> dict[str, str]:
    reached = "-" if each.target is None else "✓" if each.ratio >= each.target else "✗"
    target = "-" if each.target is None else f"{each.target:g}"
    return {"comparison": each.name, "×": f"{each.ratio:.2f}", "target": target, "": reached, "of what": each.text}


Suite = Literal["pipeline", "postgres", "sizes"]


def bench(
    suite: Suite = typer.Argument(
        "pipeline",
        help="pipeline: hệ thống; postgres: các cách ghi và cấu hình máy chủ; sizes: số byte mỗi bản ghi"
        " / pipeline; postgres: ways to write, and the server's settings; sizes: bytes a record",
    ),
    only: str = typer.Option(
        "",
        help="các phép đo, hoặc phần đầu của tên, cách nhau bằng dấu phẩy; không có: tất cả"
        " / cases, or the beginnings of their names, with commas between; none: all",
    ),
    quick: bool = typer.Option(False, help="lượng nhỏ hơn, để xem thử / smaller amounts, for a first look"),
    workers: int = typer.Option(2, min=1, max=8, help="số worker / worker processes"),
    api_processes: ApiProcesses = 1,
    data_dir: Annotated[Path | None, below("bench")] = None,
    json: Json = False,
) -> None:
    """Đo tốc độ so với COPY trong cùng lần chạy. / Measure against COPY in the same run."""
    sigterm_as_ctrl_c()
    folder = data_dir or InfraSettings().data_dir / "bench"
    if suite == "postgres":
        _bench_postgres(folder, only, quick=quick, json=json)
        return
    if suite == "sizes":
        _bench_sizes(folder, quick=quick, json=json)
        return
    found = run(folder / "run", QUICK if quick else Sizes(), only, workers, api_processes)
    raw = found["raws"][0].rate
    judged = verdicts(found["results"], raw)
    document = _as_json(found, judged)
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    file = folder / f"{stamp}-{found['machine']['commit'].rstrip('+')}.json"
    file.write_text(jsonlib.dumps(document, ensure_ascii=False, indent=1) + "\n")
    if json:
        print_json(document)
    else:
        rows = [{"raw COPY": f"{one.connections}", "rows/s (median)": f"{one.rate:,.0f}"} for one in found["raws"]]
        show(rows, title="COPY", as_json=False)
        show([table_row(result, raw) for result in found["results"]], title="bench", as_json=False)
        show(
            [
                {**verdict._asdict(), "reached": {True: "✓", False: "✗", None: "-"}[verdict.reached]}
                for verdict in judged
            ],
            title="Mục tiêu / targets",
            as_json=False,
        )
        stderr.print(f"{file}")
    if any(result.problems for result in found["results"]):
        raise typer.Exit(1)
