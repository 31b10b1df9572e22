"""dashboards/README.md lists every metric that the code registers, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_REGISTERED = re.compile(
    r"\b(Counter|Gauge|Histogram|Summary|Info|Enum|(?:Gauge|Counter|Histogram|Summary)MetricFamily)\(\s*\"([a-z0-9_]+)\""
)
_ROW = re.compile(
    r"^\| `(scanline_[a-z0-9_]+)` \| (counter|gauge|histogram) \|(?: ([a-z_`, ]+))? \| (.+) \|$", re.MULTILINE
)
_README = (ROOT / "dashboards" / "README.md").read_text(encoding="utf-8")


def _registered() -> dict[str, str]:
    found = {}
    for package in ("schemas", "sinks", "stream_app", "producer_api", "infra"):
        for path in (ROOT / package).rglob("*.py"):
            for kind, name in _REGISTERED.findall(path.read_text(encoding="utf-8")):
                kind = kind.removesuffix("MetricFamily").lower()
                # as Prometheus shows it: the client library adds what a counter's name lacks
                found[name if kind != "counter" else name.removesuffix("_total") + "_total"] = kind
    return found


def test_every_metric_is_listed_and_no_other() -> None:
    listed = {name: kind for name, kind, _, _ in _ROW.findall(_README)}
    assert listed == _registered()


def test_names_follow_the_scheme() -> None:
    units = ("_total", "_seconds", "_bytes", "_count", "_rows", "_messages")
    for name in _registered():
        assert re.fullmatch(r"scanline_(api|stream|sink|pool|status)_[a-z0-9_]+", name), name
        assert name.endswith(units), name


def test_no_label_can_hold_personal_data_or_grow_without_bound() -> None:
    labels = {label for _, _, text, _ in _ROW.findall(_README) for label in re.findall(r"`([a-z_]+)`", text)}
    assert labels <= {
        "method", "outcome", "partition", "pool", "reason", "route", "sqlstate_class", "state", "status", "type", "way",
    }  # fmt: skip


def test_each_is_listed_once_with_something_to_say() -> None:
    rows = _ROW.findall(_README)
    assert len({name for name, *_ in rows}) == len(rows) == _README.count("| `scanline_")
    assert all(len(text) > 10 for *_, text in rows)
