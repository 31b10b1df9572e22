"""A dead letter as a value, and a selection of them."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from kafka_client.message_headers import headers_of
from kafka_client.received_message import ReceivedMessage
from schemas import topics
from schemas.dead_letters import REASON_HEADERS, RETRY_HEADERS, DeadLetterId
from schemas.decoder import Incoming, decode, envelope_of, whose
from schemas.messages import Header, tenant_of

State = Literal["open", "claimed", "retried", "dropped"]  # what was done about a letter until now
UNKNOWN: Final = "unknown"  # reason of a letter that no worker of ours wrote
# anybody can write a header
_REASON: Final = re.compile(r"[A-Za-z0-9_.:/+-]{1,120}")
_MOST_REPLAYS: Final = 1_000_000
_MOST_SOURCE: Final = 260  # a topic's name has 249 at the most
_LAST_MS: Final = 253_402_300_799_999  # the last moment of the year 9999, which is where times end here


class DeadLetter(NamedTuple):
    """A message of scan.dlq.v1. `headers` are all of it, with the worker's reasons at their end.

    Has what schemas.decoder reads of a message, so that today's code can judge it.
    """

    id: DeadLetterId
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    reason: str
    tenant_id: str | None
    scan_id: str | None
    replays: int
    timestamp: int

    @property
    def offset(self) -> int:
        return self.id.offset

    @property
    def failed_at(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.id.failed_at_ms / 1000, dt.UTC)

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return len(self.value or b"")

    @property
    def not_kept(self) -> bool:
        """True where it stands for a message, or for a batch, that was too large to be kept: there is no value to
        send."""
        return any(name == topics.DLQ_NOT_KEPT for name, _ in self.headers)

    @property
    def source(self) -> dict[str, str]:
        """The topic, partition and offset of the message, as the worker wrote them."""
        named = dict(self.headers)
        found = {}
        for name, header in (
            ("topic", topics.DLQ_TOPIC_HEADER),
            ("partition", topics.DLQ_PARTITION),
            ("offset", topics.DLQ_OFFSET),
        ):
            found[name] = (named.get(header) or b"")[:_MOST_SOURCE].decode("ascii", "replace")
        return found

    def original_headers(self) -> list[Header]:
        """The headers as the publisher sent them: without the worker's reasons and without the marks of earlier
        retries."""
        return [header for header in self.headers if header[0] not in REASON_HEADERS | RETRY_HEADERS]


def letter_of(message: ReceivedMessage) -> DeadLetter:
    """A message of confluent-kafka as a letter."""
    headers = headers_of(message)
    named = dict(headers)
    stamp = message.timestamp()[1]
    failed = _whole(named.get(topics.DLQ_FAILED_AT))
    when = stamp if failed is None or failed > _LAST_MS else failed
    name = DeadLetterId(message.partition(), message.offset(), when)
    said = (named.get(topics.DLQ_REASON) or b"").decode("ascii", "replace")
    reason = said if _REASON.fullmatch(said) else UNKNOWN
    bare = DeadLetter(name, message.key(), message.value(), headers, reason, None, None, 0, stamp)
    envelope = whose(bare)
    scan = None if envelope is None else envelope.scan_id
    replays = min(_whole(named.get(topics.RETRY_COUNT)) or 0, _MOST_REPLAYS)
    return bare._replace(tenant_id=tenant_of(bare.key), scan_id=scan, replays=replays)


def _whole(value: bytes | None) -> int | None:
    return int(value) if value and len(value) <= 18 and value.isdigit() else None


def judge(letter: DeadLetter, now: dt.datetime) -> Incoming:
    """Reads it by today's code. Raises MessageRefused where it still cannot be read."""
    return decode(letter, envelope_of(letter), now)


class DeadLetterSelection(NamedTuple):
    """A selection of dead letters; what is not given does not narrow it. `until` is exclusive."""

    ids: frozenset[tuple[int, int]] = frozenset()  # (partition, offset)
    tenant: str | None = None
    scan: str | None = None
    reason: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    partition: int | None = None
    offset: int | None = None  # from here on, in each partition that is read

    @property
    def is_everything(self) -> bool:
        return self == DeadLetterSelection()

    def matches(self, letter: DeadLetter) -> bool:
        """True for a letter that is meant."""
        return (
            (not self.ids or letter.id[:2] in self.ids)
            and (self.tenant is None or letter.tenant_id == self.tenant)
            and (self.scan is None or letter.scan_id == self.scan)
            and (self.reason is None or letter.reason == self.reason)
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at < self.until)
            and (self.partition is None or letter.id.partition == self.partition)
            and (self.offset is None or letter.id.offset >= self.offset)
        )
