"""GET /daily-counts: how many records a tenant stored, by day and category, for the compliance team's reports."""

import datetime as dt
import re
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from producer_api.http import openapi
from producer_api.http.caller import Caller, caller
from producer_api.http.cursors import key_of
from producer_api.http.page import PageBounds, page_answer
from producer_api.reads import Days, ReadsUnavailable
from producer_api.routes.scans import Cursor, Limit
from producer_api.services import Services, services
from schemas.codes import BasicCategory, SensitiveCategory

router = APIRouter()
# a NUL is in no category, and PostgreSQL does not take one in a question either
_SortKey: Final = tuple[dt.date, Annotated[str, msgspec.Meta(pattern="^[a-z_]*$")]]
_DAY: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _day(value: Any) -> Any:
    """A day as it is written in RFC 3339; pydantic alone would take seconds since 1970 as well."""
    try:
        if _DAY.fullmatch(value):
            return dt.date.fromisoformat(value)
    except ValueError:
        pass
    raise PydanticCustomError("not_date", "not a day")


Day = Annotated[dt.date | None, BeforeValidator(_day)]


@router.get("/daily-counts", **openapi.DAILY_COUNTS)
async def daily_counts(
    who: Caller = Depends(caller),
    service: Services = Depends(services),
    since: Day = None,
    until: Day = None,
    category: Literal["all", BasicCategory, SensitiveCategory] | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """Records of the tenant by the day they were stored and by category."""
    after = key_of(cursor, _SortKey) if cursor is not None else None
    days = Days(since, until)
    try:
        page = await run_in_threadpool(
            service.reader.daily_counts, who.tenant_id, days, category, after, PageBounds(limit)
        )
    except ReadsUnavailable:
        raise service.later("reads_unavailable") from None
    return page_answer("daily_counts", page, lambda row: (row.day, row.category))
