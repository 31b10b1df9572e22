"""The services that the routes share: one of each per process, made and closed with the app."""

import re
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fastapi import Request

from producer_api.http.bodies import PIECE, BodyLimits, Patience, most_of
from producer_api.http.budget import Budget, Room
from producer_api.http.drain import Drain
from producer_api.http.problems import ApiProblem, retry_later
from producer_api.kafka.backlog import Backlog
from producer_api.kafka.follower import Follower
from producer_api.kafka.publisher import Publisher
from producer_api.kafka.statuses import NotCaughtUp, StatusEntry, StatusStore
from producer_api.overview.overview import Overview
from producer_api.reads import DatabaseReader
from producer_api.settings import ApiSettings
from producer_api.uploads.cancellations import Cancellations
from producer_api.uploads.idempotency import Keys
from producer_api.uploads.lease import Leases
from schemas.arrays import MOST_GATHERED

_CATCH_UP_SECONDS = 3.0
_SCAN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Services:
    """Belongs to the event loop of the app."""

    settings: ApiSettings
    statuses: StatusStore
    follower: Follower
    publisher: Publisher
    budget: Budget
    keys: Keys
    reader: DatabaseReader
    backlog: Backlog
    drain: Drain
    cancellations: Cancellations
    leases: Leases
    overview: Overview

    @property
    def patience(self) -> Patience:
        """The patience with clients that send."""
        return Patience(self.settings.api_stream_silence_seconds, self.settings.api_stream_bytes_per_second)

    def room_for_all(self, request: Request, limits: BodyLimits) -> AbstractAsyncContextManager[Room]:
        """Takes room for a body that is held as a whole. Raises Overloaded."""
        return self.budget.hold(PIECE, PIECE + most_of(request, limits))

    def room_for_lines(self) -> AbstractAsyncContextManager[Room]:
        """Takes room for a body that is taken line by line: a piece of it, a line, and a message being gathered. Raises
        Overloaded."""
        return self.budget.hold(PIECE, PIECE + MOST_GATHERED)

    def later(self, code: str, **extra: object) -> ApiProblem:
        """A problem that passes, with the Retry-After of the settings."""
        return retry_later(code, self.settings.api_retry_after_seconds, **extra)

    async def ensure_accepting(self) -> None:
        """Returns where a submission can be taken: Kafka answers, and does not hold too many messages that wait. Raises
        ApiProblem backlog_too_long, PublishFailed."""
        await self.publisher.ensure_reachable()
        if self.backlog.too_long:
            raise self.later("backlog_too_long")

    async def find(self, tenant_id: str, scan_id: str) -> StatusEntry | None:
        """A scan's status; before the answer is None, everything published so far has been read. Raises ApiProblem."""
        key = (tenant_id, scan_id)
        entry = self.statuses.get(key)
        if entry is None:
            try:
                await self.follower.catch_up(_CATCH_UP_SECONDS)
            except NotCaughtUp:
                raise self.later("statuses_unavailable") from None
            entry = self.statuses.get(key)
        return entry

    async def found(self, tenant_id: str, scan_id: str) -> tuple[str, StatusEntry]:
        """The scan id in its canonical form, and its status. Raises ApiProblem scan_not_found."""
        scan_id = scan_id.lower()
        entry = await self.find(tenant_id, scan_id) if _SCAN_ID.fullmatch(scan_id) else None
        if entry is None:
            raise scan_not_found(tenant_id)
        return scan_id, entry


def is_scan_id(text: str) -> bool:
    """A UUID in its usual form, in letters of either case."""
    return _SCAN_ID.fullmatch(text.lower()) is not None


def scan_not_found(tenant_id: str) -> ApiProblem:
    """404, saying where the list is."""
    return ApiProblem("scan_not_found", scans_url=f"/v1/tenants/{tenant_id}/scans")


def services(request: Request) -> Services:
    """The services of the app that answers."""
    found: Services = request.app.state.services
    return found
