"""The bodies and answers of the calls, as types: the answers are encoded from them where they are made here, and
/openapi.json is generated from them (producer_api.http.openapi)."""

import datetime as dt
import uuid
from typing import Annotated, Any, Final, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from producer_api.http.cursors import CURSOR_PATTERN
from schemas import topics
from schemas.codes import BasicCategory, ScanState, SensitiveCategory
from schemas.errors import ALL_TEXTS, Text
from schemas.field_texts import ERROR_SAMPLE, RECORD, SCAN_STATUS
from schemas.header_schemas import both
from schemas.json_schemas import ROOTS
from schemas.messages import Language
from schemas.problems import PROBLEMS, REQUEST_ERRORS
from schemas.record import DateTime
from schemas.status import ScanStatus
from schemas.tables import ALL_CATEGORIES

MAX_INDEX: Final = 2_000_000_000
MAX_REJECTION: Final = 10**18 - 1
_Record: Final = ROOTS["Record"]  # with `attributes` as the object that it is


def _said(vi: str, en: str, **more: Any) -> Meta:
    return Meta(description=both(Text(vi, en)), **more)


def _as(text: Text, **more: Any) -> Meta:
    return Meta(description=both(text), **more)


def _one_of(codes: Any) -> dict[str, Any]:
    return {"enum": sorted(codes)}


ScanId = Annotated[str, _as(SCAN_STATUS["scan_id"], extra_json_schema={"format": "uuid"})]
TenantId = Annotated[str, _as(SCAN_STATUS["tenant_id"], extra_json_schema={"pattern": topics.TENANT_ID_PATTERN})]
State = Annotated[ScanState, _as(SCAN_STATUS["status"])]
Both = Annotated[dict[str, str], _as(ERROR_SAMPLE["messages"])]
RecordCode = Annotated[str, _as(ERROR_SAMPLE["code"], extra_json_schema=_one_of(ALL_TEXTS))]
Pointer = Annotated[str, _as(ERROR_SAMPLE["pointer"])]
ActivityKey = Annotated[str | None, _as(ERROR_SAMPLE["activity_key"])]
Count = Annotated[int, Meta(ge=0)]
Index = Annotated[Annotated[int, Meta(ge=0, le=MAX_INDEX)] | None, _as(ERROR_SAMPLE["index"])]
NextCursor = Annotated[
    Annotated[str, Meta(pattern=CURSOR_PATTERN)] | None,
    _said(
        "Con trỏ của trang sau; null ở trang cuối. Chỉ dựa vào đây, không dựa vào số mục của trang.",
        "Cursor of the next page; null on the last. Go by this alone, not by how many items a page has.",
    ),
]


class Links(Struct, rename={"self_": "self"}):
    """Paths of this API that lead to the scan."""

    self_: str
    events: str
    errors: str
    cancel: str | UnsetType = UNSET


class Accepted(Struct):
    """A scan that is queued."""

    scan_id: ScanId
    tenant_id: TenantId
    status: State
    records: Annotated[Count, _said("Số bản ghi đã nhận.", "How many records were taken.")]
    replayed: Annotated[
        bool,
        _said(
            "Lượt quét đã được nhận từ trước với cùng Idempotency-Key.",
            "It was taken before, under the same Idempotency-Key.",
        ),
    ]
    links: Links


class CorrectionsAccepted(Struct):
    """Corrections on their way."""

    scan_id: ScanId
    tenant_id: TenantId
    records: Annotated[Count, _said("Số bản ghi sửa lại đã nhận.", "How many corrections were taken.")]
    left: Annotated[
        Count, _said("Số mục có record là null: vẫn bị từ chối.", "How many came with record null: they stay rejected.")
    ]
    version: Annotated[
        Count,
        _said(
            "Khi tình trạng của lượt quét đến phiên bản này thì mọi bản ghi đã được xét.",
            "Once the status of the scan has this version, all of them have been judged.",
        ),
    ]
    links: Links


class CancellationAccepted(Struct):
    """A cancellation on its way; the status tells what came of it."""

    scan_id: ScanId
    tenant_id: TenantId
    status: State
    cancelling: bool
    message: Both


class ScanPage(Struct):
    """Scans, newest first."""

    scans: list[ScanStatus]
    next_cursor: NextCursor


class Reason(Struct):
    """One thing that is wrong with a record."""

    code: RecordCode
    pointer: Pointer
    messages: Both


class InvalidRecord(Struct):
    """A record that would be rejected: the first thing that is wrong, and all of them under `errors`."""

    index: Annotated[Count, _as(ERROR_SAMPLE["index"])]
    activity_key: ActivityKey
    code: RecordCode
    pointer: Pointer
    messages: Both
    errors: Annotated[list[Reason], Meta(min_length=1)]


class ValidationReport(Struct):
    """The report of a validation: what the records would come to."""

    records_total: Count
    records_valid: Count
    records_rejected: Count
    records_duplicate: Count
    records_sensitive: Count
    records_cross_border: Count
    errors: Annotated[list[InvalidRecord], Meta(max_length=1_000)]
    errors_truncated: Annotated[
        bool, _said("Có bản ghi lỗi không được liệt kê.", "There are invalid records that are not listed.")
    ]


class RejectedRecord(Struct):
    """A rejected record: why (the first thing that is wrong, and up to 50 under `errors`), and the record as it came,
    ready to be corrected and sent back."""

    id: Annotated[int, Meta(ge=1, le=MAX_REJECTION)]
    index: Index
    activity_key: ActivityKey
    code: RecordCode
    pointer: Pointer
    messages: Both
    errors: Annotated[list[Reason], Meta(min_length=1, max_length=50)]
    record: Annotated[
        Raw, _said("Bản ghi như đã nhận, bất kể là JSON gì.", "The record as it came, whatever JSON it is.")
    ]
    rejected_at: DateTime
    record_base64: Annotated[
        str | UnsetType,
        _said(
            "Byte của bản ghi không phải JSON đọc được; khi đó record là null.",
            "The bytes of a record that is no readable JSON; record is null then.",
            extra_json_schema={"contentEncoding": "base64"},
        ),
    ] = UNSET


class RejectedRecordPage(Struct):
    """Rejected records, in the order they were rejected."""

    errors: list[RejectedRecord]
    next_cursor: NextCursor


def _activity_fields() -> list[Any]:
    """The fields of a stored record: its own, and what Scanline knows of it."""
    own: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(_Record)}
    own["attributes"] = own["attributes"] | None
    own |= {
        "tenant_id": TenantId,
        "scan_id": Annotated[uuid.UUID, _as(SCAN_STATUS["scan_id"])],
        "record_index": Index,
        "sensitive": Annotated[bool, _said("Có dữ liệu nhạy cảm.", "It has sensitive data.")],
        "cross_border": Annotated[bool, _said("Xuyên biên giới.", "It crosses the border.")],
        "stored_at": DateTime,
        "attributes_left_out": Annotated[
            bool | UnsetType,
            _said("attributes cũ không đọc được nên là null.", "attributes of old that no client could read are null."),
        ],
    }
    described = {name: Annotated[kind, _as(RECORD[name])] if name in RECORD else kind for name, kind in own.items()}
    return [
        (name, kind, UNSET) if name == "attributes_left_out" else (name, kind)
        for name, kind in sorted(described.items(), key=lambda each: each[0] == "attributes_left_out")
    ]


ProcessingActivity: Final = msgspec.defstruct(
    "ProcessingActivity", _activity_fields(), namespace={"__doc__": "A stored record, and what is known of it."}
)


class ProcessingActivityPage(Struct):
    """Processing activities, by scan and activity_key."""

    processing_activities: list[ProcessingActivity]  # type: ignore[valid-type]  # made at run time
    next_cursor: NextCursor


class DailyCount(Struct):
    """The records that a tenant stored on a day, of one category."""

    day: Annotated[dt.date, _said("Ngày lưu, giờ Việt Nam.", "The day they were stored, in Vietnam.")]
    category: Annotated[
        str,
        _said(
            "Loại dữ liệu; all là mọi bản ghi, mỗi bản ghi một lần. Bản ghi nhiều loại được đếm ở từng loại.",
            "The category; all is every record, once. A record of several categories counts in each.",
            extra_json_schema=_one_of([ALL_CATEGORIES, *get_args(BasicCategory), *get_args(SensitiveCategory)]),
        ),
    ]
    stored: Annotated[Count, _said("Số bản ghi đã lưu.", "Records stored.")]
    sensitive: Annotated[
        Count,
        _said("Trong đó có dữ liệu nhạy cảm, thuộc loại bất kỳ.", "Of these, with sensitive data of any category."),
    ]
    cross_border: Annotated[Count, _said("Trong đó xuyên biên giới.", "Of these, across the border.")]


class DailyCountPage(Struct):
    """Daily counts, by day and category."""

    daily_counts: list[DailyCount]
    next_cursor: NextCursor


class RequestError(Struct, omit_defaults=True):
    """One place of a request that is wrong: a JSON pointer into the body, or a parameter's name."""

    code: Annotated[str, Meta(extra_json_schema=_one_of(REQUEST_ERRORS))]
    messages: Both
    pointer: Pointer | UnsetType = UNSET
    parameter: str | UnsetType = UNSET


class Problem(Struct):
    """RFC 9457. `title` and `detail` are in the language of Accept-Language; the last members are there where they
    apply."""

    type: Annotated[str, Meta(pattern="^urn:scanline:problem:[a-z_]+$")]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    code: Annotated[str, Meta(extra_json_schema=_one_of(PROBLEMS))]
    messages: Both
    instance: str | UnsetType = UNSET
    errors: list[RequestError] | UnsetType = UNSET
    limit: Annotated[int, _said("Giới hạn bị vượt.", "The limit that was hit.")] | UnsetType = UNSET
    pointer: Pointer | UnsetType = UNSET
    line: Annotated[int, _said("Dòng bị lỗi, đếm từ 1.", "The line at fault, from 1.")] | UnsetType = UNSET
    records: Annotated[Count, _said("Số bản ghi đã nhận.", "How many records were taken.")] | UnsetType = UNSET
    scan_id: ScanId | UnsetType = UNSET
    scan_status: State | UnsetType = UNSET


class Submission(Struct, forbid_unknown_fields=True):
    """A scan in one body. A record that breaks a rule is rejected alone, later; the scan is taken."""

    records: list[_Record]  # type: ignore[valid-type]  # made at run time
    source: Annotated[str, Meta(max_length=200)] | None = None
    language: Language | None = None
    notify: Annotated[str, Meta(max_length=300)] | None = None
    complete: Annotated[
        bool,
        _said(
            "Với danh sách rỗng: lượt quét đã chạy xong và không tìm thấy gì.",
            "With an empty list: the scan ran to its end and found nothing.",
        ),
    ] = False


class Correction(Struct):
    """A correction: an entry of the rejected records with `record` changed. Other members are passed
    over."""

    record: Annotated[_Record | None, _said("null: vẫn bị từ chối.", "null: it stays rejected.")]  # type: ignore[valid-type]  # made at run time
    index: Index = None
    id: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_REJECTION)] | None,
        _said("Mã của lần từ chối; cần khi index là null.", "The id of the rejection; needed where index is null."),
    ] = None


class Corrections(Struct, forbid_unknown_fields=True):
    """Corrections of one scan. Where one of them is none, nothing of the body is taken."""

    corrections: Annotated[list[Correction], Meta(min_length=1)]


ALL: Final[list[Any]] = [
    Accepted,
    CorrectionsAccepted,
    CancellationAccepted,
    ScanPage,
    ValidationReport,
    RejectedRecordPage,
    ProcessingActivityPage,
    DailyCountPage,
    Problem,
    Submission,
    Corrections,
]
