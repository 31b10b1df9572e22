"""Pictures of the dashboards, drawn from the data of a running Prometheus with the same panels at the same places.

python -m dashboards.pictures http://127.0.0.1:9090 docs/pictures --minutes 10
"""

import argparse
import json
import math
import re
import sys
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any, Final, NamedTuple

import matplotlib as mpl

from dashboards.board import COLUMNS, Board, Panel, Query, places
from dashboards.boards import BOARDS
from infra.loopback import opened

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

_INCHES: Final = 0.72  # of a column; a row is half as high
_POINTS: Final = 240
_MOST_NAMED: Final = 8


class Series(NamedTuple):
    """What a query found under one set of labels."""

    name: str
    times: list[float]  # minutes before the end
    values: list[float]


class Prometheus:
    """Asks for the last minutes."""

    def __init__(self, url: str, minutes: float) -> None:
        self._url = url
        self._end = time.time()
        self._seconds = minutes * 60
        self._step = max(1.0, self._seconds / _POINTS)

    def found(self, query: Query) -> list[Series]:
        expr = query.expr.replace("$__rate_interval", f"{math.ceil(max(15.0, 4 * self._step))}s")
        asked = {"query": expr, "start": self._end - self._seconds, "end": self._end, "step": self._step}
        with opened(f"{self._url}/api/v1/query_range?{urllib.parse.urlencode(asked)}", 30) as answer:
            results = json.load(answer)["data"]["result"]
        found = [self._series(query, each) for each in results]
        return sorted(found, key=lambda each: (len(each.name), each.name))

    def _series(self, query: Query, result: Mapping[str, Any]) -> Series:
        times: list[float] = []
        values: list[float] = []
        for at, value in result["values"]:
            now = (float(at) - self._end) / 60
            if times and now - times[-1] > 1.5 * self._step / 60:  # nothing was there: no line
                times.append(now)
                values.append(math.nan)
            times.append(now)
            values.append(float(value))
        labels: Mapping[str, str] = result["metric"]
        name = re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), query.legend)
        return Series(name.strip(), times, values)


def shown(value: float, unit: str) -> str:
    """As Grafana would write it, about."""
    if math.isnan(value):
        return "-"
    if unit == "percentunit":
        return f"{value:.1%}".replace(".0%", "%")
    if unit == "s":
        if value < 1:
            return f"{value * 1000:.3g} ms"
        return f"{value:.3g} s" if value < 120 else f"{value / 60:.3g} min"
    if unit in ("bytes", "Bps"):
        power = min(4, int(math.log(abs(value), 1024))) if abs(value) >= 1 else 0
        return f"{value / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}{'/s' if unit == 'Bps' else ''}"
    text = f"{value / 1000:.3g} K" if abs(value) >= 10_000 else f"{value:.4g}"
    return f"{text}/s" if unit == "reqps" else text


def draw(board: Board, prometheus: Prometheus, file: Path) -> None:
    """One dashboard. The suffix of the file decides the format."""
    grid = list(places(board.panels))
    rows = max(place.y + place.height for place in grid)
    figure = plt.figure(figsize=(COLUMNS * _INCHES, rows * _INCHES / 2 + 0.6))
    figure.suptitle(f"{board.title}  ·  phút / minutes", x=0.01, ha="left", fontsize=13, weight="bold")
    top = 1 - 0.6 / (rows * _INCHES / 2 + 0.6)
    for panel, place in zip(board.panels, grid, strict=True):
        left, width = place.x / COLUMNS, place.width / COLUMNS
        bottom, height = top * (1 - (place.y + place.height) / rows), top * place.height / rows
        margins = {"line": (0.045, 0.1), "bars": (0.115, 0.1), "number": (0.01, 0.0)}[panel.kind]
        above = 0.42 / figure.get_figheight()
        below = 0.25 / figure.get_figheight()
        axis = figure.add_axes((left + margins[0], bottom + below, width - margins[0] - 0.012, height - above - below))
        found = [series for query in panel.queries for series in prometheus.found(query)]
        {"line": _lines, "bars": _bars, "number": _number}[panel.kind](axis, panel, found)
        at_once = int(place.width * 7.2)
        axis.set_title("\n".join(wrap(str(panel.title), at_once)), fontsize=8.5, loc="left", pad=4)
    figure.savefig(file, dpi=80)
    plt.close(figure)


def _lines(axis: Any, panel: Panel, found: list[Series]) -> None:
    for series in found:
        axis.plot(series.times, series.values, linewidth=1.1, label=series.name)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, panel.unit)))
    highest = max((value for series in found for value in series.values if not math.isnan(value)), default=0.0)
    axis.set_ylim(0, None if highest > 0 else panel.limit or 1)
    low, high = axis.get_ylim()
    if panel.limit is not None and high >= panel.limit / 20:
        axis.axhline(panel.limit, color="crimson", linestyle="--", linewidth=0.8)
    axis.set_ylim(low, axis.get_ylim()[1] * 1.25)  # room for the legend
    axis.grid(alpha=0.3)
    axis.margins(x=0.01)
    axis.tick_params(labelsize=7)
    if any(series.name for series in found) and len(found) <= 2 * _MOST_NAMED:
        axis.legend(fontsize=6.5, ncols=3 if len(found) <= _MOST_NAMED else 4, loc="upper left", framealpha=0.7)


def _bars(axis: Any, panel: Panel, found: list[Series]) -> None:
    found = sorted(found, key=lambda series: series.values[-1])[-2 * _MOST_NAMED :]
    last = [series.values[-1] for series in found]
    bars = axis.barh([series.name for series in found], last, color="tab:green")
    axis.bar_label(bars, [shown(value, panel.unit) for value in last], fontsize=6.5, padding=2)
    axis.set_xlim(0, max(last, default=1) * 1.25 or 1)
    axis.tick_params(labelsize=6.5)
    axis.set_xticks([])


def _number(axis: Any, panel: Panel, found: list[Series]) -> None:
    axis.set_axis_off()
    for number, series in enumerate(found):
        value = series.values[-1]
        colour = "crimson" if panel.limit is not None and value >= panel.limit else "tab:green"
        x = (number + 0.5) / len(found)
        axis.text(x, 0.4, shown(value, panel.unit), ha="center", va="center", fontsize=17, color=colour)
        axis.text(x, 0.05, series.name, ha="center", va="center", fontsize=7)


def main(arguments: list[str] | None = None) -> int:
    """Draws them all. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.pictures", description=__doc__.split("\n")[0])
    parser.add_argument("url", help="of Prometheus")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10, help="how far back")
    chosen = parser.parse_args(arguments)
    prometheus = Prometheus(chosen.url.rstrip("/"), chosen.minutes)
    for board in BOARDS:
        draw(board, prometheus, chosen.folder / f"{board.uid}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
