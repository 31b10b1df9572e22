"""For each alert: series with which it fires, and such with which it must not."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Case(NamedTuple):
    """Series in promtool's notation, one value an interval, and whether the alert fires at a time."""

    alert: str
    what: str
    fires: bool
    at: str
    series: Mapping[str, str]
    interval: str = "30s"
    count: int = 1  # of the alert, one for each set of labels


PAUSED: Final = 'scanline_stream_paused_lanes_count{instance="a",reason="database"}'
STANDING: Final = 'scanline_stream_standing_lanes_count{instance="a"}'


def writes(all_of_them: str, within_5s: str) -> dict[str, str]:
    return {
        'scanline_sink_write_seconds_count{instance="a"}': all_of_them,
        'scanline_sink_write_seconds_bucket{instance="a",le="5.0"}': within_5s,
    }


CASES: Final = (
    Case("ScanlineLanePaused", "three lanes wait for the database", True, "3m", {PAUSED: "0 3x10"}),
    Case("ScanlineLanePaused", "a pause of half a minute", False, "3m", {PAUSED: "0 3 0x10"}),
    Case("ScanlineLanePaused", "none", False, "10m", {PAUSED: "0x30"}),
    Case("ScanlineLaneStuck", "a lane stands", True, "2m", {STANDING: "0 0 1x10"}),
    Case("ScanlineLaneStuck", "none stands", False, "2m", {STANDING: "0x10"}),
    Case("ScanlineLaneStuck", "it goes on", False, "4m", {STANDING: "0 1 1 0x20"}),
    Case("ScanlineMicroBatchSlow", "one of hundreds", True, "3m", writes("0+100x20", "0 100 199 299 399 499 599")),
    Case("ScanlineMicroBatchSlow", "all were quick", False, "3m", writes("7+100x20", "3+100x20")),
    Case("ScanlineMicroBatchSlow", "it is long ago", False, "10m", writes("0 1x40", "0x40")),
)
