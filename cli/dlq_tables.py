"""Dead letters as tables and as JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.markup import escape

from cli.output import console, print_json, show
from cli.scan_rows import local_time
from operations.dead_letters.dead_letter import State
from operations.dead_letters.plan import Outcome, RetryPlan
from schemas.errors import MESSAGE_ERRORS, Text, describe
from schemas.numbers import number
from schemas.topics import DLQ_TOPIC, MAX_MESSAGE_BYTES, MAX_RECORDS_PER_MESSAGE

STATES: Final[dict[str | None, str]] = {
    "open": "chờ xử lý / open",
    "claimed": "đang gửi lại / being retried",
    "retried": "đã gửi lại / retried",
    "dropped": "đã bỏ / dropped",
    None: "? / unknown",
}
OUTCOMES: Final[dict[Outcome, Text]] = {
    "sent": Text("đã gửi lại", "sent again"),
    "recognised": Text("lần chạy trước đã gửi, nay ghi nhận", "sent by an earlier run, marked now"),
    "retried_before": Text("đã gửi lại từ trước", "retried before"),
    "dropped_before": Text("đã bỏ từ trước", "dropped before"),
    "replay_limit": Text("đã gửi lại đủ số lần", "at the limit of retries"),
    "unreadable": Text("vẫn không đọc được", "still cannot be read"),
    "too_large": Text("lớn hơn giới hạn của topic", "larger than the topic takes"),
    "not_kept": Text("nội dung gốc quá lớn, không được giữ lại", "too large, its content was not kept"),
}
_BAR: Final = 20  # cells of the longest bar
_WOULD: Final[dict[str, Text]] = {
    "records": Text("đọc được: bản ghi", "readable: records"),
    "control": Text("đọc được: mở, đóng hoặc hủy lượt quét", "readable: opens, closes or cancels a scan"),
}


def meaning(reason: str) -> dict[str, str]:
    """A reason in both languages; one that is not ours is shown as it is."""
    if reason not in MESSAGE_ERRORS:
        return {"vi": "lý do không rõ", "en": "unknown reason"}
    return describe(reason, "", {"max_bytes": MAX_MESSAGE_BYTES, "max": MAX_RECORDS_PER_MESSAGE})


def both(words: Mapping[str, str]) -> str:
    return f"{words['vi']} / {words['en']}"


def letter_row(letter: Mapping[str, Any]) -> dict[str, str]:
    """One line of the table."""
    return {
        "id": letter["id"],
        "lúc / when (+07:00)": local_time(letter["failed_at"]),
        "tổ chức / tenant": letter["tenant_id"] or "?",
        "lượt quét / scan": letter["scan_id"] or "?",
        "lý do / reason": escape(letter["reason"]),
        "byte": number(letter["bytes"], "vi"),
        "đã thử lại / retries": str(letter["retries"]),
        "tình trạng / state": STATES[letter["state"]],
    }


def show_list(letters: Sequence[Mapping[str, Any]], reasons: Counter[str], matched: int, *, as_json: bool) -> None:
    """Prints the newest letters, and how many there are by reason."""
    if as_json:
        print_json({"matched": matched, "reasons": dict(reasons), "letters": list(letters)})
        return
    rows = [letter_row(each) for each in letters]
    show(rows, title=DLQ_TOPIC, as_json=False, empty="không có gì / nothing")
    if matched > len(letters):
        console.print(f"… {number(matched, 'vi')} (--limit)", highlight=False)
    histogram(reasons)


def histogram(reasons: Counter[str]) -> None:
    """A bar for each reason, and what it means."""
    most = max(reasons.values(), default=1)
    for reason, count in reasons.most_common():
        bar = "█" * max(1, round(_BAR * count / most))
        text = f"{escape(reason)}: [dim]{both(meaning(reason))}[/dim]"
        console.print(f"  {number(count, 'vi'):>9}  {bar:<{_BAR}}  {text}", highlight=False, soft_wrap=True)


def show_plan(plan: RetryPlan, *, as_json: bool) -> None:
    """Prints what a retry would do: reason, what would become of it, how many letters and records; and a histogram of
    reasons."""
    groups = sorted(plan.groups.items(), key=lambda group: -group[1].letters)
    rows = [{**group._asdict(), **sums._asdict()} for group, sums in groups]
    if as_json:
        print_json({"dry_run": True, "reasons": dict(plan.reasons), "plan": rows})
        return
    table = [
        {
            "lý do / reason": escape(str(row["reason"])),
            "sẽ ra sao / would be": _outcome(row),
            "thông điệp / messages": number(int(str(row["letters"])), "vi"),
            "bản ghi / records": number(int(str(row["records"])), "vi"),
            "bị từ chối / rejected": number(int(str(row["rejected"])), "vi"),
        }
        for row in rows
    ]
    show(table, title="dry run", as_json=False, empty="không có gì / nothing")
    histogram(plan.reasons)


def _outcome(row: Mapping[str, Any]) -> str:
    """The outcome as a plan's row shows it: there "sent" is still to come."""
    becomes = str(row["becomes"])
    what = both((_WOULD.get(becomes) or Text("", "")).fill({})) if becomes in _WOULD else ""
    if not what and becomes:
        what = both(meaning(becomes))
    if row["outcome"] == "sent":
        return f"gửi lại / sent again; {what}"
    words = OUTCOMES[row["outcome"]]
    return f"{words.vi} / {words.en}" + (f": {what}" if what else "")


def show_counts(counts: Mapping[Outcome, int], *, as_json: bool) -> None:
    """Prints what a retry did."""
    if as_json:
        print_json({name: counts.get(name, 0) for name in OUTCOMES})
        return
    for name, text in OUTCOMES.items():
        if counts.get(name) or name == "sent":
            console.print(f"  {number(counts.get(name, 0), 'vi'):>9}  {text.vi} / {text.en}", highlight=False)


def show_dropped(done: Mapping[State, int], *, as_json: bool) -> None:
    """Prints what a drop did."""
    if as_json:
        print_json({"dropped": done["dropped"], "retried_before": done["retried"]})
        return
    console.print(
        f"  {number(done['dropped'], 'vi')} đã bỏ / dropped; {number(done['retried'], 'vi')} đã gửi lại từ trước / retried before",
        highlight=False,
        soft_wrap=True,
    )


def show_letter(letter: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints everything about one letter."""
    if as_json:
        print_json(letter)
        return
    row = letter_row(letter)
    row["lý do / reason"] += f": {both(meaning(letter['reason']))}"
    for name, value in row.items():
        console.print(f"  [bold]{name}[/bold]: {value}", highlight=False, soft_wrap=True)
    source = letter["source"]
    console.print(
        f"  [bold]từ / from[/bold]: {escape(source['topic'])}\\[{escape(source['partition'])}] @ {escape(source['offset'])}",
        highlight=False,
    )
    console.print(f"  [bold]key[/bold]: {escape(letter['key'])}", highlight=False, soft_wrap=True)
    console.print(f"  [bold]sha256[/bold]: {letter['sha256']}", highlight=False, soft_wrap=True)
    console.print(f"  [bold]hiện nay / today[/bold]: {escape(letter['today'])}", highlight=False, soft_wrap=True)
    for name, value in letter["headers"]:
        console.print(f"    {escape(name)}: {escape(value)}", highlight=False, soft_wrap=True)
    if left_out := letter.get("headers_left_out"):
        console.print(f"    … {number(left_out, 'vi')} header(s)", highlight=False)
    for each in letter["history"]:
        console.print(f"  {local_time(each['at'])}  {each['action']}  {escape(each['actor'])}", highlight=False)
    for line in letter.get("preview", ()):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if letter.get("preview_is_whole") is False:
        console.print("[dim]… (--preview, --raw)[/dim]", highlight=False)
