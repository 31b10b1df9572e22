"""The lease of an upload with an Idempotency-Key: renewed while the upload lives, let go once another has the key.

A claim is a lease (docs/decisions/0003-idempotency.md). Its holder may be frozen, or cut off from Kafka, for longer
than that, and another process may have taken the scan up. So nothing that would harm the other is published on a claim
that was not seen to be ours within a time that leaves what is published now room to arrive, or to be given up, before
the lease ends."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from producer_api.kafka.follower import CLAIM_HEADER, Follower
from producer_api.kafka.publisher import Delivered, Publisher, PublishFailed
from producer_api.kafka.status_messages import Key
from producer_api.kafka.statuses import NotCaughtUp, StatusStore
from schemas import topics

Publish = Callable[[], Sequence[asyncio.Future[Delivered]]]
log = logging.getLogger("scanline.holding")
_READ_BACK_SECONDS: Final = 5.0
_RENEWALS: Final = 5  # within a lease
_MARGIN: Final = 1.0  # between a message's end and the lease's
_LASTING_SECONDS: Final = 3600.0
_PAUSE: Final = 1.0


class LostClaim(Exception):
    """Another upload has the key."""


@dataclass(frozen=True)
class Leases:
    """What the leases of an app's uploads have in common. A message is given up `delivery_seconds` after it was handed
    over."""

    statuses: StatusStore
    follower: Follower
    publisher: Publisher
    lease_seconds: float
    delivery_seconds: float


class Lease:
    """The lease of one upload; not sure of anything until `claim` has returned. Belongs to the event loop."""

    def __init__(self, leases: Leases, key: Key, token: bytes, value: bytes) -> None:
        """`value` is the scan's status while none is known."""
        self._key = key
        self._token = token
        self._value = value
        self._statuses = leases.statuses
        self._follower = leases.follower
        self._publisher = leases.publisher
        self._every = leases.lease_seconds / _RENEWALS
        self._sure_for = leases.lease_seconds - leases.delivery_seconds - _MARGIN
        self._since = float("-inf")  # when the last claim was sent that was read back

    @property
    def lost(self) -> bool:
        """True where the topic, as far as it has been read, gives the key to another upload."""
        entry = self._statuses.get(self._key)
        return entry is not None and entry.claim != self._token

    @property
    def is_sure(self) -> bool:
        """True where what is handed over now arrives before anybody else can have the key, or not at all."""
        return not self.lost and time.monotonic() - self._since < self._sure_for

    async def claim(self) -> None:
        """Publishes the scan's status under the claim and reads that back. Raises PublishFailed."""
        began = time.monotonic()
        entry = self._statuses.get(self._key)
        value = entry.value if entry is not None else self._value
        name = topics.status_key(*self._key)
        delivered = await self._publisher.send(topics.STATUS_TOPIC, name, value, [(CLAIM_HEADER, self._token)])
        try:
            await self._statuses.reach({delivered.partition: delivered.offset + 1}, _READ_BACK_SECONDS)
        except NotCaughtUp:
            raise PublishFailed("the status was not read back") from None
        self._since = began

    async def ensure(self) -> None:
        """Returns when the claim is ours for sure. Raises LostClaim, PublishFailed."""
        if not self.is_sure:
            await self._renew()

    async def _renew(self) -> None:
        if time.monotonic() - self._since >= self._sure_for:  # frozen or cut off: what others did meanwhile comes first
            try:
                await self._follower.catch_up(_READ_BACK_SECONDS)
            except NotCaughtUp:
                raise PublishFailed("the statuses could not be read") from None
        entry = self._statuses.get(self._key)
        if entry is not None and entry.final and not self.lost:
            self._since = time.monotonic()  # nobody takes up what has ended, and it must not be published as unfinished
            return
        if not self.lost:
            await self.claim()
        if self.lost:
            raise LostClaim

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """While the block runs, the claim is renewed from time to time, also while the client sends nothing."""
        stopping = asyncio.Event()
        task = asyncio.create_task(self._keep(stopping))
        try:
            yield
        except BaseException:
            task.cancel()  # what it has handed over lies before the cancellation that follows
            raise
        stopping.set()
        await task  # a renewal under way must not arrive after the worker has published the scan's end

    async def _keep(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await stopping.wait()
                    return
            try:
                await self._renew()
            except LostClaim:
                return
            except PublishFailed:
                self._publisher.suspect()  # the upload finds out by itself

    def while_ours(self, publish: Publish) -> Awaitable[bool]:
        """Publishes at once where the claim is sure, and until it is delivered, for an hour; False once another has the
        key."""
        first: Sequence[asyncio.Future[Delivered]] | None = None
        if self.is_sure:
            with suppress(PublishFailed):
                first = publish()
        return self._until_delivered(first, publish)

    async def _until_delivered(self, sent: Sequence[asyncio.Future[Delivered]] | None, publish: Publish) -> bool:
        deadline = time.monotonic() + _LASTING_SECONDS
        while time.monotonic() < deadline:
            try:
                if sent is None:
                    await self.ensure()
                    sent = publish()
                await asyncio.gather(*sent)
            except LostClaim:
                return False
            except PublishFailed:
                sent = None
                await asyncio.sleep(_PAUSE)
            else:
                return True
        log.error("a cancellation could not be published")
        return True
