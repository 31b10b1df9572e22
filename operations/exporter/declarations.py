"""The exporter's metrics, each declared once. None holds a sample here: every scrape gets copies of them."""

from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

LAG_MESSAGES: Final = GaugeMetricFamily(
    "scanline_lag_messages",
    "Messages sent and not written, by PostgreSQL's offset, or by the group's while PostgreSQL is away. Growing: scanline lag"
    " says who owns the partition and why it waits.",
    labels=["partition"],
)
LAG_SECONDS: Final = GaugeMetricFamily(
    "scanline_lag_seconds",
    "Age of the first message that is not written, by the broker's stamp; 0 where none waits. Above 60: look at scanline lag.",
    labels=["partition"],
)
LAG_WRITTEN_OFFSET: Final = GaugeMetricFamily(
    "scanline_lag_written_offset",
    "Offset up to which PostgreSQL has the partition. Not moving while the end does: no worker, or a lane that waits.",
    labels=["partition"],
)
LAG_END_OFFSET: Final = GaugeMetricFamily(
    "scanline_lag_end_offset",
    "Offset after the partition's last message. Lower than before: the topic was made anew, or lost its end.",
    labels=["partition"],
)
LAG_OWNED: Final = GaugeMetricFamily(
    "scanline_lag_owned",
    "1 where a worker of the group has the partition. 0 for longer than a rebalance: start workers.",
    labels=["partition"],
)
POSTGRES_UP: Final = GaugeMetricFamily(
    "scanline_postgres_up",
    "1 where PostgreSQL answers the exporter. 0: its other series are left out; look at the server.",
)
KAFKA_UP: Final = GaugeMetricFamily(
    "scanline_kafka_up", "1 where Kafka answers the exporter. 0: its other series are left out; look at the brokers."
)
COLLECT_SECONDS: Final = GaugeMetricFamily(
    "scanline_exporter_collect_seconds",
    "What the last look at this source took. Near SCANLINE_EXPORTER_ANSWER_SECONDS: the source is slow or silent.",
    labels=["source"],
)
CHECKPOINTS: Final = CounterMetricFamily(
    "scanline_postgres_checkpoints",
    "Checkpoints, timed or requested. Many requested under load: raise max_wal_size.",
    labels=["kind"],
)
WAL_BYTES: Final = CounterMetricFamily(
    "scanline_postgres_wal_bytes",
    "Bytes of write-ahead log since the cluster was made. What archive and standbys must carry.",
)
LOCKS_WAITING: Final = GaugeMetricFamily(
    "scanline_postgres_locks_waiting_count",
    "Locks that are waited for. Above 0 for long: pg_locks and pg_blocking_pids name who holds them.",
)
DEAD_ROWS: Final = GaugeMetricFamily(
    "scanline_postgres_dead_rows",
    "Dead rows that wait for vacuum, by table, its partitions together. Growing: look at autovacuum and at old transactions.",
    labels=["table"],
)
TABLE_BYTES: Final = GaugeMetricFamily(
    "scanline_postgres_table_bytes",
    "Bytes of a table with its indexes, its partitions together. Against scanline_disk_free_bytes: when the disk is full.",
    labels=["table"],
)
CONNECTIONS: Final = GaugeMetricFamily(
    "scanline_postgres_connections_count",
    "Clients' connections by state. Near the limit: fewer pools, or more connections; idle in transaction: somebody holds rows.",
    labels=["state"],
)
CONNECTIONS_LIMIT: Final = GaugeMetricFamily(
    "scanline_postgres_connections_limit",
    "Connections that are not kept for superusers. Raise max_connections when near it.",
)
ARCHIVE_PENDING: Final = GaugeMetricFamily(
    "scanline_postgres_archive_pending_files",
    "WAL files that wait to be archived. Growing: the archive is slow or refuses, and the disk fills up.",
)
ARCHIVE_FAILURES: Final = CounterMetricFamily(
    "scanline_postgres_archive_failures",
    "Attempts of archive_command that failed. Growing: PostgreSQL's log says why; no backup is complete meanwhile.",
)
REPLICATION_LAG: Final = GaugeMetricFamily(
    "scanline_postgres_replication_lag_bytes",
    "Bytes of WAL that a standby has not replayed. Growing: look at the standby and at the network to it.",
    labels=["standby"],
)
LONGEST_TRANSACTION: Final = GaugeMetricFamily(
    "scanline_postgres_longest_transaction_seconds",
    "Age of the oldest transaction of a client. Above 300: pg_stat_activity names it; vacuum cannot clean behind it.",
)
DISK_FREE: Final = GaugeMetricFamily(
    "scanline_disk_free_bytes",
    "Bytes that an ordinary user may still write on the disk of Kafka or PostgreSQL. Near 0: both stop.",
    labels=["path_of"],
)
DISK_SIZE: Final = GaugeMetricFamily(
    "scanline_disk_size_bytes", "Bytes of that disk. For the share that is free.", labels=["path_of"]
)
TOPIC_COMPACTED: Final = GaugeMetricFamily(
    "scanline_topic_compacted",
    "1 where the topic's cleanup.policy holds compact. 0 of scan.status.v1: statuses will be lost; run scanline topics.",
    labels=["topic"],
)
TOPIC_PARTITIONS: Final = GaugeMetricFamily(
    "scanline_topic_partitions", "The topic's partitions. Other than SCANLINE_KAFKA_PARTITIONS: run scanline topics.",
    labels=["topic"],
)  # fmt: skip
CERTIFICATE_EXPIRY: Final = GaugeMetricFamily(
    "scanline_certificate_expiry_seconds",
    "Unix time at which the certificate ends. Within 14 days: renew it.",
    labels=["file"],
)
CERTIFICATE_READABLE: Final = GaugeMetricFamily(
    "scanline_certificate_readable",
    "1 where the certificate's file can be read. 0: its end is not known; look at its path, its rights and its content.",
    labels=["file"],
)
COMPLIANCE_RECORDS: Final = CounterMetricFamily(
    "scanline_compliance_records",
    "Records stored today, of all tenants, by category (all: each once): all of them, sensitive ones, across the border."
    " Begins anew at midnight in Vietnam.",
    labels=["category", "kind"],
)
DEAD_LETTERS_WAITING: Final = GaugeMetricFamily(
    "scanline_dead_letters_waiting_count",
    "Letters in scan.dlq.v1 that were neither sent again nor dropped. Above 0: scanline dlq list.",
)
