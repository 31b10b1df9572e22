"""Dead letters that an operator sent again, as they come in: each takes itself off its scan's count of unreadable messages."""

from typing import Final

from sinks.postgres.calls import TimedCursor
from sinks.protocol import MicroBatch

_LETTER_BYTES: Final = 200  # of the statement, for each
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


def note_returned(cursor: TimedCursor, batch: MicroBatch) -> set[int]:
    """Offsets of the messages that were dead letters, were sent again by an operator, and are here for the first time."""
    back = [(message, message.envelope.letter) for message in batch.messages if message.envelope.letter is not None]
    arrived: set[int] = set()
    for part in cursor.parts.cut(back, lambda _: _LETTER_BYTES):
        cursor.execute(
            _ARRIVED,
            {
                "topic": batch.topic,
                "partition": batch.partition,
                "partitions": [letter.partition for _, letter in part],
                "offsets": [letter.offset for _, letter in part],
                "times": [letter.failed_at_ms for _, letter in part],
                "tenants": [message.envelope.tenant_id for message, _ in part],
                "scans": [message.envelope.scan_id for message, _ in part],
                "places": [message.offset for message, _ in part],
            },
        )
        arrived.update(row[0] for row in cursor.fetchall())
    return arrived
