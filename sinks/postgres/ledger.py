"""The ledger in PostgreSQL, its memory of the messages it has had: numbered arrays, dead letters that came back,
rejections that stand open (see sinks.effects.Ledger)."""

from typing import Final

from schemas.decoder import Incoming
from sinks.postgres.calls import TimedCursor
from sinks.protocol import MicroBatch

_ENTRY_BYTES: Final = 200  # of a statement, for each array or letter
_ARRAYS: Final = """
INSERT INTO scan_messages (tenant_id, scan_id, first_index, records, kafka_partition, kafka_offset)
SELECT t, s, i, n, %(partition)s, o
FROM unnest(%(tenants)s::text[], %(scans)s::uuid[], %(indexes)s::int[], %(records)s::int[], %(offsets)s::bigint[])
     AS m (t, s, i, n, o)
ON CONFLICT DO NOTHING RETURNING kafka_offset
"""
# Only what was claimed for this very scan counts, and only once: anybody can write a header.
_ARRIVED: Final = """
INSERT INTO dead_letter_actions (letter_partition, letter_offset, failed_at_ms, action, tenant_id, scan_id, actor, details)
SELECT c.letter_partition, c.letter_offset, c.failed_at_ms, 'arrived', c.tenant_id, c.scan_id, 'worker',
       jsonb_build_object('topic', %(topic)s::text, 'partition', %(partition)s, 'offset', m.at)
FROM unnest(%(partitions)s::int[], %(offsets)s::bigint[], %(times)s::bigint[], %(tenants)s::text[], %(scans)s::uuid[],
            %(places)s::bigint[]) AS m (p, o, f, t, s, at)
JOIN dead_letter_actions AS c ON (c.letter_partition, c.letter_offset, c.failed_at_ms, c.action) = (m.p, m.o, m.f, 'claimed')
                             AND c.tenant_id = m.t AND c.scan_id = m.s
ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING RETURNING (details->>'offset')::bigint
"""
_OPEN: Final = """
SELECT id, record_index FROM rejected_records
WHERE tenant_id = %(tenant)s AND scan_id = %(scan)s
  AND (record_index = ANY (%(indexes)s::int[]) OR id = ANY (%(ids)s::bigint[]) AND record_index IS NULL)
ORDER BY id DESC
"""
# Moves them to mended_records. The right to delete is the function's alone (migration 0005).
_TAKE: Final = "SELECT take_rejections('rejected_records', %(ids)s::bigint[], %(partition)s, %(offset)s)"


class PostgresLedger:
    """The ledger as one micro-batch sees it, under the locks of its scans: two corrections of one record, or two copies
    of one array, meet one after the other, and the second finds nothing to take. A message that is read again finds
    nothing either."""

    def __init__(self, cursor: TimedCursor, batch: MicroBatch) -> None:
        self._cursor = cursor
        self._batch = batch

    def resent(self) -> set[int]:
        first: dict[tuple[str, str, int], Incoming] = {}
        numbered: set[int] = set()
        for message in self._batch.messages:
            index = message.envelope.first_index
            if index is not None and message.record_count:
                numbered.add(message.offset)
                first.setdefault((message.envelope.tenant_id, message.envelope.scan_id, index), message)
        if not first:
            return set()
        ordered = [first[key] for key in sorted(first)]
        for part in self._cursor.parts.cut(ordered, lambda _: _ENTRY_BYTES):
            self._cursor.execute(
                _ARRAYS,
                {
                    "partition": self._batch.partition,
                    "tenants": [message.envelope.tenant_id for message in part],
                    "scans": [message.envelope.scan_id for message in part],
                    "indexes": [message.envelope.first_index for message in part],
                    "records": [message.record_count for message in part],
                    "offsets": [message.offset for message in part],
                },
            )
            numbered.difference_update(row[0] for row in self._cursor.fetchall())
        return numbered

    def returned(self) -> set[int]:
        """An operator's claim stands in dead_letter_actions."""
        back = [
            (message, message.envelope.letter)
            for message in self._batch.messages
            if message.envelope.letter is not None
        ]
        arrived: set[int] = set()
        for part in self._cursor.parts.cut(back, lambda _: _ENTRY_BYTES):
            self._cursor.execute(
                _ARRIVED,
                {
                    "topic": self._batch.topic,
                    "partition": self._batch.partition,
                    "partitions": [letter.partition for _, letter in part],
                    "offsets": [letter.offset for _, letter in part],
                    "times": [letter.failed_at_ms for _, letter in part],
                    "tenants": [message.envelope.tenant_id for message, _ in part],
                    "scans": [message.envelope.scan_id for message, _ in part],
                    "places": [message.offset for message, _ in part],
                },
            )
            arrived.update(row[0] for row in self._cursor.fetchall())
        return arrived

    def mended(self, message: Incoming) -> set[int]:
        """Each takes its rejection away (docs/kafka-contract.md)."""
        mends = message.envelope.mends
        self._cursor.execute(
            _OPEN,
            {
                "tenant": message.envelope.tenant_id,
                "scan": message.envelope.scan_id,
                "indexes": [mend for mend in mends if mend >= 0],
                "ids": [-mend for mend in mends if mend < 0],
            },
        )
        # of several under one index the one that was rejected first
        rejections = {(-number if index is None else index): number for number, index in self._cursor.fetchall()}
        taken = {rejections.pop(mend): position for position, mend in enumerate(mends) if mend in rejections}
        if taken:
            self._cursor.execute(
                _TAKE, {"ids": list(taken), "partition": self._batch.partition, "offset": message.offset}
            )
        return set(taken.values())
