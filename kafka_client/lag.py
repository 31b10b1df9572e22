"""Consumer lag on scan.records.v1, partition by partition, who owns each, and how fast it goes."""

import time
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException, TopicPartition

from kafka_client.clients import quiet_admin, unjoined_consumer
from kafka_client.group_members import Member, owners_in
from kafka_client.offsets import Committed, TopicLogs, committed_of, partitions_of, topic_logs_of
from schemas.lane_note import LaneNote
from schemas.stored_offset import StoredOffset
from schemas.topics import RECORDS_TOPIC
from schemas.wait_reasons import WaitReason

_OWNERS_SECONDS: Final = 3  # every broker is asked, and one that is away takes all of it
# unowned: no worker has it; unknown: its owner has not said yet, or cannot be asked for
State = Literal["running", "paused", "stuck", "unowned", "unknown"]


class PartitionLag(NamedTuple):
    """Offsets of one partition. `written` is PostgreSQL's, the truth; `committed` the group's copy of it for monitors.
    `lag` is all that the log holds where `written` is of another log: a recreated topic, or one that lost its end.
    `lag_seconds` is how long ago the first message that is not written came in, by the broker's stamp; None where
    that cannot be read. `gone` counts offsets that retention deleted before they were written."""

    partition: int
    begin: int
    end: int
    committed: int | None
    written: int | None
    lag: int
    lag_seconds: float | None
    gone: int
    owner: str | None
    host: str | None
    state: State
    reason: WaitReason | None
    since: int | None

    @property
    def reached(self) -> int | None:
        """The offset that the lag is counted from."""
        return self.committed if self.written is None else self.written


class Look(NamedTuple):
    """All partitions at one moment, in order; `at` is of time.monotonic. `counted_by` says whose offsets count."""

    at: float
    counted_by: Literal["postgresql", "group"]
    partitions: list[PartitionLag]

    @property
    def lag(self) -> int:
        return sum(each.lag for each in self.partitions)

    @property
    def lag_seconds(self) -> float | None:
        """Of the partition that is furthest behind, as far as it is known."""
        known = [each.lag_seconds for each in self.partitions if each.lag_seconds is not None]
        return max(known, default=None)


class Pace(NamedTuple):
    """How fast messages come in and are written, between two looks. `seconds_to_empty` is None where the lag does not
    shrink."""

    written: float
    sent: float
    seconds_to_empty: float | None

    @classmethod
    def between(cls, before: Look, after: Look, partition: int | None = None) -> "Pace | None":
        """Of one partition, or of all; None where the looks do not have it, or count by different offsets."""
        seconds = after.at - before.at
        older = {each.partition: each for each in before.partitions if partition in (None, each.partition)}
        newer = [each for each in after.partitions if each.partition in older]
        if not newer or seconds <= 0 or before.counted_by != after.counted_by:
            return None
        moved = sum((each.reached or 0) - (older[each.partition].reached or 0) for each in newer)
        came = sum(each.end - older[each.partition].end for each in newer)
        lag = sum(each.lag for each in newer)
        shrinks = moved - came
        left = 0.0 if not lag else lag * seconds / shrinks if shrinks > 0 else None
        return cls(max(0, moved) / seconds, max(0, came) / seconds, left)


class NoTopic(Exception):
    """The brokers answer, and have no topic of records."""


class LagMeter:
    """Looks at the lag as often as it is asked to, with the same connections. `seconds`: until an answer must be
    there."""

    def __init__(self, bootstrap: str, pipeline: str, seconds: float) -> None:
        self._bootstrap = bootstrap
        self._pipeline = pipeline
        self._seconds = seconds
        self._admin = quiet_admin(bootstrap)
        self._group = unjoined_consumer(bootstrap, pipeline)

    def look(self, written: Mapping[int, StoredOffset] | None) -> Look:
        """Every partition. Without `written`, lag is what the group's committed offsets say. Raises KafkaException,
        TimeoutError, NoTopic."""
        at = time.monotonic()
        partitions = partitions_of(self._admin, RECORDS_TOPIC, self._seconds)
        if not partitions:
            raise NoTopic
        committed = committed_of(self._group, RECORDS_TOPIC, partitions, self._seconds)
        found = topic_logs_of(self._admin, RECORDS_TOPIC, partitions, self._seconds)
        owners = self._owners()
        by_group = {number: each.offset for number, each in committed.items()}
        reached = by_group if written is None else _reached(written, found)
        # what retention has deleted is nobody's backlog
        starts = {number: max(reached.get(number, 0), log.begin) for number, log in found.logs.items()}
        waiting = {number: offset for number, offset in starts.items() if offset < found.logs[number].end}
        nexts = _next_readable(self._bootstrap, waiting, self._seconds)
        now = time.time()
        told = []
        for number, log in found.logs.items():
            begins, stamp = nexts.get(number, (starts[number], None))
            lag = max(0, log.end - begins)
            age = 0.0 if not lag else None if stamp is None else max(0.0, now - stamp)
            told.append(
                PartitionLag(
                    number,
                    log.begin,
                    log.end,
                    by_group.get(number),
                    None if written is None or number not in written else written[number].next_offset,
                    lag,
                    age,
                    max(0, log.begin - reached[number]) if reached.get(number) else 0,
                    *_seen(number, owners, committed.get(number)),
                )
            )
        return Look(at, "group" if written is None else "postgresql", told)

    def close(self) -> None:
        self._group.close()

    def _owners(self) -> dict[int, Member] | None:
        """None where the brokers do not say: that is no reason to know nothing of the rest."""
        try:
            return owners_in(self._admin, self._pipeline, RECORDS_TOPIC, min(self._seconds, _OWNERS_SECONDS))
        except KafkaException:
            return None


class _Seen(NamedTuple):
    owner: str | None
    host: str | None
    state: State
    reason: WaitReason | None
    since: int | None


def _seen(partition: int, owners: Mapping[int, Member] | None, committed: Committed | None) -> _Seen:
    if owners is None:
        return _Seen(None, None, "unknown", None, None)
    if partition not in owners:
        return _Seen(None, None, "unowned", None, None)
    owner = owners[partition]
    note = None if committed is None else LaneNote.of(committed.note)
    if note is None or note.member != owner.id:  # of the worker that had it before
        return _Seen(owner.client_id, owner.host, "unknown", None, None)
    state: State = "running" if note.reason is None else "stuck" if note.reason == "standing" else "paused"
    return _Seen(owner.client_id, owner.host, state, note.reason, note.since)


def _reached(written: Mapping[int, StoredOffset], found: TopicLogs) -> dict[int, int]:
    return {
        number: 0 if found.is_another(number, stored) else stored.next_offset
        for number, stored in written.items()
        if number in found.logs
    }


def _next_readable(bootstrap: str, starts: Mapping[int, int], seconds: float) -> dict[int, tuple[int, float | None]]:
    """The first message at or after each offset, with its time in Unix seconds, or where the partition ends: the marks
    of transactions, what was aborted and what was compacted away are nothing to lag behind."""
    if not starts:
        return {}
    consumer = unjoined_consumer(
        bootstrap,
        "scanline-cli",
        enable_partition_eof=True,
        auto_offset_reset="earliest",
        fetch_message_max_bytes=16 * 1024,
        fetch_wait_max_ms=10,
    )
    found: dict[int, tuple[int, float | None]] = {}
    try:
        consumer.assign([TopicPartition(RECORDS_TOPIC, number, at) for number, at in starts.items()])
        while len(found) < len(starts):
            message: Any = consumer.poll(seconds)
            if message is None:
                break  # the broker is slow: what is not known counts as backlog
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                continue
            found.setdefault(message.partition(), (message.offset(), None if error else _time_of(message)))
            consumer.pause([TopicPartition(RECORDS_TOPIC, message.partition())])
    finally:
        consumer.close()
    return found


def _time_of(message: Any) -> float | None:
    kind, milliseconds = message.timestamp()
    return None if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds / 1000
