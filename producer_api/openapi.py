"""What /openapi.json says beyond what FastAPI finds out by itself: bodies, headers, problems."""

from typing import Any, Final

from schemas.problems import PROBLEMS

_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "messages"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string", "enum": sorted(PROBLEMS)},
        "messages": {"type": "object", "properties": {"vi": {"type": "string"}, "en": {"type": "string"}}},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
_DETAILS: Final[dict[str, dict[str, Any]]] = {
    "source": {"type": "string", "maxLength": 200},
    "language": {"enum": ["vi", "en"]},
    "notify": {"type": "string", "maxLength": 300},
}
_SUBMISSION: Final = {
    "type": "object",
    "required": ["records"],
    "additionalProperties": False,
    "properties": {
        **_DETAILS,
        "records": {"type": "array", "maxItems": 10_000, "items": {"type": "object"}},
        "complete": {"type": "boolean", "description": "with an empty list: the scan ran to its end and found nothing"},
    },
}
_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {"schema": _SUBMISSION},
        "application/x-ndjson": {"schema": {"type": "string", "description": "one record a line"}},
    },
}
_OBJECT: Final = {"content": {"application/json": {"schema": {"type": "object"}}}}


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": "of an NDJSON body", "schema": schema}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """By status; `default` is named so that FastAPI adds no 422 of its own form where there can be none."""
    codes: dict[int | str, str] = {
        status: ", ".join(code for code, problem in PROBLEMS.items() if problem.status == status) for status in statuses
    }
    codes["default"] = "internal_error"
    return {
        status: {"description": text, "content": {"application/problem+json": {"schema": _PROBLEM}}}
        for status, text in codes.items()
    }


SUBMIT: Final[dict[str, Any]] = {
    "status_code": 202,
    "summary": "Gửi một lượt quét / Submit a scan",
    "responses": {
        200: {"description": "Prefer: wait was given and the scan has ended", **_OBJECT},
        202: {"description": "queued; Location names the scan", **_OBJECT},
        **_problems(400, 404, 409, 413, 415, 422, 503),
    },
    "openapi_extra": {
        "requestBody": _BODY,
        "parameters": [
            _header("Idempotency-Key", "makes the scan id; 1 to 255 printable ASCII characters"),
            _header("Prefer", "wait=N: answer when the scan has ended, after N seconds at most (RFC 7240)"),
            _header("Content-Encoding", "gzip or zstd"),
            _header("traceparent", "W3C Trace Context, carried through"),
            *(_query(name, schema) for name, schema in _DETAILS.items()),
        ],
    },
}
MEND: Final[dict[str, Any]] = {
    "status_code": 202,
    "summary": "Gửi lại bản ghi đã sửa / Send mended records again",
    "responses": {
        200: {"description": "Prefer: wait was given and the records have been judged: the scan's status", **_OBJECT},
        202: {"description": "taken; applied when the scan's version has reached `version`", **_OBJECT},
        **_problems(400, 404, 409, 413, 415, 422, 503),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/x-ndjson": {
                    "schema": {
                        "type": "string",
                        "description": "lines of GET .../errors, with `record` mended: index (or id, where index is null), record",
                    }
                }
            },
        },
        "parameters": [
            _header("Prefer", "wait=N: answer when the records have been judged, after N seconds at most (RFC 7240)"),
            _header("Idempotency-Key", "not needed: sending the same again changes nothing"),
            _header("Content-Encoding", "gzip or zstd"),
            _header("traceparent", "W3C Trace Context, carried through"),
        ],
    },
}
LIST: Final[dict[str, Any]] = {"summary": "Các lượt quét / Scans", "responses": _problems(404, 422, 503)}
STATUS: Final[dict[str, Any]] = {"summary": "Tình trạng / Status", "responses": _problems(404, 503)}
EVENTS: Final[dict[str, Any]] = {
    "summary": "Theo dõi tiến độ / Follow the progress (text/event-stream)",
    "responses": {
        200: {"description": "events", "content": {"text/event-stream": {}}},
        204: {"description": "the scan has ended, and Last-Event-ID is of its last event: do not come back"},
        **_problems(404, 503),
    },
    "openapi_extra": {"parameters": [_header("Last-Event-ID", "the last event the client has seen")]},
}
ERRORS: Final[dict[str, Any]] = {
    "summary": "Bản ghi bị từ chối / Rejected records (JSON pages or NDJSON)",
    "responses": _problems(404, 422, 503),
}
CANCEL: Final[dict[str, Any]] = {
    "status_code": 202,
    "summary": "Hủy lượt quét / Cancel a scan",
    "responses": _problems(404, 409, 503),
}
ACTIVITIES: Final[dict[str, Any]] = {
    "summary": "Hoạt động xử lý dữ liệu / Processing activities",
    "responses": _problems(404, 422, 503),
}
VALIDATE: Final[dict[str, Any]] = {
    "summary": "Kiểm tra, không lưu / Validate, nothing is stored",
    "responses": _problems(400, 404, 413, 415, 422, 503),
    "openapi_extra": {"requestBody": _BODY},
}
