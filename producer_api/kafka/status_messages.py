"""A message of scan.status.v1, as far as the API looks into it."""

import datetime as dt
from typing import Annotated, Final, NamedTuple

import msgspec

Key = tuple[str, str]  # (tenant_id, scan_id)
# A scan cancelled for one of these was never whole: its Idempotency-Key may be used for the same body again.
_FAILED_UPLOADS: Final = frozenset({"publish_failed", "upload_aborted", "upload_refused"})


class Head(msgspec.Struct):
    """The few fields of a status that the API itself looks at."""

    status: str
    version: int = 0
    submitted_at: Annotated[dt.datetime, msgspec.Meta(tz=True)] | None = None
    request_digest: str | None = None
    cancel_reason: str | None = None
    records_stored: int = 0
    records_rejected: int = 0
    records_duplicate: int = 0


class StatusMessage(NamedTuple):
    """One message of the status topic. `value` None is a tombstone; `published_at` in seconds since 1970."""

    key: Key
    value: bytes | None
    head: Head | None
    failed_upload: bool
    partition: int
    offset: int
    published_at: float
    claim: bytes | None = None


_decode_head: Final = msgspec.json.Decoder(Head).decode


def read(
    key: Key, value: bytes | None, partition: int, offset: int, published_at: float, claim: bytes | None
) -> StatusMessage:
    """Looks into a status. Raises ValueError for what is none."""
    if not value:
        return StatusMessage(key, None, None, False, partition, offset, published_at)
    try:
        head = _decode_head(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ValueError("no status") from None
    failed = head.status == "cancelled" and head.cancel_reason in _FAILED_UPLOADS
    return StatusMessage(key, value, head, failed, partition, offset, published_at, claim)
