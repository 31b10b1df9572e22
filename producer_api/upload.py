"""One scan on its way to Kafka: announced, opened, its arrays, closed; or cancelled where that fails."""

import asyncio
import datetime as dt
import time
from collections import deque
from typing import Final

import msgspec

from producer_api import metrics
from producer_api.elements import Array
from producer_api.follower import CLAIM_HEADER
from producer_api.idempotency import Claim
from producer_api.publisher import Delivered, PublishFailed
from producer_api.services import Services
from producer_api.statuses import Key, NotCaughtUp, read
from producer_api.submission import Details
from schemas import topics
from schemas.messages import Cancelled, Closed, Opened, headers_for
from schemas.status import Scan, encode_status, status_of

_encode: Final = msgspec.json.Encoder().encode
_READ_BACK_SECONDS: Final = 5.0


class Upload:
    """Publishes one scan. Any failure ends with `cancel`; what Kafka did not take raises PublishFailed.

    `closing`: its last message was handed over, so that the scan may be whole whatever is heard of it.
    """

    def __init__(
        self,
        services: Services,
        tenant_id: str,
        claim: Claim,
        details: Details,
        *,
        records_total: int | None,
        digest: str | None,
        trace: str | None,
    ) -> None:
        now = dt.datetime.now(dt.UTC)
        if claim.known is not None:  # taken up again: the scan keeps its place in lists
            now = dt.datetime.fromtimestamp(claim.known.submitted_at, dt.UTC)
        self.scan_id = claim.scan_id
        self._services = services
        self._tenant = tenant_id.encode()
        self._place: Key = (tenant_id, claim.scan_id)
        self._claim = claim
        self._digest = digest
        self._trace = trace
        self._outstanding: deque[asyncio.Future[Delivered]] = deque()
        self.closing = False
        self._scan = Scan(
            tenant_id,
            claim.scan_id,
            source=details.source,
            language=details.language,
            notify=details.notify,
            request_digest=digest,
            records_total=records_total,
            submitted_at=now,
        )

    async def announce(self) -> None:
        """Publishes the status «queued» and waits for it: every status of the worker comes later in the topic.

        With a key, reads it back as well, to see whether another process was first. Raises PublishFailed, ApiProblem.
        """
        known, token = self._claim.known, self._claim.token
        value = known.value if known is not None else encode_status(status_of(self._scan))
        headers = [(CLAIM_HEADER, token)] if token is not None else []
        told = await self._services.publisher.send(topics.STATUS_TOPIC, topics.status_key(*self._place), value, headers)
        if token is None:
            self._services.statuses.note(
                read(self._place, value, told.partition, told.offset, told.timestamp / 1000, None)
            )
            return
        try:
            await self._services.statuses.reach({told.partition: told.offset + 1}, _READ_BACK_SECONDS)
        except NotCaughtUp:
            raise PublishFailed("the status was not read back") from None
        self._services.keys.check_won(self._place, self._claim, self._digest)

    def open(self) -> None:
        """Hands over the scan's metadata."""
        opened = Opened(
            self._scan.source,
            self._scan.records_total,
            self._scan.language,
            self._scan.notify,
            self._digest,
            self._scan.submitted_at,
        )
        self._send(topics.OPENED, _encode(opened))

    def array(self, array: Array) -> None:
        """Hands over a message of records."""
        self._send(topics.RECORDS, array.value, array.first_index)

    def close(self, records_total: int, digest: str | None) -> None:
        """Hands over how many records there are."""
        self.closing = True
        self._send(topics.CLOSED, _encode(Closed(records_total, digest)))

    async def delivered(self, but: int = 0) -> None:
        """Waits until at most `but` of the messages are not acknowledged yet. Raises PublishFailed."""
        while len(self._outstanding) > but:
            await self._outstanding.popleft()

    def cancel(self, reason: str) -> None:
        """Ends the scan for good, without waiting: also when Kafka comes back only later.

        Not so under a key whose closing message may have arrived: the scan would be whole, the cancellation too late, and the
        same body sent again another scan. It is left to whoever sends it again, as if this process had died.
        """
        if self.closing and self._claim.token is not None:
            return
        now = dt.datetime.now(dt.UTC)
        self._scan.cancel_reason = reason
        self._scan.settle(now)
        publisher = self._services.publisher
        publisher.send_lasting(
            topics.RECORDS_TOPIC, self._tenant, _encode(Cancelled(reason)), self._headers(topics.CANCELLED)
        )
        publisher.send_lasting(
            topics.STATUS_TOPIC, topics.status_key(*self._place), encode_status(status_of(self._scan))
        )
        self._services.keys.give_up(self._place)

    def _headers(self, kind: str, first_index: int | None = None) -> list[tuple[str, bytes]]:
        return headers_for(kind, self.scan_id, first_index=first_index, source="/scanline/api", traceparent=self._trace)

    def _send(self, kind: str, value: bytes, first_index: int | None = None) -> None:
        sent = self._services.publisher.send(
            topics.RECORDS_TOPIC, self._tenant, value, self._headers(kind, first_index)
        )
        self._outstanding.append(sent)


async def cancel_scan(services: Services, tenant_id: str, scan_id: str, trace: str | None) -> None:
    """Publishes the sender's wish to cancel, and waits for it. Raises PublishFailed."""
    await services.publisher.ensure_reachable()
    headers = headers_for(topics.CANCELLED, scan_id, source="/scanline/api", traceparent=trace)
    sent = services.publisher.send(topics.RECORDS_TOPIC, tenant_id.encode(), _encode(Cancelled()), headers)
    try:
        async with asyncio.timeout(services.settings.api_publish_deadline_seconds):
            await sent
    except TimeoutError:
        services.publisher.suspect()
        raise PublishFailed("not acknowledged in time") from None


def count_accepted(records: int) -> None:
    """Counts a scan that Kafka has taken."""
    metrics.SUBMISSIONS.labels("accepted").inc()
    metrics.RECORDS.inc(records)


def now_seconds() -> float:
    """The clock, in seconds since 1970."""
    return time.time()
