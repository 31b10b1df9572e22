"""The curves of a soak as a picture."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from infra.errors import InfraError
from trials.soak.sampler import Sample, Struck, columns, series

_COLOURS: Final = {"api": "tab:blue", "worker": "tab:orange", "kafka": "tab:green", "postgres": "tab:purple"}
_STYLES: Final = ("-", "--", ":", "-.")  # of the first process of a kind, the second, ...
_FAULTS_A_LINE: Final = 4


def draw(samples: Sequence[Sample], faults: Sequence[Struck], file: Path) -> None:
    """Memory by process, lag, connections and records stored over minutes; faults as numbered marks. The suffix decides the
    format. Raises InfraError where matplotlib is not installed: only the set-up for development has it."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        raise InfraError.of("soak_no_matplotlib") from None
    figure, axes = plt.subplots(4, 1, figsize=(10, 12), sharex=True, layout="constrained", height_ratios=(2.2, 1, 1, 1))
    memory, lag, connections, rate = axes
    _draw_memory(memory, samples)
    _line(lag, samples, "lag", color="black")
    for pool, colour in (("write", "tab:orange"), ("read", "tab:blue")):
        _line(connections, samples, f"connections {pool}", color=colour, label=pool)
    rate.plot(*zip(*_rates(samples), strict=True), color="black", linewidth=1.0)
    titles = (
        "Bộ nhớ từng tiến trình, MiB / Memory by process, MiB",
        "Tin nhắn chờ ghi / Messages not yet written",
        "Kết nối PostgreSQL / PostgreSQL connections",
        "Bản ghi lưu mỗi giây / Records stored a second",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_ylim(bottom=0)
        axis.margins(x=0.01)
        axis.grid(alpha=0.3)
        for fault in faults:
            axis.axvspan(fault.began / 60, max(fault.ended, fault.began + 2) / 60, color="crimson", alpha=0.2, lw=0)
    memory.legend(fontsize=8, ncols=6, loc="upper center")
    memory.set_ylim(top=memory.get_ylim()[1] * 1.15)  # room for the legend
    connections.legend(fontsize=8, loc="lower right")
    for number, fault in enumerate(faults, 1):
        memory.annotate(
            str(number), (fault.began / 60, 0), fontsize=8, color="crimson", xytext=(3, 3), textcoords="offset points"
        )
    rate.set_xlabel(_legend_of(faults), fontsize=8)
    figure.savefig(file, dpi=100)
    plt.close(figure)


def _legend_of(faults: Sequence[Struck]) -> str:
    named = [f"{number} {fault.name}" for number, fault in enumerate(faults, 1)]
    lines = [" · ".join(named[at : at + _FAULTS_A_LINE]) for at in range(0, len(named), _FAULTS_A_LINE)]
    return "\n".join(["phút / minutes", *(["đỏ: sự cố / red: faults", *lines] if lines else [])])


def _draw_memory(axis: Any, samples: Sequence[Sample]) -> None:
    drawn: dict[str, int] = {}
    for column in sorted(name for name in columns(samples) if name.startswith("memory ")):
        process = column.removeprefix("memory ")
        kind = process.partition("-")[0]
        style = _STYLES[drawn.get(kind, 0) % len(_STYLES)]
        drawn[kind] = drawn.get(kind, 0) + 1
        _line(axis, samples, column, color=_COLOURS[kind], linestyle=style, label=process)


def _line(axis: Any, samples: Sequence[Sample], column: str, **how: Any) -> None:
    times, values = series(samples, column)
    axis.plot([at / 60 for at in times], values, linewidth=1.2, **how)


def _rates(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Records a second between neighbouring samples that know what was stored."""
    points = list(zip(*series(samples, "stored"), strict=True))
    rates = [(at / 60, (stored - before) / (at - since)) for (since, before), (at, stored) in pairwise(points)]
    return rates or [(0.0, 0.0)]
