"""Reads the headers of a request: kind of body, Idempotency-Key, Prefer, traceparent."""

import re
from typing import Final, Literal

from starlette.requests import Request

from producer_api.http.problems import ApiProblem
from schemas.format_mistakes import FORM

BodyKind = Literal["json", "ndjson"]
_KINDS: Final[dict[str, BodyKind]] = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
}
_FORMS: Final = (
    "application/x-www-form-urlencoded",
    "multipart/form-data",
)  # what `curl -d` and `curl -F` say by themselves
# Published, so in the words that ECMA-262 and Python have in common, and without flags.
KEY_PATTERN: Final = r'^(?:"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"|([\x21\x23-\x7e]{1,255}))$'
TRACE_PATTERN: Final = r"^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$"
WAIT_PATTERN: Final = r'(?:^|[,; \t])[Ww][Aa][Ii][Tt][ \t]*=[ \t]*"?([0-9]{1,4})"?(?=$|[,; \t])'
_OWS: Final = (
    " \t"  # all the white space that may surround a value (RFC 9110, 5.6.3); str.strip() takes U+00A0 off, too
)
_KEY: Final = re.compile(KEY_PATTERN)
_TRACE: Final = re.compile(TRACE_PATTERN)
_WAIT: Final = re.compile(WAIT_PATTERN)


def body_kind(request: Request) -> BodyKind:
    """Raises ApiProblem content_type_unsupported, format_unsupported."""
    media, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if media.strip() in _FORMS:
        raise ApiProblem("format_unsupported", headers={"Accept-Post": ", ".join(_KINDS)}, format=FORM)
    kind = _KINDS.get(media.strip())
    charset = re.search(r"charset\s*=\s*\"?([a-z0-9_-]+)", parameters)
    if kind is None or (charset is not None and charset[1] not in ("utf-8", "utf8", "us-ascii")):
        raise ApiProblem("content_type_unsupported", headers={"Accept-Post": ", ".join(_KINDS)})
    return kind


def idempotency_key(request: Request) -> str | None:
    """The key without its quotes (a structured-field string, RFC 9651, or a bare token). Raises ApiProblem."""
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    match = _KEY.fullmatch(values[0].strip(_OWS)) if len(values) == 1 else None
    if match is None:
        raise ApiProblem("idempotency_key_invalid")
    return re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]


def wait_seconds(request: Request, most: float) -> float | None:
    """Prefer: wait=N (RFC 7240, 4.3), capped; None without it or with something else in its place."""
    match = _WAIT.search(", ".join(request.headers.getlist("prefer")))
    return min(float(match[1]), most) if match else None


def traceparent(request: Request) -> str | None:
    """The W3C trace context, where it has the right form; anything else is dropped, as the recommendation asks."""
    value = request.headers.get("traceparent", "").strip(_OWS)
    return value if _TRACE.fullmatch(value) else None
