"""Plain lines for people end between two words in a terminal, and are one line each in a pipe."""

import datetime as dt
import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cli import dlq_tables, output, publish, replay, scan_rows, tail
from cli.outcome import _print_error
from cli.output import WholeWords
from infra.error_texts import TEXTS
from infra.errors import InfraError
from operations.status_follower import Change
from schemas.errors import MESSAGE_ERRORS, describe
from schemas.status import Scan, status_of

_ROOT: Final = Path(__file__).resolve().parents[2]
_SCAN: Final = "0198f3c2-0000-7000-8000-000000000001"
_TENANT: Final = "benh-vien-da-khoa-khu-vuc-dong-bac-thanh-pho"
_LETTER: Final[dict[str, Any]] = {
    "id": "0:17",
    "failed_at": "2026-11-27T08:00:00Z",
    "tenant_id": _TENANT,
    "scan_id": _SCAN,
    "reason": "processing_failed",
    "bytes": 123_456,
    "retries": 1,
    "state": "open",
    "source": {"topic": "scan.records.v1", "partition": "3", "offset": "123456"},
    "key": _TENANT,
    "sha256": "a" * 64,
    "today": "message_unreadable: " + " / ".join(describe("message_unreadable").values()),
    "headers": [["ce_type", "vn.scanline.scan.records.v1 " * 5]],
    "history": [{"at": "2026-11-27T08:00:00Z", "action": "retried", "actor": "somebody@a-long-name.example.vn"}],
}


def _status() -> dict[str, Any]:
    scan = Scan(_TENANT, _SCAN, "completed_with_errors", records_total=1_353_000, records_stored=1_000_000, version=9)
    return {name: getattr(status_of(scan), name) for name in status_of(scan).__struct_fields__} | {
        "errors_sample": [{"messages": describe("processing_failed")}],
        "submitted_at": None,
        "finished_at": None,
    }


def _differences() -> list[dict[str, Any]]:
    keys = {"count": 12, "first": [f"crm_prod.ban_hang.public.khach_hang/email_{number}" for number in range(9)]}
    counts = {"records_stored": (123, 456)}
    return [{"tenant_id": _TENANT, "scan_id": _SCAN, "counts": counts, "missing": keys, "extra": keys, "altered": keys}]


def _passed_over() -> dict[str, Any]:
    one = {"tenant_id": _TENANT, "scan_id": _SCAN, "activity_key": "k", "record_index": 3, "message": "0:1"}
    return {
        "passed_over": {"count": 1, "first": [{**one, "reason": " / ".join(describe("processing_failed").values())}]}
    }


_PRINTERS: Final[dict[str, Callable[[], object]]] = {
    "histogram": lambda: dlq_tables.histogram(Counter({reason: 1_000 for reason in MESSAGE_ERRORS})),
    "dlq show": lambda: dlq_tables.show_letter(_LETTER, as_json=False),
    "dlq retry": lambda: dlq_tables.show_counts(dict.fromkeys(dlq_tables.OUTCOMES, 1_234), as_json=False),
    "dlq drop": lambda: dlq_tables.show_dropped({"dropped": 10, "retried": 20}, as_json=False),
    "status": lambda: scan_rows.show_scan(_status(), as_json=False),
    "tail": lambda: tail.print_change(
        Change((_TENANT, _SCAN), _status(), 0.0, dt.datetime(2026, 11, 27, tzinfo=dt.UTC)), as_json=False
    ),
    "publish": lambda: publish._show_accepted(
        {"scan_id": _SCAN, "tenant_id": _TENANT, "records": 1_353}, None, as_json=False
    ),
    "replay": lambda: replay.print_differences(_differences()),
    "passed over": lambda: replay.print_passed_over(_passed_over()),
    **{f"error {code}": lambda code=code: _print_error(InfraError(*TEXTS[code], code)) for code in TEXTS},  # type: ignore[misc]
}


def _printed(printer: Callable[[], object], width: int, *, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    out = io.StringIO()
    for name in ("console", "stderr"):
        one = WholeWords(
            file=out,
            width=width,
            force_terminal=terminal,
            color_system=None,
            soft_wrap=name == "stderr",
            highlight=False,
        )
        monkeypatch.setattr(output, name, one)
        for module in (dlq_tables, publish, replay, scan_rows, tail):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, one)
    printer()
    return out.getvalue()


@pytest.mark.parametrize("name", _PRINTERS)
@pytest.mark.parametrize("width", [40, 80])
def test_no_word_is_broken(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = _printed(_PRINTERS[name], 10_000, terminal=True, monkeypatch=monkeypatch)
    narrow = _printed(_PRINTERS[name], width, terminal=True, monkeypatch=monkeypatch)
    wide, narrow = (text[text.find("Theo dõi") if name == "publish" else 0 :] for text in (wide, narrow))  # no table
    assert [word for word in narrow.split() if "─" not in word] == [word for word in wide.split() if "─" not in word]
    for line in narrow.splitlines():
        assert len(line) <= width or len(line.split()) == 1, line


def test_a_pipe_gets_a_line_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in {"tail": 1, "histogram": len(MESSAGE_ERRORS), "error pipeline_unknown": 2}.items():
        assert len(_printed(_PRINTERS[name], 80, terminal=False, monkeypatch=monkeypatch).splitlines()) == count


def _consoles() -> Iterator[str]:
    for folder in ("cli", "operations"):
        for path in (_ROOT / folder).rglob("*.py"):
            if "Console(" in path.read_text(encoding="utf-8").replace("WholeWords(", "").replace(
                "class WholeWords", ""
            ):
                yield path.name


def test_nobody_prints_past_it() -> None:
    assert set(_consoles()) <= {"output.py"}
