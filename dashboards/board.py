"""What a dashboard says, as plain values: Grafana's JSON and the pictures in the documents are both made of them."""

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

COLUMNS: Final = 24  # of Grafana's grid
_HEIGHTS: Final = {"number": 4, "line": 8, "bars": 8}


class Text(NamedTuple):
    """In both languages."""

    vi: str
    en: str

    def __str__(self) -> str:
        return f"{self.vi} / {self.en}"


class Query(NamedTuple):
    """PromQL, and how its series are called: `{{label}}` stands for a label's value."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """One graph, one number, or bars of the present values."""

    title: Text
    about: Text
    unit: str  # of Grafana's list
    queries: Sequence[Query]
    kind: Literal["line", "number", "bars"] = "line"
    width: int = 12
    limit: float | None = None  # a line is drawn here; numbers turn red above it


class Board(NamedTuple):
    """A dashboard."""

    uid: str
    title: Text
    about: Text
    panels: Sequence[Panel]


class Place(NamedTuple):
    """On the grid."""

    x: int
    y: int
    width: int
    height: int


def places(panels: Sequence[Panel]) -> Iterator[Place]:
    """From left to right; a row is as high as its highest panel."""
    x = y = row = 0
    for panel in panels:
        height = _HEIGHTS[panel.kind]
        if x + panel.width > COLUMNS:
            x, y, row = 0, y + row, 0
        yield Place(x, y, panel.width, height)
        x, row = x + panel.width, max(row, height)


def quantiles(histogram: str, which: str = "") -> tuple[Query, ...]:
    """The median of a histogram and its 99th percentile. `which`: matchers of labels."""
    buckets = f"{histogram}_bucket{{{which}}}" if which else f"{histogram}_bucket"
    return tuple(
        Query(f"histogram_quantile({share}, sum by (le) (rate({buckets}[$__rate_interval])))", name)
        for share, name in ((0.5, "p50"), (0.99, "p99"))
    )
