"""The headers of messages as JSON Schema, for the AsyncAPI document: every one that is read, and every one that is written."""

from typing import Any, Final

from schemas import topics
from schemas.errors import MESSAGE_ERRORS, Text

Schema = dict[str, Any]


def both(text: Text) -> str:
    """A description, in both languages."""
    return f"{text.vi} / {text.en}"


def _header(text: Text, **schema: Any) -> Schema:
    return {"type": "string", "description": both(text), **schema}


_SCAN_ID: Final = _header(Text("Mã lượt quét, UUID.", "The scan id, a UUID."), format="uuid")
_TRACE: Final = _header(
    Text("W3C Trace Context, được chuyển tiếp nguyên vẹn.", "W3C Trace Context, carried through untouched.")
)
_CONTENT_TYPE: Final = _header(
    Text("Kiểu nội dung, application/json.", "The value's type, application/json."), const="application/json"
)
_FIRST_INDEX: Final = _header(
    Text(
        "Thứ tự, đếm từ 0, của bản ghi đầu tiên trong lượt quét. Nhờ nó một mảng gửi lại không bị tính hai lần.",
        "Zero-based index within the scan of the first record. It is how an array sent again is not counted twice.",
    ),
    pattern="^[0-9]{1,10}$",
)
_MENDS: Final = _header(
    Text(
        "Mỗi bản ghi thay cho lần từ chối nào, theo thứ tự bản ghi: thứ tự của bản ghi trong lượt quét, hoặc r và mã "
        "của lần từ chối nếu bản ghi không có thứ tự.",
        "Which rejection each record takes the place of, in the order of the records: the record's index within the "
        "scan, or r and the rejection's id where it had none.",
    ),
    pattern="^(?:[0-9]{1,10}|r[1-9][0-9]{0,17})(?:,(?:[0-9]{1,10}|r[1-9][0-9]{0,17})){0,999}$",
)
# Scanline's own: publishers do not write them.
_SENT_AGAIN: Final = {
    topics.RETRY_LETTER: _header(
        Text(
            "Chỉ khi `scanline dlq retry` gửi lại: là thông điệp lỗi nào, phân_vùng:offset:mili_giây.",
            "Only where `scanline dlq retry` sent it again: which dead letter it was, partition:offset:milliseconds.",
        ),
        pattern="^[0-9]{1,9}:[0-9]{1,18}:[0-9]{1,18}$",
    ),
    topics.RETRY_COUNT: _header(
        Text("Đến nay đã gửi lại bao nhiêu lần.", "How often it has been sent again by now."), pattern="^[0-9]+$"
    ),
}
_REASONS: Final = {
    topics.DLQ_REASON: _header(Text("Mã lý do.", "The reason's code."), enum=sorted(MESSAGE_ERRORS)),
    topics.DLQ_TOPIC_HEADER: _header(Text("Chủ đề gốc.", "The topic it came from.")),
    topics.DLQ_PARTITION: _header(Text("Phân vùng gốc.", "The partition it came from."), pattern="^[0-9]+$"),
    topics.DLQ_OFFSET: _header(Text("Offset gốc.", "The offset it came from."), pattern="^[0-9]+$"),
    topics.DLQ_FAILED_AT: _header(
        Text("Thời điểm bị từ chối, mili giây từ 1970 (UTC).", "When it was refused, milliseconds since 1970 (UTC)."),
        pattern="^[0-9]+$",
    ),
    topics.DLQ_NOT_KEPT: _header(
        Text(
            "Chỉ khi nội dung quá lớn và không được giữ lại, thông điệp này không có giá trị: số byte của nội dung đó.",
            "Only where the value was too large and was not kept, and this letter has none: how many bytes it had.",
        ),
        pattern="^[0-9]+$",
    ),
    topics.DLQ_LAST_OFFSET: _header(
        Text(
            "Đi cùng với tiêu đề trên: offset gốc cuối cùng mà thông điệp này thay cho.",
            "Beside the header above: the last offset that this letter stands for.",
        ),
        pattern="^[0-9]+$",
    ),
}
_ALWAYS: Final = (topics.DLQ_REASON, topics.DLQ_TOPIC_HEADER, topics.DLQ_PARTITION, topics.DLQ_OFFSET)


def message_headers(kind: str) -> Schema:
    """Of a message of this type on scan.records.v1."""
    headers: dict[str, Schema] = {
        topics.HEADER_TYPE: {"type": "string", "const": kind},
        topics.HEADER_SUBJECT: _SCAN_ID,
        topics.HEADER_SPEC_VERSION: {"type": "string", "const": "1.0"},
        topics.HEADER_ID: _header(Text("Mã của thông điệp.", "Id of the message.")),
        topics.HEADER_SOURCE: _header(Text("Bên gửi, dạng URI.", "Who sends, as a URI reference.")),
        topics.HEADER_TIME: _header(Text("Thời điểm gửi.", "When it was sent."), format="date-time"),
        topics.HEADER_TRACEPARENT: _TRACE,
    }
    required = [topics.HEADER_TYPE, topics.HEADER_SUBJECT]
    if kind in (topics.RECORDS, topics.MENDED):
        headers["content-type"] = _CONTENT_TYPE
    if kind == topics.RECORDS:
        headers[topics.HEADER_FIRST_INDEX] = _FIRST_INDEX
    if kind == topics.MENDED:
        required.append(topics.HEADER_MENDS)
        headers[topics.HEADER_MENDS] = _MENDS
    return {"type": "object", "required": required, "properties": headers | _SENT_AGAIN}


def dead_letter_headers() -> Schema:
    """Of a message of scan.dlq.v1, besides those that it came with."""
    return {"type": "object", "required": sorted(_ALWAYS), "properties": _REASONS | _SENT_AGAIN}
