"""POST /scans:validate: what would be rejected, and why; nothing is stored or queued."""

import asyncio
import datetime as dt
from typing import Final

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from producer_api.http import openapi
from producer_api.http.answers import InvalidRecord, Reason, ValidationReport
from producer_api.http.bodies import PIECE, BodyLimits, Records, encoding_of, pieces, whole_body
from producer_api.http.caller import Caller, caller
from producer_api.http.headers import body_kind
from producer_api.http.page import PAGE_BYTES
from producer_api.http.problems import ApiProblem, language_of
from producer_api.routes.reception import receiving
from producer_api.routes.scans import json_answer
from producer_api.services import Services, services
from schemas.problems import quantity
from schemas.submission import read_json
from schemas.validation import ExaminedRecord, examine

router = APIRouter()
_SHOWN: Final = 1_000  # rejected records in the answer, unless bytes end it before; all are counted
_AT_ONCE: Final = 200  # records between two looks at other requests


class _Report:
    """Gathers the report: what the records would come to."""

    def __init__(self) -> None:
        self._now = dt.datetime.now(dt.UTC)
        self._keys: set[str] = set()
        self._errors: list[msgspec.Raw] = []
        self._size = 0  # of them
        self.total = self._rejected = self._duplicates = self._sensitive = self._cross_border = 0

    def add(self, raw: bytes) -> None:
        outcome = examine(raw, self._now)
        index, self.total = self.total, self.total + 1
        record = outcome.record
        if record is None:
            self._rejected += 1
            self._show(index, outcome)
        elif record.activity_key in self._keys:
            self._duplicates += 1
        else:
            self._keys.add(record.activity_key)
            self._sensitive += record.sensitive
            self._cross_border += record.cross_border

    def _show(self, index: int, outcome: ExaminedRecord) -> None:
        if len(self._errors) == _SHOWN or self._size > PAGE_BYTES:
            return
        first = outcome.errors[0]
        shown = msgspec.json.encode(
            InvalidRecord(
                index,
                outcome.activity_key,
                first.code,
                first.pointer,
                first.messages_for(index),
                [Reason(each.code, each.pointer, each.messages) for each in outcome.errors],
            )
        )
        self._size += len(shown)
        self._errors.append(msgspec.Raw(shown))

    def answer(self) -> ValidationReport:
        return ValidationReport(
            records_total=self.total,
            records_valid=len(self._keys),
            records_rejected=self._rejected,
            records_duplicate=self._duplicates,
            records_sensitive=self._sensitive,
            records_cross_border=self._cross_border,
            errors=self._errors,  # type: ignore[arg-type]  # each is encoded already
            errors_truncated=self._rejected > len(self._errors),
        )


@router.post("/scans:validate", **openapi.VALIDATE)
async def validate(request: Request, who: Caller = Depends(caller), service: Services = Depends(services)) -> Response:
    """Looks at every record as the worker would."""
    settings = service.settings
    report = _Report()
    async with receiving(request, service):
        kind = body_kind(request)
        encoding_of(request)
        limits = BodyLimits(settings.api_json_bytes, settings.api_json_inflated_bytes, settings.api_inflation_ratio)
        holding = service.room_for_all(request, limits) if kind == "json" else service.room_for_lines()
        async with holding as room:
            if kind == "json":
                body = await whole_body(request, limits, room, service.patience)
                language = language_of(request.headers.get("accept-language"))
                _, records = read_json(body, language, settings.api_json_records)
                for raw in records:
                    await _add(report, bytes(raw), settings.api_json_records)
            else:
                records_sent = Records(pieces(request, limits, service.patience), room)
                async for lot in records_sent:
                    for element in lot:
                        await _add(report, element, settings.api_json_records)
                    await room.grow_to(PIECE + records_sent.size)
    return json_answer(report.answer())


async def _add(report: _Report, raw: bytes, most: int) -> None:
    if report.total >= most:
        raise ApiProblem("too_many_records", limit=quantity(most), extra={"limit": most})
    report.add(raw)
    if report.total % _AT_ONCE == 0:
        await asyncio.sleep(0)
