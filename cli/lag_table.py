"""The lag as people read it: a table that fits 80 columns with all that is known, or a line."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli.output import console
from operations.lag import Look, Pace, PartitionLag, State
from schemas.numbers import number
from schemas.topics import RECORDS_TOPIC

_ZONE: Final = ZoneInfo("Asia/Ho_Chi_Minh")
_STATES: Final[dict[State, tuple[str, str]]] = {
    "running": ("chạy/running", ""),
    "paused": ("dừng/paused", "yellow"),
    "stuck": ("kẹt/stuck", "red"),
    "unowned": ("vắng/none", "red"),
    "unknown": ("?/unknown", "yellow"),
}
_HEADINGS: Final = (
    "vùng\npart.",
    "cuối\nend",
    "đã ghi\nwritten",
    "nhóm\ngroup",
    "tồn\nlag",
    "trễ\nage",
    "ghi/s\nrate",
    "hết sau\nempty",
    "chủ\nby",
)
_NO_OWNER: Final = "-"
PaceOf = Callable[[int | None], Pace | None]


def _count(value: float | None) -> str:
    return "-" if value is None else number(round(value), "vi")


def duration(seconds: float | None) -> str:
    """`5:03` minutes, `2:05:03` hours, `3d 04:00` days: the same in both languages."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours < 24 else f"{hours // 24}d {hours % 24:02}:{minutes:02}"


def _to_empty(pace: Pace | None) -> str:
    """∞ where the lag does not shrink."""
    if pace is None:
        return "-"
    return "∞" if pace.seconds_to_empty is None else duration(pace.seconds_to_empty)


def _letters(partitions: Iterable[PartitionLag]) -> dict[tuple[str, str], str]:
    """A short name for each owner: A to Z, then A1 and so on."""
    owners = sorted({(each.owner, each.host or "") for each in partitions if each.owner is not None})
    return {owner: chr(ord("A") + at % 26) + (str(at // 26) if at >= 26 else "") for at, owner in enumerate(owners)}


def _group_shown(each: PartitionLag) -> str:
    """`=` where the group's copy is what is written, which is nearly always: the number would take room."""
    return "=" if each.committed is not None and each.committed == each.written else _count(each.committed)


def _cells(each: PartitionLag, pace: Pace | None, letters: dict[tuple[str, str], str]) -> list[str | Text]:
    text, style = _STATES[each.state]
    return [
        str(each.partition),
        _count(each.end),
        _count(each.written),
        _group_shown(each),
        _count(each.lag),
        duration(each.lag_seconds),
        _count(None if pace is None else pace.written),
        _to_empty(pace),
        _NO_OWNER if each.owner is None else letters[each.owner, each.host or ""],
        Text(text, style=style),
    ]


def table(look: Look, pace_of: PaceOf, width: int) -> RenderableType:
    """Everything of a look. Where the terminal is too narrow, numbers do without their points; where that does not help,
    each partition is a block of its own."""
    letters = _letters(look.partitions)
    total = pace_of(None)
    rows = [_cells(each, pace_of(each.partition), letters) for each in look.partitions]
    written = None if total is None else total.written
    sums: list[str | Text] = ["∑", "", "", "", _count(look.lag), duration(look.lag_seconds), _count(written)]
    rows.append([*sums, _to_empty(total), "", ""])
    plain = [[cell.replace(".", "") if isinstance(cell, str) else cell for cell in row] for row in rows]
    fitting = (made for made in (_table(rows), _table(plain)) if _cells_wide(made) <= width)
    return Group(
        Text(_title(look, total)),
        next(fitting, None) or Group(*(_block(row) for row in rows)),
        *(Text(note) for note in _notes(look, total, letters)),
    )


def _table(rows: Sequence[Sequence[str | Text]]) -> Table:
    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in _HEADINGS:
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("trạng thái\nstate", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    return made


def _cells_wide(made: Table) -> int:
    wide = console.options.update(width=1_000)
    return Measurement.get(console, wide, made).maximum


def _block(row: Sequence[str | Text]) -> Text:
    names = [*(heading.replace("\n", "/") for heading in _HEADINGS), "trạng thái/state"]
    facts = [f"{name} {cell}" for name, cell in zip(names, row, strict=True) if str(cell)]
    return Text(" · ".join(facts), overflow="fold")


def _title(look: Look, pace: Pace | None) -> str:
    """What the table does not say itself."""
    sent = "" if pace is None else f" · gửi/sent {_count(pace.sent)}/s"
    return f"{_now()} {RECORDS_TOPIC}{sent} · {_running(look)}"


def _now() -> str:
    return dt.datetime.now(_ZONE).strftime("%H:%M:%S")


def _running(look: Look) -> str:
    return f"chạy/running {sum(each.state == 'running' for each in look.partitions)}/{len(look.partitions)}"


def line(look: Look, pace: Pace | None) -> str:
    """The sums of a look, in one line."""
    parts = [f"{_now()} {RECORDS_TOPIC}", f"tồn đọng/lag {_count(look.lag)}", f"trễ/age {duration(look.lag_seconds)}"]
    if pace is not None:
        parts += [
            f"gửi/sent {_count(pace.sent)}/s",
            f"ghi/written {_count(pace.written)}/s",
            f"hết sau/empty {_to_empty(pace)}",
        ]
    parts.append(_running(look))
    return " · ".join(parts)


def _notes(look: Look, pace: Pace | None, letters: dict[tuple[str, str], str]) -> list[str]:
    """What the table has no room for: owners, reasons, what is gone, and what was measured."""
    notes = [f"{letter} = {owner} ({host})" for (owner, host), letter in letters.items()]
    if any(each.reason is not None for each in look.partitions):
        from schemas.status import PAUSES  # with all schemas, which are not needed while all is well
    for reason in dict.fromkeys(each.reason for each in look.partitions if each.reason is not None):
        where = _numbers(each for each in look.partitions if each.reason == reason)
        text = PAUSES[reason]
        notes.append(f"Phân vùng {where}: {text.vi} / Partition {where}: {text.en}")
    unowned = [each for each in look.partitions if each.state == "unowned"]
    if unowned:
        where = _numbers(unowned)
        notes.append(f"Phân vùng {where}: không worker nào nhận. / Partition {where}: no worker has it.")
    for each in look.partitions:
        if each.gone:
            gone = _count(each.gone)
            notes.append(
                f"Phân vùng {each.partition}: {gone} offset đã bị Kafka xóa trước khi được ghi (hết hạn lưu)."
                f" / Partition {each.partition}: retention deleted {gone} offsets before they were written."
            )
    if pace is None:
        notes.append("Tốc độ: chưa đo. / Rates: not measured.")
    return notes


def _numbers(partitions: Iterable[PartitionLag]) -> str:
    """`0-3, 7`."""
    spans: list[list[int]] = []
    for each in sorted(each.partition for each in partitions):
        if spans and spans[-1][1] == each - 1:
            spans[-1][1] = each
        else:
            spans.append([each, each])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
