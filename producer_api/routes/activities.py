"""GET /processing-activities: what the compliance team reads."""

import uuid
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from producer_api.http import openapi
from producer_api.http.caller import Caller, caller
from producer_api.http.cursors import key_of
from producer_api.http.page import PageBounds, page_answer
from producer_api.reads import Filters, ReadsUnavailable
from producer_api.routes.scans import Cursor, Limit
from producer_api.services import Services, services
from schemas.codes import BasicCategory, SensitiveCategory

router = APIRouter()
# a NUL is in no activity_key, and PostgreSQL does not take one in a question either
_SortKey: Final = tuple[uuid.UUID, Annotated[str, msgspec.Meta(pattern="^[^\\0]*$")]]


@router.get("/processing-activities", **openapi.ACTIVITIES)
async def processing_activities(
    who: Caller = Depends(caller),
    service: Services = Depends(services),
    scan_id: uuid.UUID | None = None,
    category: Literal[BasicCategory, SensitiveCategory] | None = None,
    sensitive: bool | None = None,
    cross_border: bool | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """Stored records of the tenant, by scan and activity_key."""
    after = key_of(cursor, _SortKey) if cursor is not None else None
    filters = Filters(scan_id, category, sensitive, cross_border)
    try:
        page = await run_in_threadpool(service.reader.activities, who.tenant_id, filters, after, PageBounds(limit))
    except ReadsUnavailable:
        raise service.later("reads_unavailable") from None
    return page_answer("processing_activities", page, lambda row: (row.scan_id, row.activity_key))
