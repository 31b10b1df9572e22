"""A scan's status as people read it, and as an exit code."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.markup import escape

from cli.output import console, show
from infra.errors import InfraError
from schemas.codes import FINAL_STATES
from schemas.messages import is_tenant_id
from schemas.numbers import number

_ZONE: Final = ZoneInfo("Asia/Ho_Chi_Minh")
_TIME: Final = "%d/%m/%Y %H:%M:%S"
_STATES: Final = {
    "queued": "đang chờ / queued",
    "processing": "đang xử lý / processing",
    "completed": "hoàn tất / completed",
    "completed_with_errors": "hoàn tất, có lỗi / completed with errors",
    "failed": "thất bại / failed",
    "cancelled": "đã hủy / cancelled",
}
NOT_WELL: Final = 1  # the scan ended, and not every record of it was stored
NOT_ENDED: Final = 3
Status = Mapping[str, Any]


def checked_tenant(tenant: str) -> str:
    """The tenant id. Raises InfraError where it can be none."""
    if not is_tenant_id(tenant):
        raise InfraError.of("tenant_id_invalid")
    return tenant


def has_ended(status: Status) -> bool:
    return status["status"] in FINAL_STATES


def exit_code(status: Status | None) -> int:
    """0: every record is in the table; NOT_WELL: it ended otherwise; NOT_ENDED: it is on its way."""
    if status is None or not has_ended(status):
        return NOT_ENDED
    return 0 if status["status"] == "completed" else NOT_WELL


def state_words(status: Status) -> str:
    state = str(status["status"])
    return _STATES.get(state, state)


def local_time(text: str | None) -> str:
    """An RFC 3339 time as it is written in Vietnam."""
    return "" if text is None else in_vietnam(dt.datetime.fromisoformat(text))


def in_vietnam(moment: dt.datetime) -> str:
    """The time as it is written in Vietnam."""
    return moment.astimezone(_ZONE).strftime(_TIME)


def percent(status: Status) -> str:
    return f"{status['progress'] * 100:.1f} %".replace(".", ",")


def scan_row(status: Status) -> dict[str, Any]:
    """One line of a list of scans."""
    total = status["records_total"]
    return {
        "scan_id": status["scan_id"],
        "tình trạng / status": state_words(status),
        "%": percent(status),
        "tổng / total": "?" if total is None else number(total, "vi"),
        "lưu / stored": number(status["records_stored"], "vi"),
        "từ chối / rejected": number(status["records_rejected"], "vi"),
        "trùng / duplicate": number(status["records_duplicate"], "vi"),
        "gửi lúc / submitted (+07:00)": local_time(status["submitted_at"]),
    }


def show_scan(status: Status, *, as_json: bool) -> None:
    """All there is to say of one scan; as JSON, an array of it alone."""
    if as_json:
        show([dict(status)], title="scan", as_json=True)
        return
    console.print(f"[bold]{status['tenant_id']}[/bold]  {status['scan_id']}  {state_words(status)}")
    facts = {name: value for name, value in scan_row(status).items() if name not in ("scan_id", "tình trạng / status")}
    facts["nhạy cảm / sensitive"] = number(status["records_sensitive"], "vi")
    facts["xuyên biên giới / cross-border"] = number(status["records_cross_border"], "vi")
    if status["messages_unreadable"]:
        facts["thông điệp không đọc được / unreadable messages"] = number(status["messages_unreadable"], "vi")
    facts["xong lúc / finished (+07:00)"] = local_time(status["finished_at"])
    for name, value in facts.items():
        console.print(f"  {name}: {value}", highlight=False)
    for language in ("vi", "en"):
        console.print(escape(status["message"][language]), highlight=False)
    for error in status["errors_sample"]:
        console.print(f"  [red]•[/red] {escape(error['messages']['vi'])} / {escape(error['messages']['en'])}")
