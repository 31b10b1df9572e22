"""The routes about scans that exist: list, status, events, rejected records, cancelling."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import Response, StreamingResponse

from producer_api.http import event_stream, openapi
from producer_api.http.answers import CancellationAccepted
from producer_api.http.caller import Caller, caller
from producer_api.http.cursors import CURSOR_PATTERN, key_of
from producer_api.http.headers import traceparent
from producer_api.http.page import PageBounds, page_answer, page_of
from producer_api.http.parameters import refuse_parameters
from producer_api.http.problems import PAGE_LIMIT, ApiProblem
from producer_api.kafka.publisher import PublishFailed
from producer_api.kafka.status_messages import Key
from producer_api.kafka.statuses import StatusEntry
from producer_api.reads import ReadsUnavailable
from producer_api.services import Services, is_scan_id, services
from producer_api.uploads.upload import cancel_scan
from schemas.codes import ScanState
from schemas.errors import Text

router = APIRouter()
_JSON: Final = "application/json"
_NDJSON: Final = "application/x-ndjson"
_CANCELLING: Final = Text(
    "Yêu cầu hủy có hiệu lực khi đến lượt: bản ghi gửi trước đó vẫn được lưu, bản ghi đến sau bị từ chối; lượt quét đã đủ bản ghi "
    "khi đó thì vẫn hoàn tất. Trạng thái cho biết kết quả.",
    "The cancellation takes effect in its turn: records sent before it are still stored, later ones are rejected, and a scan "
    "that is complete by then stays complete. The status tells.",
)
Limit = Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="items of the page, at most")]
# checked by `key_of`; the pattern is for those who read the document
Cursor = Annotated[
    str | None,
    Query(description="`next_cursor` of the page before", json_schema_extra={"pattern": CURSOR_PATTERN}),
]
ScanId = Annotated[str, Path(description="the scan's id, a UUID", json_schema_extra={"format": "uuid"})]


def json_answer(body: Any, status: int = 200) -> Response:
    """Encoded by msgspec; raw JSON inside stays as it is."""
    return Response(msgspec.json.encode(body), status, media_type=_JSON)


@router.get("/scans", **openapi.LIST)
async def list_scans(
    who: Caller = Depends(caller),
    service: Services = Depends(services),
    status: ScanState | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """Scans of the tenant, newest first."""
    if not service.follower.ready:
        raise service.later("statuses_unavailable")
    before = key_of(cursor, tuple[float, str]) if cursor is not None else None
    found = service.statuses.page(who.tenant_id, status, before, limit + 1)
    return page_answer("scans", page_of(found, lambda each: each[1].value, PageBounds(limit)), lambda each: each[0])


@router.get("/scans/{scan_id}", **openapi.STATUS)
async def status_of_scan(
    scan_id: ScanId, who: Caller = Depends(caller), service: Services = Depends(services)
) -> Response:
    """Where a scan stands."""
    _, entry = await service.found(who.tenant_id, scan_id)
    return Response(entry.value, 200, {"Cache-Control": "no-store"}, _JSON)


@router.get("/scans/{scan_id}/events", **openapi.EVENTS)
async def events(
    request: Request, scan_id: ScanId, who: Caller = Depends(caller), service: Services = Depends(services)
) -> Response:
    """Server-sent events (WHATWG HTML, section 9.2): one per change of the status, until the scan has ended.

    A client that knows the end already gets 204: an EventSource comes back after every other end of a stream, for ever.
    """
    scan_id, entry = await service.found(who.tenant_id, scan_id)
    seen = request.headers.get("last-event-id")
    if entry.final and entry.event_id == seen:
        return Response(None, 204, event_stream.HEADERS)
    return event_stream.event_stream(_events(service, (who.tenant_id, scan_id), seen))


async def _events(service: Services, key: Key, seen: str | None) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    with service.statuses.watch(key) as changed:
        while True:
            changed.clear()
            entry = service.statuses.get(key)
            if entry is None:  # cleaned up
                return
            if entry.event_id != seen:
                seen = entry.event_id
                yield _event(entry)
            if entry.final:
                return
            if service.drain.ending:
                yield b": reconnect\n\n"  # the client does so by itself, with Last-Event-ID, after `retry`
                return
            try:
                async with asyncio.timeout(service.settings.api_heartbeat_seconds):
                    await service.drain.unless_ending(changed.wait())
            except TimeoutError:
                yield b": still here\n\n"


def _event(entry: StatusEntry) -> bytes:
    return b"id: %b\nevent: status\ndata: %b\n\n" % (entry.event_id.encode(), entry.value)


@router.get("/scans/{scan_id}/errors", **openapi.ERRORS)
async def errors(
    request: Request,
    scan_id: ScanId,
    who: Caller = Depends(caller),
    service: Services = Depends(services),
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """Rejected records: pages of JSON, or with `Accept: application/x-ndjson` all of them, a line each."""
    as_lines = _NDJSON in request.headers.get("accept", "")
    if as_lines:
        refuse_parameters(request, ("cursor", "limit"), "parameter_of_pages")
    after = key_of(cursor, int) if cursor is not None else 0
    try:
        scan_id = await _stored(service, who.tenant_id, scan_id)
        if as_lines:
            lines = service.reader.all_errors(who.tenant_id, scan_id)
            first = await run_in_threadpool(next, lines, b"")  # what can go wrong goes wrong before the answer begins
            name = f'attachment; filename="{scan_id}-errors.ndjson"'
            return StreamingResponse(_after(first, lines), 200, {"Content-Disposition": name}, _NDJSON)
        page = await run_in_threadpool(service.reader.errors, who.tenant_id, scan_id, after, PageBounds(limit))
    except ReadsUnavailable:
        raise service.later("reads_unavailable") from None
    return page_answer("errors", page, lambda row: row.id)


async def _stored(service: Services, tenant_id: str, scan_id: str) -> str:
    """The scan id in its canonical form. What is rejected is in PostgreSQL a moment before its status is published, so
    that one is asked, too. Raises ApiProblem, ReadsUnavailable."""
    try:
        return (await service.found(tenant_id, scan_id))[0]
    except ApiProblem as problem:
        known = problem.code == "scan_not_found" and is_scan_id(scan_id)
        if not known or not await run_in_threadpool(service.reader.has_scan, tenant_id, scan_id.lower()):
            raise
        return scan_id.lower()


async def _after(first: bytes, rest: Any) -> AsyncIterator[bytes]:
    yield first
    async for piece in iterate_in_threadpool(rest):
        yield piece


@router.post("/scans/{scan_id}/cancel", **openapi.CANCEL)
async def cancel(
    request: Request, scan_id: ScanId, who: Caller = Depends(caller), service: Services = Depends(services)
) -> Response:
    """Ends a scan: what is stored stays, what comes later is rejected."""
    scan_id, entry = await service.found(who.tenant_id, scan_id)
    if entry.final:
        raise ApiProblem("scan_finished", extra={"scan_id": scan_id, "scan_status": entry.state})
    try:
        deadline = service.settings.api_publish_deadline_seconds
        await cancel_scan(service.publisher, who.tenant_id, scan_id, traceparent(request), deadline)
    except PublishFailed:
        raise service.later("kafka_unavailable") from None
    message = {"vi": _CANCELLING.vi, "en": _CANCELLING.en}
    return json_answer(CancellationAccepted(scan_id, who.tenant_id, entry.state, True, message), 202)
