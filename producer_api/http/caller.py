"""The identity of the caller. This is the one seam for it: every route depends on `caller`, and nothing else asks who
it is."""

from typing import Annotated, NamedTuple

from fastapi import Path, Request

from producer_api.http.problems import ApiProblem
from schemas.messages import is_tenant_id
from schemas.topics import TENANT_ID_PATTERN


class Caller(NamedTuple):
    """The tenant and user on whose behalf the request is answered."""

    tenant_id: str


TenantId = Annotated[str, Path(description="the tenant's id", json_schema_extra={"pattern": TENANT_ID_PATTERN})]


async def caller(request: Request, tenant_id: TenantId) -> Caller:
    """Accepts everyone, for a tenant id of the right form. Runs before any byte of a body is read. Raises
    ApiProblem."""
    if not is_tenant_id(tenant_id):
        raise ApiProblem("tenant_invalid")
    return Caller(tenant_id)
