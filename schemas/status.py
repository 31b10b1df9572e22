"""A scan's life as values: what is counted, which state follows (`scan_state`), and what is published."""

import datetime as dt
from typing import Any, Final

import msgspec

from schemas.codes import FINAL_STATES, ScanState
from schemas.errors import FieldError, Text
from schemas.messages import Cancelled, Closed, Language, Opened
from schemas.numbers import number
from schemas.wait_reasons import PauseReason as PauseReason
from schemas.wait_reasons import WaitReason as WaitReason

ERRORS_SAMPLE: Final = 20
COMPLETE: Final[frozenset[ScanState]] = frozenset({"completed", "completed_with_errors"})


class ErrorSample(msgspec.Struct, omit_defaults=True):
    """One rejected record as the status shows it. `index` is zero-based within the scan, where it is known."""

    index: int | None
    activity_key: str | None
    code: str
    pointer: str
    messages: dict[str, str]


class ScanStatus(msgspec.Struct):
    """The status of a scan: value of scan.status.v1 and answer of GET /scans/{id}."""

    scan_id: str
    tenant_id: str
    status: ScanState
    source: str | None
    records_total: int | None
    records_stored: int
    records_rejected: int
    records_duplicate: int
    records_sensitive: int
    records_cross_border: int
    messages_unreadable: int
    progress: float
    errors_sample: list[ErrorSample]
    submitted_at: dt.datetime | None
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    version: int
    message: dict[str, str]
    request_digest: str | None = None
    cancel_reason: str | None = None
    paused: bool = False  # its lane waits, see `message`; the counts are those of before


class Scan(msgspec.Struct):
    """One row of `scans`, changed by the lane under the row's lock. Names are the table's columns."""

    tenant_id: str
    scan_id: str
    status: ScanState = "queued"
    source: str | None = None
    language: Language = "vi"
    notify: str | None = None
    request_digest: str | None = None
    records_total: int | None = None
    closed: bool = False
    cancel_reason: str | None = None
    records_stored: int = 0
    records_rejected: int = 0
    records_duplicate: int = 0
    records_sensitive: int = 0
    records_cross_border: int = 0
    messages_unreadable: int = 0
    errors_sample: list[Any] = []
    submitted_at: dt.datetime | None = None
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None
    version: int = 0

    @property
    def accounted(self) -> int:
        """Records that have found their end: stored, rejected or duplicate."""
        return self.records_stored + self.records_rejected + self.records_duplicate

    @property
    def finished(self) -> bool:
        return self.status in FINAL_STATES

    @property
    def progress(self) -> float:
        """0 to 1; 0 while the total is unknown, unless the scan is finished."""
        if self.records_total:
            return min(1.0, self.accounted * 10_000 // self.records_total / 10_000)  # cut, not rounded: 1 means all
        return 1.0 if self.status in COMPLETE else 0.0

    def take(self, control: Opened | Closed | Cancelled, pending: int = 0) -> bool:
        """Order between clients is not assumed: `opened` may come last and then fills in only what is not known yet.

        `pending` records came before it and are being written: how messages are cut into transactions must not matter.
        False: it came too late and changes nothing. What is complete can be neither cancelled nor given another total.
        """
        if isinstance(control, Opened):
            self.source = self.source or control.source
            self.language = control.language
            self.notify = self.notify or control.notify
            self.request_digest = self.request_digest or control.request_digest
            self.submitted_at = control.submitted_at or self.submitted_at
            if not self.closed:
                self.records_total = control.records_total
        elif isinstance(control, Closed):
            if self.records_total != control.records_total and scan_state(self, pending) in COMPLETE:
                return False
            self.closed = True
            self.records_total = control.records_total
            self.request_digest = self.request_digest or control.request_digest
        elif scan_state(self, pending) in FINAL_STATES:
            return False
        else:
            self.cancel_reason = control.reason
        return True

    def settle(self, now: dt.datetime) -> None:
        """Works out the state that follows from the counts, and counts the change.

        A failed scan (closed, some of its messages unreadable, so its total cannot be reached) comes back to life when
        the missing records arrive after all; a cancelled one does not. Its times keep their order, whatever clocks say: it is
        submitted by one machine's, and written by another's.
        """
        before, self.status = self.status, scan_state(self)
        self.submitted_at = self.submitted_at or now
        if self.status != "queued":
            self.started_at = self.started_at or max(now, self.submitted_at)
        if not self.finished:
            self.finished_at = None
        elif self.finished_at is None or self.status != before:
            self.finished_at = max(now, self.started_at or now)
        self.version += 1


def scan_state(scan: Scan, pending: int = 0) -> ScanState:
    """The state that follows from what a scan has counted, and `pending` accepted records more. The first line that holds
    decides; a total is known for good once the scan is closed (docs/architecture.md#the-states-of-a-scan).

    | cancelled | it was cancelled |
    | completed_with_errors | closed, every record accounted for, and any was rejected or any message unreadable |
    | completed | closed, every record accounted for: stored or a duplicate |
    | failed | closed, records are missing, and a message was unreadable: it may have held them |
    | processing | anything is accounted for or unreadable |
    | queued | nothing is |
    """
    accounted = scan.accounted + pending
    if scan.cancel_reason is not None:
        return "cancelled"
    if scan.closed and scan.records_total is not None and accounted >= scan.records_total:
        return "completed_with_errors" if scan.records_rejected or scan.messages_unreadable else "completed"
    if scan.closed and scan.messages_unreadable:
        return "failed"
    return "processing" if accounted or scan.messages_unreadable else "queued"


_STATE_TEXTS: Final[dict[str, Text]] = {
    "queued": Text("Lượt quét đang chờ xử lý.", "The scan is queued."),
    "processing": Text("Đang xử lý: {done} trên {total} bản ghi.", "Processing: {done} of {total} records."),
    "processing_open": Text(
        "Đang xử lý: {done} bản ghi, chưa rõ tổng số.", "Processing: {done} records, the total is not known yet."
    ),
    "completed": Text(
        "Hoàn tất: đã lưu {stored} bản ghi, {duplicate} bản ghi trùng lặp.",
        "Completed: {stored} records stored, {duplicate} duplicates.",
    ),
    "completed_with_errors": Text(
        "Hoàn tất, có lỗi: đã lưu {stored} bản ghi, {rejected} bị từ chối, {duplicate} trùng lặp.",
        "Completed with errors: {stored} records stored, {rejected} rejected, {duplicate} duplicates.",
    ),
    "failed": Text(
        "Thất bại: {unreadable} thông điệp không đọc được, nên lượt quét thiếu bản ghi. "
        "Hãy gửi lại các bản ghi còn thiếu.",
        "Failed: {unreadable} message(s) could not be read, so records are missing. Send the missing records again.",
    ),
    "cancelled": Text(
        "Đã hủy: {reason} {stored} bản ghi đã lưu trước đó được giữ lại.",
        "Cancelled: {reason} The {stored} records stored before are kept.",
    ),
}

CANCEL_REASONS: Final[dict[str, Text]] = {
    "by_request": Text("theo yêu cầu.", "on request."),
    "publish_failed": Text(
        "không thể đưa đủ bản ghi vào hàng đợi, hãy gửi lại lượt quét.",
        "not all records could be queued, submit the scan again.",
    ),
    "upload_aborted": Text(
        "kết nối bị ngắt khi đang gửi, hãy gửi lại lượt quét.", "the upload broke off, submit the scan again."
    ),
    "upload_refused": Text(
        "dữ liệu gửi lên vượt giới hạn hoặc không đọc được.", "the upload was over a limit or could not be read."
    ),
}


def status_message(scan: Scan) -> dict[str, str]:
    """One sentence on where the scan stands, in both languages."""
    key: str = scan.status
    if key == "processing" and scan.records_total is None:
        key = "processing_open"
    reason = CANCEL_REASONS.get(scan.cancel_reason or "", CANCEL_REASONS["by_request"])
    counts = {
        "done": scan.accounted,
        "total": scan.records_total or 0,
        "stored": scan.records_stored,
        "rejected": scan.records_rejected,
        "duplicate": scan.records_duplicate,
        "unreadable": scan.messages_unreadable,
    }
    return {
        language: getattr(_STATE_TEXTS[key], language).format(
            reason=getattr(reason, language), **{name: number(value, language) for name, value in counts.items()}
        )
        for language in ("vi", "en")
    }


def error_sample(index: int | None, activity_key: str | None, error: FieldError) -> ErrorSample:
    """A rejected record in the form of the status."""
    return ErrorSample(index, activity_key, error.code, error.pointer, error.messages_for(index))


def status_of(scan: Scan) -> ScanStatus:
    """What is told of a scan."""
    return ScanStatus(
        scan_id=scan.scan_id,
        tenant_id=scan.tenant_id,
        status=scan.status,
        source=scan.source,
        records_total=scan.records_total,
        records_stored=scan.records_stored,
        records_rejected=scan.records_rejected,
        records_duplicate=scan.records_duplicate,
        records_sensitive=scan.records_sensitive,
        records_cross_border=scan.records_cross_border,
        messages_unreadable=scan.messages_unreadable,
        progress=scan.progress,
        errors_sample=scan.errors_sample,
        submitted_at=scan.submitted_at,
        started_at=scan.started_at,
        finished_at=scan.finished_at,
        version=scan.version,
        message=status_message(scan),
        request_digest=scan.request_digest,
        cancel_reason=scan.cancel_reason,
    )


PAUSES: Final[dict[WaitReason, Text]] = {
    "database": Text(
        "cơ sở dữ liệu chưa nhận dữ liệu; không mất dữ liệu, sẽ tự tiếp tục.",
        "the database takes no data now; nothing is lost, it goes on by itself.",
    ),
    "dead_letter_topic": Text(
        "Kafka chưa nhận các thông điệp không đọc được; không mất dữ liệu, sẽ tự tiếp tục.",
        "Kafka does not take the messages that cannot be read; nothing is lost, it goes on by itself.",
    ),
    "dead_letter_limit": Text(
        "quá nhiều thông điệp không đọc được; không mất dữ liệu, đang chờ người vận hành kiểm tra.",
        "too many messages cannot be read; nothing is lost, an operator has to look at them.",
    ),
    "log_replaced": Text(
        "nhật ký Kafka không còn là phần đã đọc (topic bị tạo lại hoặc mất phần cuối); không bỏ qua gì, đang chờ người vận hành.",
        "Kafka's log is not what was read of it (made anew, or its end lost); nothing is skipped, an operator decides.",
    ),
    "unexpected": Text(
        "lỗi ngoài dự kiến; không mất dữ liệu, sẽ tự thử lại.",
        "an unexpected error; nothing is lost, it is tried again by itself.",
    ),
    "standing": Text(
        "việc ghi kéo dài bất thường; không mất dữ liệu, sẽ tự tiếp tục.",
        "writing takes unusually long; nothing is lost, it goes on by itself.",
    ),
}
_WAITING: Final = Text("Tạm dừng: ", "Paused: ")


def paused_status(status: ScanStatus, reason: WaitReason) -> ScanStatus:
    """The same status, saying that the scan waits, and for what."""
    text = PAUSES[reason]
    message = {
        "vi": f"{status.message['vi']} {_WAITING.vi}{text.vi}",
        "en": f"{status.message['en']} {_WAITING.en}{text.en}",
    }
    return msgspec.structs.replace(status, paused=True, message=message)


encode_status: Final = msgspec.json.Encoder().encode
decode_status: Final = msgspec.json.Decoder(ScanStatus).decode
