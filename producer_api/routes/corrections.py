"""POST /scans/{scan_id}/records: corrections of a scan's rejected records, on their way to replace the rejections.

The body is what GET /scans/{scan_id}/errors gives, with `record` corrected: its lines, or its entries as `corrections`.
Sending the same again changes nothing: a rejection is taken away once. So nothing is remembered here, and a request
that broke off is simply sent again."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Annotated, Final, NamedTuple

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from producer_api import metrics
from producer_api.http import openapi
from producer_api.http.answers import MAX_INDEX, MAX_REJECTION, CorrectionsAccepted, Links
from producer_api.http.bodies import PIECE, BodyLimits, Records, encoding_of, pieces, whole_body
from producer_api.http.budget import Overloaded, Room
from producer_api.http.caller import Caller, caller
from producer_api.http.headers import body_kind, idempotency_key, traceparent, wait_seconds
from producer_api.http.problems import ApiProblem, request_invalid
from producer_api.kafka.publisher import Delivered, PublishFailed
from producer_api.kafka.status_messages import Key
from producer_api.routes.reception import receiving
from producer_api.routes.scans import ScanId
from producer_api.services import Services, services
from schemas import topics
from schemas.messages import headers_for
from schemas.problems import quantity, request_error
from schemas.submission import Items, read_corrections

router = APIRouter()
_SHOWN: Final = 20  # corrections of a JSON body that are named as wrong


class CorrectionLine(msgspec.Struct):
    """A line of the body, or one of its corrections; whatever else /errors gave is taken and not looked at."""

    record: msgspec.Raw
    index: Annotated[int, msgspec.Meta(ge=0, le=MAX_INDEX)] | None = None
    id: Annotated[int, msgspec.Meta(ge=1, le=MAX_REJECTION)] | None = None

    @property
    def rejection(self) -> int | None:
        """The rejection as the envelope of a message names it: the record's index within the scan, or minus the id of
        its rejection."""
        return self.index if self.index is not None else -self.id if self.id is not None else None


_decode: Final = msgspec.json.Decoder(CorrectionLine).decode


class Correction(NamedTuple):
    """A correction and the rejection that it replaces; the record is None where it stays rejected."""

    rejection: int
    record: bytes | None


def correction_of(text: bytes) -> Correction | None:
    """The correction that a line or an entry of `corrections` holds; None where it is neither."""
    try:
        line = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    record = bytes(line.record)
    return None if line.rejection is None else Correction(line.rejection, None if record == b"null" else record)


class CorrectionUpload:
    """One request's messages: at most 1,000 records and 768 KiB each, a bounded number of them on their way."""

    def __init__(self, service: Services, key: Key, trace: str | None, room: Room) -> None:
        self._service = service
        self._room = room
        self.key = key
        self._trace = trace
        self._records: list[bytes] = []
        self._rejections: list[int] = []
        self.size = 2  # of the message begun
        self._outstanding: deque[asyncio.Future[Delivered]] = deque()
        self.lines = 0  # or corrections
        self.records = 0  # sent
        self.left = 0  # lines without a record: they stay rejected
        self.messages = 0  # published and not promised yet

    async def add_line(self, line: bytes) -> None:
        """Raises ApiProblem for a line that is none of /errors, and PublishFailed."""
        correction = correction_of(line)
        if correction is None:
            taken = self.lines - self.left  # published before the answer is given
            number = self.lines + 1
            raise ApiProblem(
                "mend_invalid",
                position=quantity(number),
                taken=quantity(taken),
                extra={"line": number, "records": taken},
            )
        await self.add(correction)

    async def add(self, correction: Correction) -> None:
        """Raises PublishFailed."""
        self.lines += 1
        record = correction.record
        if record is None:
            self.left += 1
            return
        if len(self._records) == topics.MAX_RECORDS_PER_MESSAGE or self.size + len(record) > topics.MAX_MESSAGE_BYTES:
            await self.flush(self._service.settings.api_stream_messages)
        self._records.append(record)
        self._rejections.append(correction.rejection)
        self.size += len(record) + 1
        await self._room.grow_to(self.size)

    async def flush(self, but: int = 0) -> None:
        """Publishes what was gathered, and waits until at most `but` messages are not acknowledged. Raises
        PublishFailed."""
        if self._records:
            headers = headers_for(
                topics.MENDED, self.key[1], mends=self._rejections, source="/scanline/api", traceparent=self._trace
            )
            value = b"[" + b",".join(self._records) + b"]"
            sent = self._service.publisher.send(topics.RECORDS_TOPIC, self.key[0].encode(), value, headers)
            self._room.lend(len(value), sent)
            del value  # librdkafka has a copy of it
            self._outstanding.append(sent)
            self.messages += 1
            self.records += len(self._records)
            self._records, self._rejections, self.size = [], [], 2
        try:
            async with asyncio.timeout(self._service.settings.api_publish_deadline_seconds):
                while len(self._outstanding) > but:
                    await self._outstanding.popleft()
        except TimeoutError:
            self._service.publisher.suspect()
            raise PublishFailed("not acknowledged in time") from None


@router.post("/scans/{scan_id}/records", **openapi.CORRECT)
async def mend_records(
    request: Request, scan_id: ScanId, who: Caller = Depends(caller), service: Services = Depends(services)
) -> Response:
    """Takes corrections."""
    async with receiving(request, service, not_queued="mends_not_queued"):
        kind = body_kind(request)
        encoding_of(request)
        idempotency_key(request)  # its form; what it promises holds without it
        scan_id, before = await service.found(who.tenant_id, scan_id)
        if before.state == "cancelled":
            raise ApiProblem("scan_cancelled", extra={"scan_id": scan_id, "scan_status": before.state})
        await service.ensure_accepting()
        key, trace = (who.tenant_id, scan_id), traceparent(request)
        take = _take_json if kind == "json" else _take_lines
        upload = await take(request, service, lambda room: CorrectionUpload(service, key, trace, room))
    metrics.MENDED.inc(upload.records)
    return await _answer(request, who, service, upload, scan_id)


async def _take_lines(
    request: Request, service: Services, begin: Callable[[Room], CorrectionUpload]
) -> CorrectionUpload:
    settings = service.settings
    limits = BodyLimits(settings.api_ndjson_bytes, settings.api_ndjson_inflated_bytes, settings.api_inflation_ratio)
    async with service.room_for_lines() as room:
        upload = begin(room)
        lines = Records(pieces(request, limits, service.patience), room)
        try:
            async for lot in lines:
                for line in lot:
                    await upload.add_line(line)
                if upload.lines > settings.api_ndjson_records:
                    most = settings.api_ndjson_records
                    raise ApiProblem("too_many_records", limit=quantity(most), extra={"limit": most})
                await room.grow_to(PIECE + lines.size + upload.size)
        except (ApiProblem, Overloaded, ClientDisconnect):
            # what came before a line that is wrong, or before the client went away, is taken: it counts once, however often it
            # comes
            await upload.flush()
            service.statuses.promise(upload.key, upload.messages)
            raise
        await upload.flush()
    return upload


async def _take_json(
    request: Request, service: Services, begin: Callable[[Room], CorrectionUpload]
) -> CorrectionUpload:
    """All or nothing, as far as the body decides: what is wrong with it is answered before anything is published."""
    settings = service.settings
    limits = BodyLimits(settings.api_json_bytes, settings.api_json_inflated_bytes, settings.api_inflation_ratio)
    async with service.room_for_all(request, limits) as room:
        body = await whole_body(request, limits, room, service.patience)
        corrections = _corrections(read_corrections(body, settings.api_json_records))
        del body
        upload = begin(room)
        while corrections:
            await upload.add(corrections.popleft())
        await upload.flush()
    return upload


def _corrections(items: Items) -> deque[Correction]:
    """Raises ApiProblem request_invalid."""
    found = [correction_of(bytes(each)) for each in items]
    wrong = [at for at, each in enumerate(found) if each is None]
    if wrong:
        raise request_invalid([request_error("correction_invalid", f"corrections/{at}") for at in wrong[:_SHOWN]])
    return deque(each for each in found if each is not None)


async def _answer(request: Request, who: Caller, service: Services, upload: CorrectionUpload, scan_id: str) -> Response:
    location = f"/v1/tenants/{who.tenant_id}/scans/{scan_id}"
    headers = {"Location": location}
    wait = wait_seconds(request, service.settings.api_wait_seconds)
    # every message is a change of the scan of its own, whatever else changes it meanwhile
    key = (who.tenant_id, scan_id)
    version = service.statuses.promise(key, upload.messages)
    if wait is not None:
        headers["Preference-Applied"] = f"wait={wait:.0f}"
        reached = await service.drain.unless_ending(service.statuses.wait_version(key, version, wait))
        if reached is not None:
            return Response(reached.value, 200, headers, "application/json")
    links = Links(location, f"{location}/events", f"{location}/errors")
    taken = CorrectionsAccepted(scan_id, who.tenant_id, upload.records, upload.left, version, links)
    return Response(msgspec.json.encode(taken), 202, headers, "application/json")
