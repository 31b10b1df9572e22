"""The selection of what is to be read again: whose messages, and from where to where in each partition."""

import datetime as dt
import json
import re
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Self
from zoneinfo import ZoneInfo

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from infra.errors import InfraError
from kafka_client.clients import quiet_admin
from kafka_client.offsets import BEGIN_AND_END, offsets_of, partitions_of
from kafka_client.offsets import topic_id_of as ask_topic_id
from operations.kafka_answers import ANSWER_SECONDS, must_answer
from schemas.messages import Header, is_tenant_id
from schemas.topics import HEADER_SUBJECT, RECORDS_TOPIC

ZONE: Final = ZoneInfo("Asia/Ho_Chi_Minh")
_PLACE: Final = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


class Range(NamedTuple):
    """Offsets [start, end) of a partition. `first` is the oldest that the topic still holds."""

    start: int
    end: int
    first: int

    @property
    def offsets(self) -> int:
        """The number of offsets in it; some may hold no message."""
        return max(0, self.end - self.start)


class Selection(NamedTuple):
    """Empty means all. Times are milliseconds since 1970, by the messages' own stamps; the end is not included."""

    tenants: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    starts: tuple[tuple[int, int], ...] = ()  # (partition, offset)
    ends: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(
        cls,
        tenants: Sequence[str] = (),
        scans: Sequence[str] = (),
        since: str = "",
        until: str = "",
        starts: Sequence[str] = (),
        ends: Sequence[str] = (),
    ) -> Self:
        """Makes a selection from what people type. Raises InfraError that names what is wrong."""
        for tenant in tenants:
            if not is_tenant_id(tenant):
                raise InfraError.of("replay_tenant_invalid", tenant=tenant)
        return cls(
            tuple(sorted(set(tenants))),
            tuple(sorted({_scan(scan) for scan in scans})),
            _time(since) if since else None,
            _time(until) if until else None,
            tuple(sorted(_places(starts).items())),
            tuple(sorted(_places(ends).items())),
        )

    @property
    def text(self) -> str:
        """The same for the same selection, and told apart from any other."""
        return json.dumps(self._asdict(), ensure_ascii=False)

    @property
    def has_end(self) -> bool:
        """True where what is published from now on is left out by itself."""
        return self.until is not None or bool(self.ends)

    def takes(self, key: bytes | None, headers: Iterable[Header]) -> bool:
        """True where a message is selected."""
        if self.tenants and (key or b"") not in self._keys():
            return False
        if self.scans:
            subject = next((value for name, value in headers if name == HEADER_SUBJECT), None)
            return (subject or b"").decode("ascii", "replace").lower() in self.scans
        return True

    def _keys(self) -> frozenset[bytes]:
        return frozenset(tenant.encode() for tenant in self.tenants)


def _scan(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise InfraError.of("replay_scan_id_invalid", text=text) from None


def _time(text: str) -> int:
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InfraError.of("replay_time_invalid", text=text) from None
    return int((time if time.tzinfo else time.replace(tzinfo=ZONE)).timestamp() * 1000)


def _places(texts: Sequence[str]) -> dict[int, int]:
    found = {}
    for text in texts:
        match = _PLACE.fullmatch(text)
        if match is None:
            raise InfraError.of("replay_place_invalid", text=text)
        found[int(match[1])] = int(match[2])
    return found


def ranges(bootstrap: str, selection: Selection) -> dict[int, Range]:
    """The ranges to read, partition by partition, up to what is readable now. Raises InfraError."""
    with must_answer(bootstrap):
        return _ranges(quiet_admin(bootstrap), selection)


def topic_id_of(bootstrap: str) -> str | None:
    """The id of the records topic as it is now; None where the broker does not give it."""
    try:
        return ask_topic_id(quiet_admin(bootstrap), RECORDS_TOPIC, ANSWER_SECONDS)
    except (KafkaException, TimeoutError):
        return None


def _ranges(admin: AdminClient, selection: Selection) -> dict[int, Range]:
    partitions = partitions_of(admin, RECORDS_TOPIC, ANSWER_SECONDS)
    if not partitions:
        raise InfraError.of("replay_topic_missing", topic=RECORDS_TOPIC)
    asked_for = {number for number, _ in (*selection.starts, *selection.ends)}
    if asked_for - set(partitions):
        raise InfraError.of("replay_partition_unknown", topic=RECORDS_TOPIC, last=partitions[-1])
    # the end before an open transaction: what is behind it nobody may read yet
    firsts, lasts = offsets_of(admin, RECORDS_TOPIC, partitions, *BEGIN_AND_END, seconds=ANSWER_SECONDS, readable=True)
    since = {} if selection.since is None else _at(admin, partitions, selection.since, lasts)
    until = {} if selection.until is None else _at(admin, partitions, selection.until, lasts)
    begins, ends = dict(selection.starts), dict(selection.ends)
    if begins:  # naming places leaves the other partitions out
        partitions = sorted(begins)
    elif ends:
        partitions = sorted(ends)
    return {
        number: Range(
            max(firsts[number], since.get(number, 0), begins.get(number, 0)),
            min(lasts[number], until.get(number, lasts[number]), ends.get(number, lasts[number])),
            firsts[number],
        )
        for number in partitions
    }


def _at(admin: AdminClient, partitions: Collection[int], time: int, lasts: Mapping[int, int]) -> dict[int, int]:
    """The first message of that time or later, or the end."""
    (found,) = offsets_of(
        admin, RECORDS_TOPIC, partitions, OffsetSpec.for_timestamp(time), seconds=ANSWER_SECONDS, readable=True
    )
    return {number: at if at >= 0 else lasts[number] for number, at in found.items()}
