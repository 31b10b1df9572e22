"""Idempotency-Key: which scan a key stands for, and what to do when it comes again
(docs/decisions/0003-idempotency.md)."""

import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec

from producer_api.http.problems import ApiProblem, retry_later
from producer_api.kafka.status_messages import Key
from producer_api.kafka.statuses import StatusEntry, StatusStore
from schemas.scan_ids import scan_id_for
from schemas.submission import Details

_ATTEMPTS: Final = 1_000
_REMEMBERED: Final = 20_000  # uploads this process knows to be whole


class Claim(NamedTuple):
    """A claim: what a submission may do. `token` marks its first status; None without a key."""

    scan_id: str
    token: bytes | None = None
    known: StatusEntry | None = None  # an upload under this key that did not end, to be taken up again
    digest: str | None = None  # the upload is whole: nothing is to be published, the digest is to be compared


def new_digest(kind: str, details: Details) -> "hashlib._Hash":
    """SHA-256 over what the submission says besides its body; the body is added as it comes."""
    digest = hashlib.sha256(msgspec.json.encode([kind, details]))
    digest.update(b"\0")
    return digest


def key_reused(scan_id: str) -> ApiProblem:
    """422: the key belongs to another body."""
    return ApiProblem("idempotency_key_reused", extra={"scan_id": scan_id})


class Keys:
    """The keys in use. Belongs to the event loop."""

    def __init__(self, statuses: StatusStore, retry_after: int) -> None:
        self._statuses = statuses
        self._retry_after = retry_after
        self._arriving: set[Key] = set()
        self._given_up: OrderedDict[Key, None] = OrderedDict()
        self._whole: OrderedDict[Key, str] = OrderedDict()

    def busy(self, scan_id: str) -> ApiProblem:
        """409: the first submission under the key is still arriving."""
        return retry_later("submission_in_progress", self._retry_after, scan_id=scan_id)

    def look_up(self, tenant_id: str, key: str, digest: str | None) -> Claim:
        """Looks up what the key stands for. `digest` is of the request, where it is known before publishing. Raises
        ApiProblem.

        The statuses must be caught up (Follower.catch_up), so that what other processes did is known.
        """
        for attempt in range(_ATTEMPTS):
            scan_id = scan_id_for(tenant_id, key, attempt)
            scan = (tenant_id, scan_id)
            if scan in self._arriving:
                raise self.busy(scan_id)
            entry = self._statuses.get(scan)
            if scan in self._given_up or (entry is not None and entry.failed_upload):
                continue
            if entry is None:
                return Claim(scan_id, uuid.uuid4().hex.encode())
            return self._again(scan, entry, digest)
        raise self.busy(scan_id_for(tenant_id, key, 0))

    def _again(self, scan: Key, entry: StatusEntry, digest: str | None) -> Claim:
        scan_id = scan[1]
        known = self._whole.get(scan) or entry.digest
        if known is not None and digest is not None and known != digest:
            raise key_reused(scan_id)
        if known is not None and (scan in self._whole or entry.final or digest is None):
            # a stream's digest is published only after its last array, so a stream with a digest is whole
            return Claim(scan_id, digest=known)
        if known is None and self._statuses.is_arriving(entry, self._statuses.now()):
            raise self.busy(scan_id)
        # The same body again, or nobody is left who sends the first: published again, arrays that are there count nothing.
        return Claim(scan_id, uuid.uuid4().hex.encode(), known=entry)

    def check_won(self, scan: Key, claim: Claim, digest: str | None) -> None:
        """Checks that the claim came first in the topic, after its own status was read back. Raises ApiProblem."""
        entry = self._statuses.get(scan)
        if entry is None or entry.claim == claim.token:
            return
        if entry.failed_upload:  # given up in this moment: the key stands for another scan, next time
            raise self.busy(scan[1])
        if entry.final:
            return
        if digest is None or entry.digest is None:
            raise self.busy(scan[1])
        if entry.digest != digest:
            raise key_reused(scan[1])

    @contextmanager
    def arriving(self, scan: Key) -> Iterator[None]:
        """While the block runs, others with the same key get a 409. Raises ApiProblem."""
        if scan in self._arriving:
            raise self.busy(scan[1])
        self._arriving.add(scan)
        try:
            yield
        finally:
            self._arriving.discard(scan)

    def whole(self, scan: Key, digest: str) -> None:
        """Everything of the upload was acknowledged by Kafka."""
        self._whole[scan] = digest
        if len(self._whole) > _REMEMBERED:
            self._whole.popitem(last=False)

    def give_up(self, scan: Key) -> None:
        """The upload failed and its cancellation is on the way: the key stands for another scan from now on."""
        self._statuses.retire(scan)
        self._given_up[scan] = None
        if len(self._given_up) > _REMEMBERED:
            self._given_up.popitem(last=False)

    def keep(self, scan: Key) -> None:
        """The upload that was given up has been taken up by another: the key stands for its scan."""
        self._given_up.pop(scan, None)
