"""One scan on its way to Kafka: announced, opened, its arrays, closed; or cancelled where that fails."""

import asyncio
import datetime as dt
import logging
from collections import deque
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

import msgspec

from producer_api import metrics
from producer_api.kafka.publisher import Delivered, Publisher, PublishFailed
from producer_api.kafka.status_messages import Key, read
from producer_api.kafka.statuses import StatusStore
from producer_api.uploads.cancellations import Cancellations
from producer_api.uploads.idempotency import Claim, Keys
from producer_api.uploads.lease import Lease, Leases, LostClaim
from schemas import topics
from schemas.arrays import Array
from schemas.log_lines import about
from schemas.messages import Cancelled, Closed, Opened, headers_for
from schemas.status import Scan, encode_status, status_of
from schemas.submission import Details

_encode: Final = msgspec.json.Encoder().encode
log = logging.getLogger("scanline.upload")


class Upload:
    """Publishes one scan. Any failure ends with `cancel`; what Kafka did not take raises PublishFailed.

    `closing`: its last message was handed over, so that the scan may be whole whatever is heard of it.
    """

    def __init__(
        self,
        tenant_id: str,
        claim: Claim,
        details: Details,
        *,
        publisher: Publisher,
        statuses: StatusStore,
        keys: Keys,
        leases: Leases,
        cancellations: Cancellations,
        records_total: int | None,
        digest: str | None,
        trace: str | None,
    ) -> None:
        now = dt.datetime.now(dt.UTC)
        if claim.known is not None:  # taken up again: the scan keeps its place in lists
            now = dt.datetime.fromtimestamp(claim.known.submitted_at, dt.UTC)
        self.scan_id = claim.scan_id
        self._publisher = publisher
        self._statuses = statuses
        self._keys = keys
        self._cancellations = cancellations
        self._tenant = tenant_id.encode()
        self._key: Key = (tenant_id, claim.scan_id)
        self._claim = claim
        # a body that was sent before, maybe to its end: whoever sent it may have the answer that it is taken
        self._again = claim.known is not None and claim.known.digest is not None
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
        first = encode_status(status_of(self._scan))
        self._lease = None if claim.token is None else Lease(leases, self._key, claim.token, first)

    async def announce(self) -> None:
        """Publishes the status «queued» and waits for it: every status of the worker comes later in the topic.

        With a key, reads it back as well, to see whether another process was first. Raises PublishFailed, ApiProblem.
        """
        if self._lease is not None:
            await self._lease.claim()
            self._keys.check_won(self._key, self._claim, self._digest)
            return
        value = encode_status(status_of(self._scan))
        delivered = await self._publisher.send(topics.STATUS_TOPIC, topics.status_key(*self._key), value)
        self._statuses.note(
            read(self._key, value, delivered.partition, delivered.offset, delivered.timestamp / 1000, None)
        )

    def renewed(self) -> AbstractAsyncContextManager[None]:
        """While the block runs, the key stays ours, however long the body takes."""
        return nullcontext() if self._lease is None else self._lease.renewed()

    async def ensure_ours(self) -> None:
        """Checks that the upload still has its claim, before anything is published that takes long to arrive. Raises
        ApiProblem, PublishFailed."""
        if self._lease is not None:
            try:
                await self._lease.ensure()
            except LostClaim:
                raise self._keys.busy(self.scan_id) from None

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

    def array(self, array: Array) -> asyncio.Future[Delivered]:
        """Hands over a message of records; the future ends with its way to Kafka."""
        return self._send(topics.RECORDS, array.value, array.first_index)

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

        Not so under a key whose closing message may have arrived: the scan would be whole, the cancellation too late,
        and the same body sent again another scan. It is left to whoever sends it again, as if this process had died.
        Nor where another process has taken the scan up, or somebody has the answer that its records are taken."""
        if self.closing and self._claim.token is not None:
            return
        now = dt.datetime.now(dt.UTC)
        self._scan.cancel_reason = reason
        self._scan.settle(now)
        if self._lease is None:  # nobody else can have this scan
            for message in self._cancellation(reason):
                self._publisher.send_lasting(*message)
            self._keys.give_up(self._key)
        elif not self._lease.lost and not self._again:
            self._keys.give_up(self._key)
            cancelled = self._lease.while_ours(
                lambda: [self._publisher.send(*each) for each in self._cancellation(reason)]
            )
            self._cancellations.see_through(self._see_through(cancelled))

    async def _see_through(self, cancelled: Awaitable[bool]) -> None:
        if not await cancelled:
            log.info(
                "%s was to be cancelled and has been taken up by another process",
                self.scan_id,
                extra=about(scan_id=self.scan_id),
            )
            self._keys.keep(self._key)

    def _cancellation(self, reason: str) -> list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]]:
        status = encode_status(status_of(self._scan))
        return [
            (topics.RECORDS_TOPIC, self._tenant, _encode(Cancelled(reason)), self._headers(topics.CANCELLED)),
            (topics.STATUS_TOPIC, topics.status_key(*self._key), status, []),
        ]

    def _headers(self, kind: str, first_index: int | None = None) -> list[tuple[str, bytes]]:
        return headers_for(kind, self.scan_id, first_index=first_index, source="/scanline/api", traceparent=self._trace)

    def _send(self, kind: str, value: bytes, first_index: int | None = None) -> asyncio.Future[Delivered]:
        sent = self._publisher.send(topics.RECORDS_TOPIC, self._tenant, value, self._headers(kind, first_index))
        self._outstanding.append(sent)
        return sent


async def cancel_scan(
    publisher: Publisher, tenant_id: str, scan_id: str, trace: str | None, deadline_seconds: float
) -> None:
    """Publishes the sender's wish to cancel, and waits for it. Raises PublishFailed."""
    await publisher.ensure_reachable()
    headers = headers_for(topics.CANCELLED, scan_id, source="/scanline/api", traceparent=trace)
    sent = publisher.send(topics.RECORDS_TOPIC, tenant_id.encode(), _encode(Cancelled()), headers)
    try:
        async with asyncio.timeout(deadline_seconds):
            await sent
    except TimeoutError:
        publisher.suspect()
        raise PublishFailed("not acknowledged in time") from None


def count_accepted(records: int) -> None:
    """Counts a scan that Kafka has taken."""
    metrics.SUBMISSIONS.labels("accepted").inc()
    metrics.RECORDS.inc(records)
