"""docs/metrics.md is what the declarations say; names, labels and texts follow one scheme."""

import re
from typing import Final

import pytest

from dashboards.metrics_page import PAGE, Metric, declared, page

DECLARED: Final = declared()
_SUBJECTS: Final = "|".join(
    (
        "api", "certificate", "compliance", "dead_letters", "disk", "exporter", "kafka", "lag", "pool", "postgres",
        "process", "sink", "status", "stream", "tenant", "topic",
    )
)  # fmt: skip
_UNITS: Final = (
    "_total", "_seconds", "_bytes", "_count", "_rows", "_messages", "_offset", "_owned", "_up", "_limit", "_files",
    "_compacted", "_partitions", "_readable",
)  # fmt: skip


def test_the_page_is_what_the_code_says() -> None:
    assert page(DECLARED) == PAGE.read_text(encoding="utf-8"), "run make contract"


def test_each_is_declared_once() -> None:
    names = [metric.name for metric in DECLARED]
    assert len(names) > 50
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("metric", DECLARED, ids=lambda metric: metric.name)
def test_names_and_texts_follow_the_scheme(metric: Metric) -> None:
    assert re.fullmatch(f"scanline_(?:{_SUBJECTS})_[a-z0-9_]+", metric.name)
    assert metric.name.endswith(_UNITS)
    assert metric.text.endswith(".") and "  " not in metric.text and "|" not in metric.text
    assert 40 < len(metric.text) <= 200  # what it says, and what to do


def test_no_label_can_hold_personal_data_or_grow_without_bound() -> None:
    """`tenant` is bounded by a setting, which is 0 unless an operator says otherwise."""
    labels = {label for metric in DECLARED for label in metric.labels}
    assert labels <= {
        "category", "code", "file", "kind", "method", "outcome", "partition", "path_of", "pool", "process", "reason",
        "route", "source", "sqlstate_class", "standby", "state", "status", "table", "tenant", "topic", "type", "way",
    }  # fmt: skip
    assert [metric.name for metric in DECLARED if "tenant" in metric.labels] == ["scanline_tenant_records_total"]
