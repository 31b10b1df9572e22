"""Every alert fires when it should and is silent when it should be, by promtool; its texts and its runbook are there."""

import importlib
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import REGISTRY

from dashboards.boards import BOARDS
from dashboards.metrics_page import declared
from infra.settings import PROJECT
from schemas.errors import MESSAGE_ERRORS
from tests.alert_cases import CASES, Case
from tests.monitoring import ALERTMANAGER, RULES
from tests.packages import program
from tests.unit.test_dashboard_files import VIETNAMESE
from tests.unit.test_docs_links import anchors

GROUPS: Final[list[dict[str, Any]]] = [
    group for file in RULES for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
]
ALERTS: Final = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
RECORDED: Final = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
TEXTS: Final = ("summary", "description")
_NAME: Final = re.compile(r"\b(scanline[_:][a-z0-9_:]+)")
_QUERIES: Final = {
    **{
        f"{group['name']} {number} {rule.get('alert') or rule['record']}": rule["expr"]
        for group in GROUPS
        for number, rule in enumerate(group["rules"])
    },
    **{
        f"{board.uid} {panel.title.en} {number}": query.expr
        for board in BOARDS
        for panel in board.panels
        for number, query in enumerate(panel.queries)
    },
}


def test_promtool_takes_the_rules_and_their_templates() -> None:
    promtool = program("promtool", "prometheus")
    done = subprocess.run([promtool, "check", "rules", *RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_amtool_takes_the_configuration() -> None:
    amtool = program("amtool", "prometheus-alertmanager")
    file = ALERTMANAGER / "alertmanager.yml"
    done = subprocess.run([amtool, "check-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried_both_ways() -> None:
    names = {rule["alert"] for rule in ALERTS}
    for fires in (True, False):
        assert {case.alert for case in CASES if case.fires == fires} == names


def test_alerts_fire_and_are_silent(tmp_path: Path) -> None:
    """All cases in one run of promtool."""
    promtool = program("promtool", "prometheus")
    file = tmp_path / "cases.yml"
    cases = {
        "rule_files": [str(each) for each in RULES],
        "evaluation_interval": "1m",
        "tests": list(map(_test, CASES)),
    }
    file.write_text(yaml.safe_dump(cases, allow_unicode=True))
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _test(case: Case) -> dict[str, Any]:
    fired = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)'
    expected = [{"labels": "{}", "value": case.count if case.fires else 0}]
    return {
        "name": f"{case.alert}: {case.what}",
        "interval": case.interval,
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": [{"expr": fired, "eval_time": case.at, "exp_samples": expected}],
    }


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_what_it_means_in_both_languages(rule: dict[str, Any]) -> None:
    notes = rule["annotations"]
    assert set(notes) == {"summary_vi", "summary_en", "description_vi", "description_en", "runbook_url"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    for text in TEXTS:
        assert VIETNAMESE.search(notes[f"{text}_vi"]) and not VIETNAMESE.search(notes[f"{text}_en"])
        holes = [re.findall(r"{{(.*?)}}", notes[f"{text}_{language}"]) for language in ("vi", "en")]
        assert sorted(holes[0]) == sorted(holes[1]), rule["alert"]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_its_runbook_is_there_and_says_what_a_runbook_must(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    file = PROJECT / page
    assert file.parent == PROJECT / "docs" / "runbooks"
    assert anchor == rule["alert"].lower() and anchor in anchors(file)
    section = file.read_text(encoding="utf-8").partition(f"## {rule['alert']}\n")[2].partition("\n## ")[0]
    told = [section.find(f"**{part}.**") for part in (
        "Nghĩa là / what it means",
        "Nhìn đầu tiên / first look",
        "Làm gì / what to do",
        "Hết khi / over when",
    )]  # fmt: skip
    assert -1 not in told and told == sorted(told)


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    names = {rule["alert"].lower() for rule in ALERTS}
    pages = (PROJECT / "docs" / "runbooks").glob("*.md")
    assert {each for page in pages for each in anchors(page) if each.startswith("scanline")} == names


@pytest.mark.parametrize("of", _QUERIES)
def test_every_metric_that_is_asked_for_is_declared(of: str) -> None:
    known = set(RECORDED)
    for metric in declared():
        known |= {metric.name} if metric.kind != "histogram" else {
            f"{metric.name}_{part}" for part in ("bucket", "count", "sum")
        }  # fmt: skip
    asked = set(_NAME.findall(_QUERIES[of]))
    assert asked <= known
    assert asked or "ALERTS" in _QUERIES[of] or "up{" in _QUERIES[of]


def test_what_is_recorded_is_used() -> None:
    asked = {name for query in _QUERIES.values() for name in _NAME.findall(query)}
    assert asked >= RECORDED


def test_what_rules_count_begins_at_0() -> None:
    """An increase from nothing is none, so the first of a kind would not be seen."""
    for module in ("stream_app.metrics", "sinks.postgres.metrics", "producer_api.metrics"):
        importlib.import_module(module)
    begun = {
        (sample.name, value)
        for family in REGISTRY.collect()
        for sample in family.samples
        for value in sample.labels.values()
    }
    for name, labels in {
        "scanline_sink_records_total": ("stored", "rejected", "duplicate"),
        "scanline_stream_dead_letters_total": tuple(MESSAGE_ERRORS),
        "scanline_sink_batches_total": ("direct", "staged"),
        "scanline_api_submissions_total": ("accepted", "replayed", "refused", "unavailable", "aborted"),
    }.items():
        assert {(name, label) for label in labels} <= begun
