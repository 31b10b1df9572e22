"""POST /scans: a JSON body, or a stream of NDJSON lines, into Kafka."""

import asyncio
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from producer_api import metrics
from producer_api.http import openapi
from producer_api.http.answers import Accepted, Links
from producer_api.http.bodies import PIECE, BodyLimits, Records, encoding_of, pieces, whole_body
from producer_api.http.budget import Overloaded, Room
from producer_api.http.caller import Caller, caller
from producer_api.http.headers import body_kind, idempotency_key, traceparent, wait_seconds
from producer_api.http.parameters import refuse_parameters
from producer_api.http.problems import ApiProblem, language_of, request_invalid
from producer_api.kafka.publisher import PublishFailed
from producer_api.routes.reception import receiving
from producer_api.services import Services, services
from producer_api.uploads.idempotency import Claim, key_reused, new_digest
from producer_api.uploads.upload import Upload, count_accepted
from schemas.arrays import Array, Arrays, cut
from schemas.problems import quantity
from schemas.submission import Details, details_of, read_json

router = APIRouter()
_CATCH_UP_SECONDS: Final = 3.0


class _Submitted:
    """A scan that is in Kafka: by this request, or by an earlier one with the same key."""

    def __init__(self, scan_id: str, records: int, *, replayed: bool = False) -> None:
        self.scan_id = scan_id
        self.records = records
        self.replayed = replayed


@contextmanager
def _counted_unless_taken() -> Iterator[None]:
    """Counts a submission that is not taken: whose fault that is."""
    try:
        yield
    except ApiProblem as problem:
        metrics.SUBMISSIONS.labels("unavailable" if problem.status == 503 else "refused").inc()
        raise
    except ClientDisconnect:
        metrics.SUBMISSIONS.labels("aborted").inc()
        raise


@router.post("/scans", **openapi.SUBMIT)
async def submit(request: Request, who: Caller = Depends(caller), service: Services = Depends(services)) -> Response:
    """Takes a scan."""
    with _counted_unless_taken():
        async with receiving(request, service):
            kind = body_kind(request)
            encoding_of(request)
            if kind == "json":
                refuse_parameters(request, Details.__struct_fields__, "parameter_in_body")
            key = idempotency_key(request)
            await service.ensure_accepting()
            take = _take_json if kind == "json" else _take_ndjson
            submitted = await take(request, who, service, key)
    if submitted.replayed:
        metrics.SUBMISSIONS.labels("replayed").inc()
    else:
        count_accepted(submitted.records)
    return await _answer(request, who, service, submitted)


async def _take_json(request: Request, who: Caller, service: Services, key: str | None) -> _Submitted:
    settings = service.settings
    limits = BodyLimits(settings.api_json_bytes, settings.api_json_inflated_bytes, settings.api_inflation_ratio)
    async with service.room_for_all(request, limits) as room:
        digest = new_digest("json", Details()) if key is not None else None
        body = await whole_body(request, limits, room, service.patience, digest)
        details, records = read_json(
            body, language_of(request.headers.get("accept-language")), settings.api_json_records
        )
        count = len(records)
        arrays = deque(cut(records))
        del body, records
        hex_digest = digest.hexdigest() if digest is not None else None
        claim = await _claim(who, service, key, hex_digest)
        if claim.digest is not None:
            return _Submitted(claim.scan_id, count, replayed=True)
        upload = _upload(request, who, service, claim, details, count, hex_digest)
        with _arriving(service, who, claim):
            await _publish_whole(service, upload, arrays, count, hex_digest)
        if hex_digest is not None:
            service.keys.whole((who.tenant_id, claim.scan_id), hex_digest)
        return _Submitted(claim.scan_id, count)


async def _publish_whole(
    service: Services, upload: Upload, arrays: deque[Array], count: int, digest: str | None
) -> None:
    """Everything of a scan that is at hand, within the deadline. Raises ApiProblem scan_not_queued,
    scan_unconfirmed."""
    try:
        async with asyncio.timeout(service.settings.api_publish_deadline_seconds):
            await upload.announce()
            upload.open()
            while arrays:  # librdkafka has a copy of what is handed over
                upload.array(arrays.popleft())
            upload.close(count, digest)
            await upload.delivered()
    except (PublishFailed, TimeoutError):
        raise _not_confirmed(service, upload) from None


def _not_confirmed(service: Services, upload: Upload) -> ApiProblem:
    """The problem to answer with after a failure of Kafka in the middle."""
    service.publisher.suspect()
    upload.cancel("publish_failed")
    return service.later("scan_unconfirmed" if upload.closing else "scan_not_queued", scan_id=upload.scan_id)


async def _take_ndjson(request: Request, who: Caller, service: Services, key: str | None) -> _Submitted:
    settings = service.settings
    language = language_of(request.headers.get("accept-language"))
    details, wrong = details_of(request.query_params, language, parameter=True)
    if wrong:
        raise request_invalid(wrong)
    limits = BodyLimits(settings.api_ndjson_bytes, settings.api_ndjson_inflated_bytes, settings.api_inflation_ratio)
    # the language of the one who asks this time is no part of what is sent
    asked, _ = details_of(request.query_params, "vi", parameter=True)
    digest = new_digest("ndjson", asked) if key is not None else None
    async with service.room_for_lines() as room:
        records = Records(pieces(request, limits, service.patience), room, digest)
        first = await anext(records)  # before there is a record, no scan is announced and no key claimed
        claim = await _claim(who, service, key, None)
        if claim.digest is not None:
            return await _compare(first, records, room, claim, digest)
        upload = _upload(request, who, service, claim, details, None, None)
        with _arriving(service, who, claim):
            count = await _stream(first, records, room, service, upload, digest)
    if digest is not None:
        service.keys.whole((who.tenant_id, claim.scan_id), digest.hexdigest())
    return _Submitted(claim.scan_id, count)


async def _stream(
    first: Iterable[bytes], records: Records, room: Room, service: Services, upload: Upload, digest: Any
) -> int:
    """Publishes arrays as they fill, a bounded number at a time; returns how many records there were."""
    deadline = service.settings.api_publish_deadline_seconds
    arrays = Arrays()
    announced = False
    try:
        async with asyncio.timeout(deadline):
            await upload.announce()
        announced = True
        async with upload.renewed():
            upload.open()
            await _add_all(first, arrays, room, upload, service)
            async for lot in records:
                await _add_all(lot, arrays, room, upload, service)
                await room.grow_to(PIECE + records.size + arrays.size)
            async with asyncio.timeout(deadline):
                last = arrays.flush()
                if last is not None:
                    await upload.ensure_ours()
                    room.lend(len(last.value), upload.array(last))
                await upload.delivered()
        async with asyncio.timeout(deadline):
            await upload.ensure_ours()
            upload.close(arrays.count, digest.hexdigest() if digest is not None else None)
            await upload.delivered()
    except (PublishFailed, TimeoutError):
        raise _not_confirmed(service, upload) from None
    except Overloaded:
        upload.cancel("upload_refused")
        raise service.later("overloaded", scan_id=upload.scan_id) from None
    except ApiProblem as problem:
        if announced:  # else another upload has the key, and this one never began
            upload.cancel("upload_aborted" if problem.code == "upload_too_slow" else "upload_refused")
            problem.extra.setdefault("scan_id", upload.scan_id)
        raise
    except (ClientDisconnect, asyncio.CancelledError):
        upload.cancel("upload_aborted")
        raise
    return arrays.count


async def _add(element: bytes, arrays: Arrays, room: Room, upload: Upload, most: int, deadline: float) -> None:
    full = arrays.add(element)
    if full is not None:
        async with asyncio.timeout(deadline):
            await upload.ensure_ours()
            room.lend(len(full.value), upload.array(full))
            del full  # librdkafka has a copy of it
            await upload.delivered(but=most)
    if arrays.size > room.size:
        await room.grow_to(arrays.size)


async def _add_all(lot: Iterable[bytes], arrays: Arrays, room: Room, upload: Upload, service: Services) -> None:
    settings = service.settings
    for element in lot:
        await _add(element, arrays, room, upload, settings.api_stream_messages, settings.api_publish_deadline_seconds)
    most = settings.api_ndjson_records
    if arrays.count > most:
        raise ApiProblem("too_many_records", limit=quantity(most), extra={"limit": most})


async def _compare(first: Iterable[bytes], records: Records, room: Room, claim: Claim, digest: Any) -> _Submitted:
    """The stream was taken before: reads it again only to see that it is the same."""
    count = sum(1 for _ in first)
    async for lot in records:
        count += sum(1 for _ in lot)
        await room.grow_to(PIECE + records.size)
    if digest.hexdigest() != claim.digest:
        raise key_reused(claim.scan_id)
    return _Submitted(claim.scan_id, count, replayed=True)


async def _claim(who: Caller, service: Services, key: str | None, digest: str | None) -> Claim:
    """Decides what the submission may do, by all that is known of its key when its body is there. Raises ApiProblem,
    NotCaughtUp."""
    if key is None:
        return Claim(str(uuid.uuid4()))
    await service.follower.catch_up(_CATCH_UP_SECONDS)
    return service.keys.look_up(who.tenant_id, key, digest)


def _upload(
    request: Request,
    who: Caller,
    service: Services,
    claim: Claim,
    details: Details,
    count: int | None,
    digest: str | None,
) -> Upload:
    return Upload(
        who.tenant_id,
        claim,
        details,
        publisher=service.publisher,
        statuses=service.statuses,
        keys=service.keys,
        leases=service.leases,
        cancellations=service.cancellations,
        records_total=count,
        digest=digest,
        trace=traceparent(request),
    )


def _arriving(service: Services, who: Caller, claim: Claim) -> AbstractContextManager[None]:
    return nullcontext() if claim.token is None else service.keys.arriving((who.tenant_id, claim.scan_id))


async def _answer(request: Request, who: Caller, service: Services, submitted: _Submitted) -> Response:
    location = f"/v1/tenants/{who.tenant_id}/scans/{submitted.scan_id}"
    headers = {"Location": location}
    if submitted.replayed:
        headers["Idempotency-Replayed"] = "true"
    key = (who.tenant_id, submitted.scan_id)
    wait = wait_seconds(request, service.settings.api_wait_seconds)
    if wait is not None:
        headers["Preference-Applied"] = f"wait={wait:.0f}"
        final = await service.drain.unless_ending(service.statuses.wait_final(key, wait))
        if final is not None:
            return Response(final.value, 200, headers, "application/json")
    entry = service.statuses.get(key)
    accepted = Accepted(
        submitted.scan_id,
        who.tenant_id,
        entry.state if entry is not None else "queued",
        submitted.records,
        submitted.replayed,
        Links(location, f"{location}/events", f"{location}/errors", f"{location}/cancel"),
    )
    return Response(msgspec.json.encode(accepted), 202, headers, "application/json")
