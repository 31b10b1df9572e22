"""The parts of /openapi.json that FastAPI does not find out by itself, call by call: bodies, headers, answers,
problems.

The schemas are those of producer_api.http.answers, by reference; producer_api.http.description puts the document
together."""

from typing import Any, Final

from starlette.responses import StreamingResponse

from producer_api.http.headers import KEY_PATTERN, TRACE_PATTERN, WAIT_PATTERN
from schemas.problems import PROBLEMS

SCHEMAS: Final = "#/components/schemas/"
_JSON: Final = "application/json"
_NDJSON: Final = "application/x-ndjson"
Schema = dict[str, Any]
# To any request, before it is known which call it is for: told under `default`, or with others of their status.
_ANYWHERE: Final = (
    "internal_error",
    "head_too_slow",
    "head_too_large",
    "transfer_unsupported",
    "restarting",
    "too_many_connections",
)
_READING: Final = (  # of a body
    "http_malformed",
    "encoding_malformed",
    "compression_missing",
    "json_malformed",
    "json_too_deep",
    "ndjson_malformed",
    "several_in_line",
    "number_not_finite",
    "upload_too_slow",
    "body_too_large",
    "inflated_too_large",
    "inflation_too_high",
    "zstd_window_too_large",
    "too_many_records",
    "record_too_large",
    "content_type_unsupported",
    "content_encoding_unsupported",
    "json_not_ndjson",
    "ndjson_not_json",
    "charset_unsupported",
    "compression_undeclared",
    "compression_unsupported",
    "format_unsupported",
    "no_records",
    "overloaded",
)


def schema_of(name: str) -> Schema:
    """A component by its name."""
    return {"$ref": SCHEMAS + name}


def _parameter(place: str, name: str, text: str, **schema: Any) -> Schema:
    return {"name": name, "in": place, "required": False, "description": text, "schema": {"type": "string", **schema}}


def _header(name: str, text: str, **schema: Any) -> Schema:
    return _parameter("header", name, text, **schema)


def _answer(text: str, name: str, *headers: str) -> Schema:
    return {
        "description": text,
        "content": {_JSON: {"schema": schema_of(name)}},
        **({"headers": {each: _ANSWERED[each] for each in headers}} if headers else {}),
    }


def _problems(*codes: str) -> dict[int | str, Schema]:
    """Codes by status; `default` is named so that FastAPI adds no 422 of its own form where there can be none."""
    found: dict[int | str, list[str]] = {}
    for code in ("tenant_invalid", "request_invalid", *codes):
        found.setdefault(PROBLEMS[code].status, []).append(code)
    for code in _ANYWHERE:
        status = PROBLEMS[code].status
        found.setdefault(status if status in found else "default", []).append(code)
    return {status: _problem(status, ", ".join(each)) for status, each in found.items()}


def _problem(status: int | str, codes: str) -> Schema:
    return {
        "description": codes,
        "content": {"application/problem+json": {"schema": schema_of("Problem")}},
        **({"headers": {"Retry-After": _ANSWERED["Retry-After"]}} if status == 503 else {}),
    }


def _body(json: str, lines: str) -> Schema:
    return {
        "required": True,
        "content": {
            _JSON: {"schema": schema_of(json)},
            _NDJSON: {"schema": {"type": "string", "format": "binary", "description": lines}},
        },
    }


# Headers of answers. Each is there on every answer that has it in the document, unless its text says when.
_ANSWERED: Final = {
    "Location": {"description": "path of the scan", "required": True, "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "where the scan was taken before, under the same key",
        "schema": {"type": "string", "const": "true"},
    },
    "Preference-Applied": {
        "description": "where Prefer was heeded: wait, in seconds",
        "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
    },
    "Retry-After": {"description": "seconds", "required": True, "schema": {"type": "integer", "minimum": 1}},
    "Content-Disposition": {"description": "with NDJSON: a file name", "schema": {"type": "string"}},
}
_LANGUAGE: Final = _header(
    "Accept-Language", "of `title` and `detail` of problems: vi unless en is preferred", examples=["vi", "en"]
)
_KEY: Final = _header(
    "Idempotency-Key",
    "makes the scan id: 1 to 255 printable ASCII characters, in quotes where a space or a quote is among them",
    pattern=KEY_PATTERN,
    maxLength=512,
)
_KEY_UNNEEDED: Final = {**_KEY, "description": "not needed: sending the same again changes nothing"}
_PREFER: Final = _header(
    "Prefer",
    "wait=N: answer when the end is known, after N seconds at most (RFC 7240). Anything else is passed over",
    pattern=WAIT_PATTERN,
    examples=["wait=10"],
)
_ENCODING: Final = _header("Content-Encoding", "how the body is compressed", enum=["gzip", "zstd", "identity"])
_TRACE: Final = _header(
    "traceparent",
    "W3C Trace Context, carried through to Kafka. Anything else is passed over",
    pattern=TRACE_PATTERN,
)
_SEEN: Final = _header(
    "Last-Event-ID",
    "the last event that the client has seen; where it is none of the scan's, the status is told",
    pattern="^[0-9]+-[0-9a-f]+$",
    maxLength=40,
)
_DETAILS: Final = [
    _parameter("query", "source", "of an NDJSON body: who sends", maxLength=200),
    _parameter("query", "language", "of an NDJSON body: the sender's language", enum=["vi", "en"]),
    _parameter("query", "notify", "of an NDJSON body: where to tell of the end", maxLength=300),
]


def _call(operation: str, summary: str, responses: dict[int | str, Schema], **more: Any) -> dict[str, Any]:
    """Arguments of the route. `parameters` and `body` are those that FastAPI does not see."""
    extra: Schema = {"parameters": [*more.pop("parameters", ()), _LANGUAGE]}
    if "body" in more:
        extra["requestBody"] = more.pop("body")
    return {"operation_id": operation, "summary": summary, "responses": responses, "openapi_extra": extra, **more}


SUBMIT: Final = _call(
    "submitScan",
    "Gửi một lượt quét / Submit a scan",
    {
        200: _answer(
            "Prefer: wait was given and the scan has ended",
            "ScanStatus",
            "Location",
            "Preference-Applied",
            "Idempotency-Replayed",
        ),
        202: _answer("queued", "Accepted", "Location", "Preference-Applied", "Idempotency-Replayed"),
        **_problems(
            *_READING,
            "idempotency_key_invalid",
            "submission_in_progress",
            "idempotency_key_reused",
            "kafka_unavailable",
            "backlog_too_long",
            "scan_not_queued",
            "scan_unconfirmed",
        ),
    },
    status_code=202,
    body=_body("Submission", "one record a line"),
    parameters=[_KEY, _PREFER, _ENCODING, _TRACE, *_DETAILS],
)
CORRECT: Final = _call(
    "correctRecords",
    "Gửi lại bản ghi đã sửa / Send corrections",
    {
        200: _answer(
            "Prefer: wait was given and the records have been judged", "ScanStatus", "Location", "Preference-Applied"
        ),
        202: _answer(
            "taken; applied when the scan's version has reached `version`",
            "CorrectionsAccepted",
            "Location",
            "Preference-Applied",
        ),
        **_problems(
            *_READING,
            "idempotency_key_invalid",
            "scan_not_found",
            "scan_cancelled",
            "mend_invalid",
            "kafka_unavailable",
            "backlog_too_long",
            "mends_not_queued",
            "statuses_unavailable",
        ),
    },
    status_code=202,
    body=_body("Corrections", "lines of GET .../errors as NDJSON, with `record` corrected"),
    parameters=[_PREFER, _KEY_UNNEEDED, _ENCODING, _TRACE],
)
LIST: Final = _call(
    "listScans",
    "Các lượt quét / Scans",
    {200: _answer("a page", "ScanPage"), **_problems("cursor_invalid", "statuses_unavailable")},
)
STATUS: Final = _call(
    "getScan",
    "Tình trạng / Status",
    {200: _answer("as it is now", "ScanStatus"), **_problems("scan_not_found", "statuses_unavailable")},
)
EVENTS: Final = _call(
    "followScan",
    "Theo dõi tiến độ / Follow the progress (text/event-stream)",
    {
        200: {
            "description": "events: `data` is a ScanStatus",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        204: {"description": "the scan has ended, and Last-Event-ID is of its last event: do not come back"},
        **_problems("scan_not_found", "statuses_unavailable"),
    },
    parameters=[_SEEN],
    response_class=StreamingResponse,  # so that FastAPI adds no JSON
)
ERRORS: Final = _call(
    "listRejectedRecords",
    "Bản ghi bị từ chối / Rejected records (JSON pages or NDJSON)",
    {
        200: {
            "description": "a page; with Accept: application/x-ndjson all of them, one RejectedRecord a line",
            "content": {
                _JSON: {"schema": schema_of("RejectedRecordPage")},
                _NDJSON: {"schema": {"type": "string", "format": "binary"}},
            },
            "headers": {"Content-Disposition": _ANSWERED["Content-Disposition"]},
        },
        **_problems("scan_not_found", "cursor_invalid", "statuses_unavailable", "reads_unavailable"),
    },
)
CANCEL: Final = _call(
    "cancelScan",
    "Hủy lượt quét / Cancel a scan",
    {
        202: _answer("it takes effect in its turn", "CancellationAccepted"),
        **_problems("scan_not_found", "scan_finished", "statuses_unavailable", "kafka_unavailable"),
    },
    status_code=202,
    parameters=[_TRACE],
)
ACTIVITIES: Final = _call(
    "listProcessingActivities",
    "Hoạt động xử lý dữ liệu / Processing activities",
    {200: _answer("a page", "ProcessingActivityPage"), **_problems("cursor_invalid", "reads_unavailable")},
)
DAILY_COUNTS: Final = _call(
    "listDailyCounts",
    "Số bản ghi theo ngày và loại dữ liệu / Records by day and category",
    {200: _answer("a page", "DailyCountPage"), **_problems("cursor_invalid", "reads_unavailable")},
)
VALIDATE: Final = _call(
    "validateScan",
    "Kiểm tra, không lưu / Validate, nothing is stored",
    {200: _answer("what the records would come to", "ValidationReport"), **_problems(*_READING)},
    body=_body("Submission", "one record a line"),
    parameters=[_ENCODING],
)
