"""The curve of a soak as a picture."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from infra.chaos.sampling import Sample
from infra.errors import InfraError


def draw(samples: Sequence[Sample], events: Sequence[tuple[float, str]], file: Path) -> None:
    """Memory, lag, rate and connections over minutes, faults as vertical lines. The suffix decides the format.

    Raises InfraError where matplotlib is not installed: only the development set-up has it.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        raise InfraError(
            "Chưa cài matplotlib; hãy chạy `make setup`.", "matplotlib is not installed; run `make setup`."
        ) from None
    figure, axes = plt.subplots(4, 1, figsize=(10, 11), sharex=True, constrained_layout=True)
    names = list(dict.fromkeys(name for sample in samples for name in sample))
    groups = (
        ("memory, MiB", [name for name in names if name.startswith("memory ")]),
        ("messages not yet written", [name for name in names if name.startswith("lag")]),
        ("records stored a second", []),
        ("connections", [name for name in names if name.startswith("connections ")]),
    )
    for axis, (title, columns) in zip(axes, groups, strict=True):
        for name in columns:
            points = [(one["seconds"] / 60, one[name]) for one in samples if name in one]
            axis.plot(*zip(*points, strict=True), label=name.partition(" ")[2] or name, linewidth=1.2)
        if not columns:
            axis.plot(*zip(*_rates(samples), strict=True), linewidth=1.0)
        elif len(columns) > 1:
            axis.legend(fontsize=8, ncols=4, loc="upper left")
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        for at, _ in events:
            axis.axvline(at / 60, color="crimson", alpha=0.5, linewidth=0.8)
    for at, name in events:
        axes[0].annotate(name, (at / 60, axes[0].get_ylim()[1]), rotation=90, fontsize=6, va="top", ha="right")
    axes[-1].set_xlabel("minutes; red: a fault")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _rates(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Records a second between neighbouring samples that know what was stored."""
    known = [one for one in samples if "stored" in one]
    rates = [
        (later["seconds"] / 60, (later["stored"] - one["stored"]) / (later["seconds"] - one["seconds"]))
        for one, later in pairwise(known)
    ]
    return rates or [(0.0, 0.0)]
