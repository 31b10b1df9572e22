"""What commands print for people fits the terminal, and ids can be copied from it."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console

from cli import demo, output
from cli.headings import HEADINGS
from infra.kafka.topics import TopicChange
from operations.dead_letters.allowance import Allowance
from operations.offset_reset import Reset
from trials.demo.run import DemoResult, Phase

_ROOT: Final = Path(__file__).resolve().parents[2]
SCAN: Final = "0198f3c2-0000-7000-8000-000000000001"
ROWS: Final[list[dict[str, Any]]] = [
    {
        "id": f"{number}:17",
        "lúc / when (+07:00)": "26/11/2026 07:29:48",
        "lượt quét / scan": SCAN,
        "lý do / reason": "message_too_many_records",
        "%": "100,0 %",
        "byte": "1.234",
        "tình trạng / state": "chờ xử lý / open",
        "ghi chú / note": None,
    }
    for number in range(3)
]


def shown(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setattr(output, "console", Console(width=width))
    output.show(ROWS, title="scan.dlq.v1", as_json=False)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", range(20, 200, 6))
def test_no_word_is_broken_at_any_width(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(width, monkeypatch, capsys)
    text = "\n".join(lines)
    for word in (SCAN, "message_too_many_records", "26/11/2026", "07:29:48", "100,0 %", "1.234"):
        assert text.count(word) == 3, (width, word)
    if "┏" in text:
        assert max(map(len, lines)) <= width
        assert {line[0] for line in lines[1:]} <= set("┏┃┡│└")


def test_a_wide_terminal_has_a_line_for_each_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(200, monkeypatch, capsys)
    assert len(lines) == 1 + 1 + 2 + 1 + 3 + 1  # title, frame, heading in two languages, frame, rows, frame
    assert [line.split("│")[1].strip() for line in lines if SCAN in line] == ["0:17", "1:17", "2:17"]


def test_a_narrow_one_has_a_block(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(80, monkeypatch, capsys)
    assert lines[0].startswith("scan.dlq.v1 ─") and len(lines[0]) == 80
    assert lines[1] == "0:17"
    assert lines[2] == "  lúc / when (+07:00): 26/11/2026 07:29:48"
    assert lines[3] == f"  lượt quét / scan: {SCAN}"
    assert lines[4] == "  lý do / reason: message_too_many_records · %: 100,0 % · byte: 1.234"
    assert lines[5] == "  tình trạng / state: chờ xử lý / open · ghi chú / note: "
    assert lines[6] == "1:17" and len(lines) == 1 + 3 * 5
    assert max(map(len, lines)) <= 80


def test_a_block_that_begins_with_a_number_says_of_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "console", Console(width=30))
    output.show([{"partition": 3, "actor": "uid:1234@a-long-name.example.vn"}], title="x", as_json=False)
    assert capsys.readouterr().out.splitlines()[1] == "phân vùng / partition: 3"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_demos_table_is_cut_nowhere(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {name: 123_456 for name in demo._COLUMNS} | {
        "tenant": "phong-kham-an-binh",
        "way": "NDJSON",
        "seconds": 12.34,
    }
    phases = [Phase("samples", [], 1.0), Phase("generated", [], 1.0)]
    for module in (demo, output):
        monkeypatch.setattr(module, "console", Console(width=width))
    demo._print(DemoResult(phases, [row], {"p50": 1.0}, ["x"]))
    out = capsys.readouterr().out
    assert "…" not in out and out.count("123.456") == 6 and "phong-kham-an-binh" in out


def test_programs_get_all_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    output.show(ROWS, title="scan.dlq.v1", as_json=True)
    assert json.loads(capsys.readouterr().out) == ROWS


def test_figures_and_headings_are_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In JSON they are bare."""
    monkeypatch.setattr(output, "console", Console(width=200))
    row = {"records": 1_234_567, "replayed": False, "equal": 3, "applied": True}
    output.show([row], title="x", as_json=False)
    shown = capsys.readouterr().out
    for text in ("bản ghi", "records", "đã gửi từ trước", "sent before", "1.234.567", "không / no", "có / yes"):
        assert text in shown, shown
    assert "False" not in shown and "replayed" not in shown
    output.show([row], title="x", as_json=True)
    assert json.loads(capsys.readouterr().out) == [row]


@pytest.mark.parametrize("kind", [TopicChange, Reset, Allowance], ids=lambda kind: str(kind.__name__))
def test_every_field_of_a_result_has_a_heading_in_both_languages(kind: Any) -> None:
    assert set(kind._fields) <= HEADINGS.keys()
    assert all(" / " in text or name == "topic" for name, text in HEADINGS.items())


def test_nowhere_else_is_a_thousand_written_with_a_comma_but_in_an_english_sentence() -> None:
    """Figures that both languages read are as in Vietnamese; `number` and `decimal` know how."""
    found = [
        f"{path.name}: {line.strip()}"
        for folder in ("cli", "operations", "trials/demo")
        for path in (_ROOT / folder).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r":[<>^]?\d*,(\.\d+f)?\}", line) and path.name not in ("bench.py",)
    ]
    assert all(" records sent =" in line or " stored +" in line for line in found), found
