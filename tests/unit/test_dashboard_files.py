"""The dashboards are what their generator makes, and keep the rules that Grafana and the people before it need."""

import itertools
import json
import re
from typing import Any, Final

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.boards import BOARDS
from dashboards.grafana import FOLDER, files, main

WRITTEN: Final[dict[str, dict[str, Any]]] = {
    file.stem: json.loads(file.read_text("utf-8")) for file in FOLDER.glob("*.json")
}
UNITS: Final = {"short", "s", "bytes", "Bps", "reqps", "percentunit", "dateTimeAsIso"}
VIETNAMESE: Final = re.compile("[àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ]", re.I)


def bilingual(text: str) -> bool:
    """Vietnamese, then English."""
    vi, _, en = text.partition(" / ")
    return bool(VIETNAMESE.search(vi)) and bool(en) and not VIETNAMESE.search(en)


def panels() -> list[tuple[str, dict[str, Any]]]:
    return [(uid, panel) for uid, written in WRITTEN.items() for panel in written["panels"]]


def test_the_files_are_fresh() -> None:
    assert dict(files()) == {file: file.read_text("utf-8") for file in FOLDER.glob("*.json")}
    assert main(["--check"]) == 0


def test_no_two_dashboards_are_called_alike() -> None:
    for names in ([board.uid for board in BOARDS], [str(board.title) for board in BOARDS]):
        assert len(set(names)) == len(names)
    assert set(WRITTEN) == {board.uid for board in BOARDS}
    assert all(written["uid"] == uid for uid, written in WRITTEN.items())


@pytest.mark.parametrize("uid", WRITTEN)
def test_what_grafana_reads_is_what_was_meant(uid: str) -> None:
    """Read with the types of Grafana's schema and written again, it is the same: no field is one that it does not know."""
    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(WRITTEN[uid])))
    assert again == WRITTEN[uid]


@pytest.mark.parametrize("uid", WRITTEN)
def test_titles_and_texts_are_in_both_languages(uid: str) -> None:
    written = WRITTEN[uid]
    for part in (written, *written["panels"]):
        assert bilingual(part["title"].removeprefix("Scanline: ")) and bilingual(part["description"]), part["title"]


@pytest.mark.parametrize("uid", WRITTEN)
def test_every_panel_has_a_unit_and_a_number_of_its_own(uid: str) -> None:
    ids = [panel["id"] for panel in WRITTEN[uid]["panels"]]
    assert len(set(ids)) == len(ids)
    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in WRITTEN[uid]["panels"]} <= UNITS


@pytest.mark.parametrize("uid", WRITTEN)
def test_panels_do_not_overlap_and_stay_on_the_grid(uid: str) -> None:
    grid = [panel["gridPos"] for panel in WRITTEN[uid]["panels"]]
    assert all(each["x"] >= 0 and each["x"] + each["w"] <= 24 for each in grid)
    for one, other in itertools.combinations(grid, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@pytest.mark.parametrize("uid", WRITTEN)
def test_the_source_is_the_one_that_is_chosen(uid: str) -> None:
    written = WRITTEN[uid]
    (variable,) = written["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    for panel in written["panels"]:
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize(("uid", "panel"), panels(), ids=lambda value: value if isinstance(value, str) else value["id"])
def test_every_panel_asks_something_and_names_its_series(uid: str, panel: dict[str, Any]) -> None:
    targets = panel["targets"]
    assert targets and len({target["refId"] for target in targets}) == len(targets)
    named = [target["legendFormat"] for target in targets]
    assert len(targets) == 1 or ("__auto" not in named and len(set(named)) == len(named))
    # how far back rate() looks follows from how often is scraped, which Grafana knows
    assert not re.search(r"rate\([^\[]*\[(?!\$__rate_interval)", "".join(target["expr"] for target in targets))
