"""Every error a tenant or an operator can meet, with its Vietnamese and its English text side by side.

A text's placeholders are filled with names and limits, never with the value that was refused: it may be personal data.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

Params = dict[str, str | int]


class Text(NamedTuple):
    """One text in both languages; a str.format template."""

    vi: str
    en: str

    def fill(self, params: Mapping[str, object]) -> dict[str, str]:
        """{"vi": ..., "en": ...} with the placeholders filled. A parameter may itself be a Text."""
        return {
            language: template.format(
                **{k: (getattr(v, language) if isinstance(v, Text) else v) for k, v in params.items()}
            )
            for language, template in (("vi", self.vi), ("en", self.en))
        }


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a record was rejected: a code of RECORD_ERRORS, a JSON pointer (RFC 6901) into the record, and parameters."""

    code: str
    pointer: str = ""
    params: Params = {}

    @property
    def messages(self) -> dict[str, str]:
        """The reason in both languages, without the record's number. What is stored may be another version's."""
        try:
            return describe(self.code, self.pointer, self.params)
        except KeyError:
            return OF_ANOTHER_VERSION.fill({"reason": self.code})

    def messages_for(self, index: int | None) -> dict[str, str]:
        """The whole sentence in both languages. `index` is zero-based; people count from one."""
        reason = self.messages
        if index is None:
            return {"vi": f"Bản ghi bị từ chối: {reason['vi']}.", "en": f"The record was rejected: {reason['en']}."}
        return {
            "vi": f"Bản ghi thứ {index + 1} bị từ chối: {reason['vi']}.",
            "en": f"Record {index + 1} was rejected: {reason['en']}.",
        }


TYPE_WORDS: Final[dict[str, Text]] = {
    "text": Text("văn bản", "text"),
    "list": Text("danh sách", "a list"),
    "object": Text("đối tượng JSON", "a JSON object"),
    "integer": Text("số nguyên", "a whole number"),
    "number": Text("số", "a number"),
}

# Where an error was stored by a version that has other codes, or other parameters, than this one.
OF_ANOTHER_VERSION: Final = Text(
    "lý do «{reason}», do một phiên bản khác của Scanline ghi lại", "«{reason}», as another version of Scanline put it"
)
# What is wrong with a record. `field` is the pointer shown as a name: «purpose», «transfer/country».
RECORD_ERRORS: Final[dict[str, Text]] = {
    "record_not_object": Text(
        "dữ liệu không phải là một đối tượng JSON đúng cú pháp", "it is not a well-formed JSON object"
    ),
    "several_in_line": Text(
        "nhiều đối tượng JSON nằm trên cùng một dòng; mỗi bản ghi cần một dòng riêng (với curl, dùng --data-binary, vì -d bỏ "
        "các dấu xuống dòng)",
        "several objects in one line; each record needs a line of its own (with curl, use --data-binary, since -d takes the "
        "line ends away)",
    ),
    "number_not_finite": Text(
        "dữ liệu chứa NaN hoặc Infinity, những số mà JSON không có; hãy viết null hoặc bỏ trường đó",
        "it holds NaN or Infinity, which JSON does not have; write null, or leave the field out",
    ),
    "record_too_large": Text(
        "bản ghi lớn hơn giới hạn {max_bytes} byte", "the record is larger than the limit of {max_bytes} bytes"
    ),
    "encoding_invalid": Text("dữ liệu không phải là UTF-8 hợp lệ", "it is not valid UTF-8"),
    "nested_too_deep": Text(
        "dữ liệu JSON tại «{field}» lồng nhau sâu hơn {max} cấp",
        "the JSON at «{field}» is nested deeper than {max} levels",
    ),
    "unknown_field": Text(
        "trường «{field}» không có trong phiên bản 1 của bản ghi; thông tin thêm thuộc về «attributes»",
        "the field «{field}» is not part of record version 1; extra information belongs in «attributes»",
    ),
    "required": Text("thiếu trường bắt buộc «{field}»", "the required field «{field}» is missing"),
    "wrong_type": Text("trường «{field}» phải là {expected}", "the field «{field}» must be {expected}"),
    "text_empty": Text("trường «{field}» không được để trống", "the field «{field}» must not be empty"),
    "text_too_long": Text(
        "trường «{field}» dài hơn {max} ký tự", "the field «{field}» is longer than {max} characters"
    ),
    "text_nul": Text("trường «{field}» chứa ký tự NUL", "the field «{field}» contains a NUL character"),
    "text_control": Text(
        "trường «{field}» chứa ký tự điều khiển; chỉ cho phép dấu tab và xuống dòng",
        "the field «{field}» contains a control character; only tab and line feed are allowed",
    ),
    "text_surrogate": Text(
        "trường «{field}» chứa ký tự thay thế (surrogate) đơn lẻ", "the field «{field}» contains a lone surrogate"
    ),
    "text_bidi": Text(
        "trường «{field}» chứa ký tự đảo chiều văn bản", "the field «{field}» contains a bidirectional override"
    ),
    "list_too_short": Text(
        "danh sách «{field}» cần ít nhất {min} phần tử", "the list «{field}» needs at least {min} item(s)"
    ),
    "list_too_long": Text("danh sách «{field}» có hơn {max} phần tử", "the list «{field}» has more than {max} items"),
    "unknown_code": Text(
        "trường «{field}» chứa mã không thuộc danh mục", "the field «{field}» holds a code that is not in its list"
    ),
    "country_unknown": Text(
        "trường «{field}» không phải là mã quốc gia ISO 3166-1 gồm hai chữ hoa",
        "the field «{field}» is not an upper-case two-letter ISO 3166-1 country code",
    ),
    "out_of_range": Text(
        "trường «{field}» phải nằm trong khoảng từ {min} đến {max}",
        "the field «{field}» must lie between {min} and {max}",
    ),
    "datetime_invalid": Text(
        "trường «{field}» phải là thời điểm theo RFC 3339 có múi giờ (lệch UTC chưa đến 16 giờ; giây nhuận ghi là 59), "
        "ví dụ 2026-01-31T09:30:00+07:00",
        "the field «{field}» must be an RFC 3339 time with an offset (of less than 16 hours; a leap second is written "
        "as 59), for example 2026-01-31T09:30:00+07:00",
    ),
    "datetime_future": Text(
        "trường «{field}» ở tương lai quá {minutes} phút so với đồng hồ hệ thống",
        "the field «{field}» is more than {minutes} minutes ahead of the clock",
    ),
    "datetime_too_old": Text("trường «{field}» trước năm {year}", "the field «{field}» is before the year {year}"),
    "date_invalid": Text(
        "trường «{field}» phải là ngày dạng NĂM-THÁNG-NGÀY, ví dụ 2026-01-31",
        "the field «{field}» must be a date as YEAR-MONTH-DAY, for example 2026-01-31",
    ),
    "attributes_too_large": Text(
        "trường «{field}» lớn hơn {max_bytes} byte JSON khi mọi số được viết đủ chữ số",
        "the field «{field}» is larger than {max_bytes} bytes of JSON with every number written out",
    ),
    "number_too_long": Text(
        "số tại «{field}» có hơn {max} chữ số khi viết đầy đủ, không dùng số mũ; hãy làm tròn hoặc gửi dưới dạng văn bản",
        "the number at «{field}» has more than {max} digits when written out without an exponent; round it, or send it as text",
    ),
    "scan_cancelled": Text("lượt quét đã bị hủy trước khi bản ghi đến", "the scan was cancelled before it arrived"),
    "database_refused": Text(
        "cơ sở dữ liệu không nhận giá trị của bản ghi (SQLSTATE {sqlstate})",
        "the database does not accept a value of the record (SQLSTATE {sqlstate})",
    ),
}

# Why a whole message could not be read; it goes to the dead-letter topic with this reason.
MESSAGE_ERRORS: Final[dict[str, Text]] = {
    "type_unknown": Text(
        "Tiêu đề «ce_type» thiếu hoặc không được hỗ trợ.", "The header «ce_type» is missing or not supported."
    ),
    "tenant_invalid": Text(
        "Khóa của thông điệp không phải là mã tổ chức hợp lệ.", "The message key is not a valid tenant id."
    ),
    "scan_id_invalid": Text(
        "Tiêu đề «ce_subject» thiếu hoặc không phải là UUID.", "The header «ce_subject» is missing or not a UUID."
    ),
    "first_index_invalid": Text(
        "Tiêu đề «ce_firstindex» không phải là số nguyên không âm.",
        "The header «ce_firstindex» is not a whole number of at least 0.",
    ),
    "mends_invalid": Text(
        "Tiêu đề «ce_mends» thiếu, sai dạng, hoặc không có đúng một mục cho mỗi bản ghi.",
        "The header «ce_mends» is missing, has the wrong form, or not one entry for each record.",
    ),
    "message_unreadable": Text(
        "Nội dung thông điệp không phải là JSON đúng cú pháp, mã hóa UTF-8: một đối tượng, hoặc một mảng các đối tượng.",
        "The message's value is not well-formed JSON in UTF-8: one object, or an array of objects.",
    ),
    "message_too_large": Text("Thông điệp lớn hơn {max_bytes} byte.", "The message is larger than {max_bytes} bytes."),
    "batch_unreadable": Text(
        "Lô nén không giải nén được, hoặc giải nén ra quá lớn.",
        "The compressed batch cannot be unpacked, or unpacks to too much.",
    ),
    "message_too_many_records": Text(
        "Thông điệp chứa hơn {max} bản ghi.", "The message holds more than {max} records."
    ),
    "processing_failed": Text(
        "Hệ thống gặp lỗi ngoài dự kiến khi xử lý thông điệp; thông điệp được giữ lại để gửi lại sau khi sửa lỗi.",
        "The system met an unexpected error while it processed the message, which is kept to be sent again once that is mended.",
    ),
}

ALL_TEXTS: Final[dict[str, Text]] = RECORD_ERRORS | MESSAGE_ERRORS


def field_name(pointer: str) -> str:
    """A JSON pointer as people read it: "/transfer/country" is shown as "transfer/country"."""
    return pointer.removeprefix("/").replace("~1", "/").replace("~0", "~")


def describe(code: str, pointer: str = "", params: Params | None = None) -> dict[str, str]:
    """{"vi", "en"} of a record's or a message's error. Raises KeyError for a code that is not in the catalogue."""
    filled: dict[str, object] = {"field": field_name(pointer), **(params or {})}
    if "expected" in filled:
        filled["expected"] = TYPE_WORDS[str(filled["expected"])]
    return ALL_TEXTS[code].fill(filled)
