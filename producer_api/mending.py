"""POST /scans/{scan_id}/records: rejected records of a scan, mended, on their way to take the place of their rejections.

The body is what GET /scans/{scan_id}/errors gives, with `record` mended. Sending the same again changes nothing: a rejection is
taken away once. So nothing is remembered here, and a request that broke off is simply sent again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from producer_api import metrics, openapi
from producer_api.bodies import PIECE, BodyLimits, Records, drain, encoding_of, pieces
from producer_api.budget import Overloaded, Room
from producer_api.caller import Caller, caller
from producer_api.headers import body_kind, idempotency_key, traceparent, wait_seconds
from producer_api.problems import ApiProblem
from producer_api.publisher import Delivered, PublishFailed
from producer_api.services import Services, services
from producer_api.status_messages import Key
from schemas import topics
from schemas.messages import headers_for
from schemas.problems import quantity

router = APIRouter()
_NDJSON_ONLY: Final = {"Accept-Post": "application/x-ndjson"}


class Mend(msgspec.Struct):
    """A line of the body; whatever else /errors gave is taken and not looked at."""

    record: msgspec.Raw
    index: int | None = None
    id: int | None = None


_decode: Final = msgspec.json.Decoder(Mend).decode


class Mending:
    """One request's messages: at most 1,000 records and 768 KiB each, a bounded number of them on their way."""

    def __init__(self, service: Services, key: Key, trace: str | None, room: Room) -> None:
        self._service = service
        self._room = room
        self.key = key
        self._trace = trace
        self._records: list[bytes] = []
        self._mends: list[int] = []
        self.size = 2  # of the message begun
        self._outstanding: deque[asyncio.Future[Delivered]] = deque()
        self.lines = 0
        self.records = 0  # sent
        self.left = 0  # lines without a record: they stay rejected
        self.messages = 0  # published and not promised yet

    async def add(self, line: bytes) -> None:
        """Raises ApiProblem for a line that is none of /errors, and PublishFailed."""
        self.lines += 1
        mend = self._read(line)
        record = bytes(mend.record)
        if record == b"null":
            self.left += 1
            return
        if len(self._records) == topics.MAX_RECORDS_PER_MESSAGE or self.size + len(record) > topics.MAX_MESSAGE_BYTES:
            await self.flush(self._service.settings.api_stream_messages)
        self._records.append(record)
        self._mends.append(mend.index if mend.index is not None else -(mend.id or 0))
        self.size += len(record) + 1
        await self._room.grow_to(self.size)

    def _read(self, line: bytes) -> Mend:
        try:
            mend = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            mend = None
        numbered = mend is not None and mend.index is not None and 0 <= mend.index <= 2_000_000_000
        named = mend is not None and mend.index is None and mend.id is not None and 0 < mend.id < 10**18
        if mend is None or not (numbered or named):
            taken = self.lines - 1 - self.left  # published before the answer is given
            raise ApiProblem(
                "mend_invalid",
                position=quantity(self.lines),
                taken=quantity(taken),
                extra={"line": self.lines, "records": taken},
            )
        return mend

    async def flush(self, but: int = 0) -> None:
        """Publishes what was gathered, and waits until at most `but` messages are not acknowledged. Raises PublishFailed."""
        if self._records:
            headers = headers_for(
                topics.MENDED, self.key[1], mends=self._mends, source="/scanline/api", traceparent=self._trace
            )
            value = b"[" + b",".join(self._records) + b"]"
            sent = self._service.publisher.send(topics.RECORDS_TOPIC, self.key[0].encode(), value, headers)
            self._room.lend(len(value), sent)
            del value  # librdkafka has a copy of it
            self._outstanding.append(sent)
            self.messages += 1
            self.records += len(self._records)
            self._records, self._mends, self.size = [], [], 2
        try:
            async with asyncio.timeout(self._service.settings.api_publish_deadline_seconds):
                while len(self._outstanding) > but:
                    await self._outstanding.popleft()
        except TimeoutError:
            self._service.publisher.suspect()
            raise PublishFailed("not acknowledged in time") from None


@router.post("/scans/{scan_id}/records", **openapi.MEND)
async def mend_records(
    request: Request, scan_id: str, who: Caller = Depends(caller), service: Services = Depends(services)
) -> Response:
    """Takes mended records."""
    try:
        if body_kind(request) != "ndjson":
            raise ApiProblem("mend_content_type", headers=_NDJSON_ONLY)
        encoding_of(request)
        idempotency_key(request)  # its form; what it promises holds without it
        scan_id, before = await service.found(who.tenant_id, scan_id)
        if before.state == "cancelled":
            raise ApiProblem("scan_cancelled", extra={"scan_id": scan_id, "scan_status": before.state})
        await service.publisher.ensure_reachable()
        if service.backlog.too_long:
            raise service.later("backlog_too_long")
        async with service.room_for_lines() as room:
            mending = Mending(service, (who.tenant_id, scan_id), traceparent(request), room)
            await _take(request, service, mending, room)
    except ApiProblem:
        await drain(request)
        raise
    except PublishFailed:
        await drain(request)
        raise service.later("mends_not_queued") from None
    except Overloaded:
        await drain(request)
        raise service.later("overloaded") from None
    except ClientDisconnect:
        return Response(status_code=400)  # nobody is there to read it
    metrics.MENDED.inc(mending.records)
    return await _answer(request, who, service, mending, scan_id)


async def _take(request: Request, service: Services, mending: Mending, room: Room) -> None:
    settings = service.settings
    limits = BodyLimits(settings.api_ndjson_bytes, settings.api_ndjson_inflated_bytes, settings.api_inflation_ratio)
    body: AsyncIterator[bytes] = pieces(request, limits, service.patience)
    lines = Records(body, room)
    try:
        async for lot in lines:
            for line in lot:
                await mending.add(line)
            if mending.lines > settings.api_ndjson_records:
                most = settings.api_ndjson_records
                raise ApiProblem("too_many_records", limit=quantity(most), extra={"limit": most})
            await room.grow_to(PIECE + lines.size + mending.size)
    except (ApiProblem, Overloaded, ClientDisconnect):
        # what came before a line that is wrong, or before the client went away, is taken: it counts once, however often it comes
        await mending.flush()
        service.statuses.promise(mending.key, mending.messages)
        raise
    await mending.flush()


async def _answer(request: Request, who: Caller, service: Services, mending: Mending, scan_id: str) -> Response:
    location = f"/v1/tenants/{who.tenant_id}/scans/{scan_id}"
    headers = {"Location": location}
    wait = wait_seconds(request, service.settings.api_wait_seconds)
    # every message is a change of the scan of its own, whatever else changes it meanwhile
    key = (who.tenant_id, scan_id)
    version = service.statuses.promise(key, mending.messages)
    if wait is not None:
        headers["Preference-Applied"] = f"wait={wait:.0f}"
        reached = await service.drain.unless_ending(service.statuses.wait_version(key, version, wait))
        if reached is not None:
            return Response(reached.value, 200, headers, "application/json")
    body: dict[str, Any] = {
        "scan_id": scan_id,
        "tenant_id": who.tenant_id,
        "records": mending.records,
        "left": mending.left,
        "version": version,
        "links": {"self": location, "events": f"{location}/events", "errors": f"{location}/errors"},
    }
    return Response(msgspec.json.encode(body), 202, headers, "application/json")
