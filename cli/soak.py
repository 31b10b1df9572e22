"""`scanline soak`: a long run at half load with faults now and then; memory, lag and connections against what is
promised."""

import datetime as dt
import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.interrupts import sigterm_as_ctrl_c
from cli.options import Json, below
from cli.output import print_json, show, stderr
from infra.errors import InfraError
from infra.settings import InfraSettings
from trials.soak.picture import draw
from trials.soak.promises import Promise, memory, promises, settled
from trials.soak.sampler import Sample, Struck, load
from trials.soak.soak import Measured, soak

_MARKS = {True: "✓", False: "✗", None: "-"}


def _print_step(text: str) -> None:
    stderr.print(f"{dt.datetime.now():%H:%M:%S}  {text}")


def run_soak(
    minutes: float = typer.Option(
        30, min=0.5, help="số phút ở nửa tải; dưới 20 thì không xét bộ nhớ / at half load; below 20 no memory is judged"
    ),
    seed: int = typer.Option(
        0,
        help="của bản ghi, độ dài và nơi xảy ra sự cố; 0: số mới / of records, of faults' lengths and victims; 0: a new one",
    ),
    picture: Path | None = typer.Option(
        None, help="vẽ thêm vào tệp này, .png hoặc .svg / draw it here too; .png or .svg"
    ),
    results: Path | None = typer.Option(
        None, help="chỉ xét và vẽ lại kết quả trước đây (JSON) / only judge and draw this earlier result (JSON) again"
    ),
    data_dir: Annotated[Path | None, below("soak")] = None,
    json: Json = False,
) -> None:
    """Chạy lâu ở nửa tải với sự cố: bộ nhớ, lag, kết nối. / Run for long at half load with faults: memory, lag, connections."""
    sigterm_as_ctrl_c()
    file = results or _run(minutes, seed, data_dir or InfraSettings().data_dir / "soak")
    measured, samples = _loaded(file)
    _draw(samples, measured, [file.with_suffix(".png"), *([picture] if picture is not None else [])])
    judged = promises(measured, samples)
    document = _document(measured, samples, judged)
    file.write_text(jsonlib.dumps(document, ensure_ascii=False, indent=1) + "\n")
    if json:
        print_json(document)
    else:
        _show(document, judged)
        stderr.print(f"{file}")
    if any(promise.held is False for promise in judged):
        raise typer.Exit(1)


def _loaded(file: Path) -> tuple[Measured, list[Sample]]:
    """Raises InfraError where it is no result of ours."""
    try:
        measured: Measured = jsonlib.loads(file.read_text())
        return measured, load(file.with_suffix(".csv"))
    except (ValueError, KeyError, TypeError):
        raise InfraError.of("soak_result_unknown", file=file) from None


def _run(minutes: float, seed: int, folder: Path) -> Path:
    """The file with what was measured; the samples lie beside it."""
    now = dt.datetime.now(dt.UTC)
    seed = seed or int(now.timestamp())
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{now:%Y%m%dT%H%M%SZ}-seed-{seed}.json"
    _print_step(f"seed {seed}, {minutes:g} ph/min, {file}")
    measured: Measured = soak(folder / "run", file.with_suffix(".csv"), minutes, seed, _print_step)
    file.write_text(jsonlib.dumps(measured, ensure_ascii=False, indent=1) + "\n")
    return file


def _draw(samples: list[Sample], measured: dict[str, Any], files: list[Path]) -> None:
    """A soak is worth its time without a picture too."""
    try:
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            draw(samples, [Struck(*each) for each in measured["faults"]], file)
    except InfraError as error:
        stderr.print(f"[yellow]{error.vi}[/yellow]\n{error.en}")


def _document(measured: dict[str, Any], samples: list[Sample], judged: list[Promise]) -> dict[str, Any]:
    return measured | {
        "promises": [promise._asdict() for promise in judged],
        "memory": [each.as_json() for each in memory(samples)],
        "settled": [each._asdict() for each in settled(samples, [Struck(*one) for one in measured["faults"]])],
    }


def _show(document: dict[str, Any], judged: list[Promise]) -> None:
    show([_row(each) for each in document["memory"]], title="Bộ nhớ, MiB / memory, MiB", as_json=False)
    show(document["settled"], title="Sau mỗi sự cố / after each fault", as_json=False)
    rows = [
        {
            "": _MARKS[one.held],
            "hứa / promised": f"{one.what_vi} / {one.what_en}",
            "đo được / measured": one.told,
        }
        for one in judged
    ]
    show(rows, title="soak", as_json=False)
    for finding in document["findings"][:5]:
        stderr.print(f"  [red]{finding}[/red]")


def _row(one: dict[str, Any]) -> dict[str, Any]:
    """A row about one process's memory, narrow enough for a terminal."""
    names = {
        "first": "first",
        "last": "last",
        "peak": "peak",
        "climb": "climb",
        "allowed": "≤",
        "mib_per_hour": "MiB/h",
    }
    figures = {short: one[name] for name, short in names.items()}
    return {"": one["process"], "s": f"{one['began']:.0f}-{one['ended']:.0f}", **figures, "verdict": one["verdict"]}
