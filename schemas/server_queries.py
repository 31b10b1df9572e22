"""What is asked of PostgreSQL about the pipeline and about the server, by every process that watches: one question has one
answer. The placeholders are psycopg2's."""

from typing import Final

WRITTEN: Final = (
    "SELECT partition, next_offset, topic_id FROM stream_offsets WHERE pipeline = %(pipeline)s AND topic = %(topic)s"
)
# Of dead letters within these bounds of their topic (a list of partitions, of first offsets, of the offsets after the last):
# those that something final was done about.
LETTERS_DONE: Final = """
SELECT count(DISTINCT (a.letter_partition, a.letter_offset)) FROM dead_letter_actions AS a
JOIN unnest(%(partitions)s::int[], %(begins)s::bigint[], %(ends)s::bigint[]) AS log(number, first, beyond)
ON a.letter_partition = log.number AND a.letter_offset >= log.first AND a.letter_offset < log.beyond
WHERE a.action IN ('sent', 'arrived', 'dropped')
"""
# That anybody but a superuser can have; reserved_connections exists from version 16 on.
CONNECTIONS_LIMIT: Final = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true), '0')::int
"""
# Timed and requested ones since the statistics were reset; from this version (as PostgreSQL numbers it) on they have a view
# of their own.
CHECKPOINTER_VIEW_SINCE: Final = 170_000
CHECKPOINTS_BEFORE: Final = "SELECT checkpoints_timed, checkpoints_req FROM pg_stat_bgwriter"
CHECKPOINTS: Final = "SELECT num_timed, num_requested FROM pg_stat_checkpointer"
# Bytes of write-ahead log since the cluster was made.
WAL_INSERTED: Final = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
