"""Grafana's JSON of every dashboard, into dashboards/json.

python -m dashboards.grafana           writes it
python -m dashboards.grafana --check   exits 1 where it is stale
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    GridPos,
    Threshold,
    ThresholdsMode,
)

from dashboards.board import Board, Panel, Place, places
from dashboards.boards import BOARDS

FOLDER: Final = Path(__file__).resolve().parent / "json"
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
Builder = timeseries.Panel | stat.Panel | bargauge.Panel


def json_of(board: Board) -> str:
    """As Grafana imports and provisions it."""
    made = (
        dashboard.Dashboard(str(board.title))
        .uid(board.uid)
        .description(str(board.about))
        .tags(["scanline"])
        .timezone("browser")
        .readonly()
        .refresh("10s")
        .time("now-1h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Nguồn / Source").type("prometheus"))
        .link(
            dashboard.DashboardLink("Scanline")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["scanline"])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    for number, (panel, place) in enumerate(zip(board.panels, places(board.panels), strict=True), 1):
        made.with_panel(_panel(panel, place, number))
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(made.build()) + "\n"


def _panel(panel: Panel, place: Place, number: int) -> Builder:
    made = _of_kind(panel)
    made.id(number).title(str(panel.title)).description(str(panel.about)).unit(panel.unit).datasource(_SOURCE)
    made.grid_pos(GridPos(h=place.height, w=place.width, x=place.x, y=place.y)).thresholds(_thresholds(panel.limit))
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto").ref_id(letter)
        target.datasource(_SOURCE)
        made.with_target(target.range() if panel.kind == "line" else target.instant())
    return made


def _of_kind(panel: Panel) -> Builder:
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    if panel.kind == "number":
        return stat.Panel().graph_mode(BigValueGraphMode.NONE).reduce_options(last)
    if panel.kind == "bars":
        return bargauge.Panel().orientation(VizOrientation.HORIZONTAL).min(0).reduce_options(last)
    legend = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    line = timeseries.Panel().legend(legend.placement(LegendPlacement.BOTTOM)).min(0).line_width(1).fill_opacity(10)
    line.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    if panel.limit is not None:
        line.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return line


def _thresholds(limit: float | None) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green")]
    if limit is not None:
        steps.append(Threshold(value=limit, color="red"))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def files() -> Iterator[tuple[Path, str]]:
    """Each file, and what must be in it."""
    for board in BOARDS:
        yield FOLDER / f"{board.uid}.json", json_of(board)


def main(arguments: list[str] | None = None) -> int:
    """Writes the files, or checks them. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.grafana", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is stale")
    wanted = dict(files())
    found = {file: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.json")}
    if parser.parse_args(arguments).check:
        if found != wanted:
            print("dashboards/json is stale: run `make contract`", file=sys.stderr)
            return 1
        return 0
    FOLDER.mkdir(exist_ok=True)
    for file in found.keys() - wanted.keys():
        file.unlink()
    for file, text in wanted.items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
