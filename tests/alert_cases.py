"""For each alert: series with which it fires, and such with which it must not."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Case(NamedTuple):
    """Series in promtool's notation, one value an interval, and whether the alert fires at a time."""

    alert: str
    what: str
    fires: bool
    at: str
    series: Mapping[str, str]
    interval: str = "30s"
    count: int = 1  # of the alert, one for each set of labels


PAUSED: Final = 'scanline_stream_paused_lanes_count{instance="a",reason="database"}'
STANDING: Final = 'scanline_stream_standing_lanes_count{instance="a"}'


def writes(all_of_them: str, within_5s: str) -> dict[str, str]:
    return {
        'scanline_sink_write_seconds_count{instance="a"}': all_of_them,
        'scanline_sink_write_seconds_bucket{instance="a",le="5.0"}': within_5s,
    }


def answers(within_200ms: str, all_of_them: str, failed: str) -> dict[str, str]:
    taken = 'route="/v1/tenants/{tenant_id}/scans",method="POST",status="202"'
    return {
        f'scanline_api_request_seconds_bucket{{{taken},le="0.2"}}': within_200ms,
        f'scanline_api_request_seconds_bucket{{{taken},le="0.5"}}': all_of_them,
        f'scanline_api_request_seconds_bucket{{{taken},le="+Inf"}}': all_of_them,
        f"scanline_api_request_seconds_count{{{taken}}}": all_of_them,
        f"scanline_api_request_seconds_count{{{taken.replace('202', '503')}}}": failed,
    }


def slices(within_30s: str, all_of_them: str) -> dict[str, str]:
    return {
        'scanline_stream_end_to_end_seconds_bucket{le="30.0"}': within_30s,
        "scanline_stream_end_to_end_seconds_count": all_of_them,
    }


def outcomes(stored: str, rejected: str) -> dict[str, str]:
    return {
        'scanline_sink_records_total{outcome="stored"}': stored,
        'scanline_sink_records_total{outcome="rejected"}': rejected,
    }


def disk(free: str) -> dict[str, str]:
    return {
        'scanline_disk_free_bytes{path_of="kafka"}': free,
        'scanline_disk_size_bytes{path_of="kafka"}': "1000x2000",
    }


CASES: Final = (
    Case("ScanlineLanePaused", "three lanes wait for the database", True, "3m", {PAUSED: "0 3x10"}),
    Case("ScanlineLanePaused", "a pause of half a minute", False, "3m", {PAUSED: "0 3 0x10"}),
    Case("ScanlineLanePaused", "none", False, "10m", {PAUSED: "0x30"}),
    Case("ScanlineLaneStuck", "a lane stands", True, "2m", {STANDING: "0 0 1x10"}),
    Case("ScanlineLaneStuck", "none stands", False, "2m", {STANDING: "0x10"}),
    Case("ScanlineLaneStuck", "it goes on", False, "4m", {STANDING: "0 1 1 0x20"}),
    Case("ScanlineMicroBatchSlow", "one of hundreds", True, "3m", writes("0+100x20", "0 100 199 299 399 499 599")),
    Case("ScanlineMicroBatchSlow", "all were quick", False, "3m", writes("7+100x20", "3+100x20")),
    Case("ScanlineMicroBatchSlow", "it is long ago", False, "10m", writes("0 1x40", "0x40")),
    Case("ScanlineLaneRestarted", "one was", True, "3m", {'scanline_stream_stalls_total{instance="a"}': "0 0 1x20"}),
    Case("ScanlineLaneRestarted", "none was", False, "3m", {'scanline_stream_stalls_total{instance="a"}': "4x20"}),
    Case("ScanlineOffsetsLost", "some were", True, "3m", {"scanline_stream_lost_offsets_total": "0 0 9x20"}),
    Case("ScanlineOffsetsLost", "none were", False, "3m", {"scanline_stream_lost_offsets_total": "9x20"}),
    Case("ScanlineLagGrowing", "for long", True, "25m", {'scanline_lag_messages{partition="1"}': "0+100x60"}),
    Case(
        "ScanlineLagGrowing",
        "many wait, and fewer",
        False,
        "25m",
        {'scanline_lag_messages{partition="1"}': "9000-100x60"},
    ),
    Case("ScanlineLagGrowing", "few wait, and more", False, "25m", {'scanline_lag_messages{partition="1"}': "0+10x60"}),
    Case(
        "ScanlineLagOld",
        "two partitions",
        True,
        "5m",
        {'scanline_lag_seconds{partition="1"}': "0+30x20", 'scanline_lag_seconds{partition="2"}': "100x20"},
        count=2,
    ),
    Case("ScanlineLagOld", "half a minute", False, "5m", {'scanline_lag_seconds{partition="1"}': "30x20"}),
    Case("ScanlineLagUnknown", "nobody tells it", True, "5m", {}),
    Case(
        "ScanlineLagUnknown",
        "the age of one is not known",
        True,
        "5m",
        {'scanline_lag_messages{partition="1"}': "5x20", 'scanline_lag_messages{partition="2"}': "0x20"},
    ),
    Case(
        "ScanlineLagUnknown",
        "nothing waits",
        False,
        "5m",
        {'scanline_lag_messages{partition="1"}': "0x20", 'scanline_lag_seconds{partition="1"}': "0x20"},
    ),
    Case(
        "ScanlinePartitionsUnowned",
        "one of two",
        True,
        "5m",
        {'scanline_lag_owned{partition="1"}': "0x20", 'scanline_lag_owned{partition="2"}': "1x20"},
    ),
    Case("ScanlinePartitionsUnowned", "a rebalance", False, "5m", {'scanline_lag_owned{partition="1"}': "1 0 0 1x20"}),
    Case(
        "ScanlineProcessDown",
        "a worker",
        True,
        "3m",
        {'up{job="scanline-worker",instance="a"}': "1 0x20", 'up{job="scanline-api",instance="b"}': "1x20"},
    ),
    Case("ScanlineProcessDown", "somebody else's", False, "3m", {'up{job="other"}': "0x20"}),
    Case("ScanlineDeadLetters", "three wait", True, "3m", {"scanline_dead_letters_waiting_count": "3x20"}),
    Case("ScanlineDeadLetters", "none waits", False, "3m", {"scanline_dead_letters_waiting_count": "0x20"}),
    Case("ScanlineRejectShare", "a fifth", True, "40m", outcomes("0+800x100", "0+200x100")),
    Case("ScanlineRejectShare", "a hundredth", False, "40m", outcomes("0+990x100", "0+10x100")),
    Case("ScanlineRejectShare", "half of a few", False, "40m", outcomes("0+1x100", "0+1x100")),
    Case("ScanlineApiSlow", "a tenth is late", True, "15m", answers("0+90x40", "0+100x40", "0x40")),
    Case("ScanlineApiSlow", "all in time", False, "15m", answers("0+100x40", "0+100x40", "0x40")),
    Case("ScanlineApiSlow", "nobody sends", False, "15m", answers("100x40", "100x40", "0x40")),
    Case("ScanlineApiErrors", "a tenth", True, "10m", answers("0+90x40", "0+90x40", "0+10x40")),
    Case(
        "ScanlineApiErrors",
        "submissions that were not taken",
        True,
        "10m",
        {
            'scanline_api_submissions_total{outcome="unavailable"}': "0 0 0 0 0 0 0 0 0 0 0 0 0 0 9x40",
            'scanline_api_submissions_total{outcome="accepted"}': "0+1x60",
        },
    ),
    Case("ScanlineApiErrors", "one in a thousand", False, "10m", answers("0+999x40", "0+999x40", "0+1x40")),
    Case(
        "ScanlinePoolWaiting",
        "for minutes",
        True,
        "3m",
        {'scanline_pool_waiting_count{pool="read",instance="a"}': "2x20"},
    ),
    Case(
        "ScanlinePoolWaiting",
        "for a moment",
        False,
        "3m",
        {'scanline_pool_waiting_count{pool="read",instance="a"}': "0 2 0x20"},
    ),
    Case(
        "ScanlinePoolExhausted", "one gave up", True, "3m", {'scanline_pool_exhausted_total{pool="read"}': "0 0 1x20"}
    ),
    Case(
        "ScanlinePoolExhausted", "nobody gave up", False, "3m", {'scanline_pool_exhausted_total{pool="read"}': "1x20"}
    ),
    Case("ScanlinePostgresDown", "it is", True, "3m", {"scanline_postgres_up": "1 0x20"}),
    Case("ScanlinePostgresDown", "it answers", False, "3m", {"scanline_postgres_up": "1x20"}),
    Case("ScanlineKafkaDown", "it is", True, "3m", {"scanline_kafka_up": "1 0x20"}),
    Case("ScanlineKafkaDown", "it answers", False, "3m", {"scanline_kafka_up": "1x20"}),
    Case("ScanlineDiskFilling", "full in hours", True, "8h", disk("480-1x500"), "1m"),
    Case("ScanlineDiskFilling", "quickly, and most is free", False, "5h", disk("990-1x400"), "1m"),
    Case("ScanlineDiskFilling", "it stays", False, "8h", disk("200x600"), "1m"),
    Case("ScanlineDiskFull", "a twentieth is free", True, "10m", disk("50x40")),
    Case("ScanlineDiskFull", "a fifth is free", False, "10m", disk("200x40")),
    Case(
        "ScanlineCheckpointsForced",
        "one in five minutes",
        True,
        "30m",
        {'scanline_postgres_checkpoints_total{kind="requested"}': "0+1x20"},
        "5m",
    ),
    Case(
        "ScanlineCheckpointsForced",
        "a backup, and timed ones",
        False,
        "30m",
        {
            'scanline_postgres_checkpoints_total{kind="requested"}': "0 1x20",
            'scanline_postgres_checkpoints_total{kind="timed"}': "0+1x20",
        },
        "5m",
    ),
    Case("ScanlineArchiveBehind", "many files wait", True, "10m", {"scanline_postgres_archive_pending_files": "20x40"}),
    Case("ScanlineArchiveBehind", "it fails", True, "10m", {"scanline_postgres_archive_failures_total": "0+1x40"}),
    Case(
        "ScanlineArchiveBehind",
        "one waits",
        False,
        "10m",
        {"scanline_postgres_archive_pending_files": "1x40", "scanline_postgres_archive_failures_total": "5x40"},
    ),
    Case(
        "ScanlineReplicationBehind",
        "a gigabyte",
        True,
        "10m",
        {'scanline_postgres_replication_lag_bytes{standby="b"}': "1000000000x40"},
    ),
    Case(
        "ScanlineReplicationBehind",
        "a megabyte",
        False,
        "10m",
        {'scanline_postgres_replication_lag_bytes{standby="b"}': "1000000x40"},
    ),
    Case(
        "ScanlineStandbyGone",
        "it was there ten minutes ago",
        True,
        "20m",
        {'scanline_postgres_replication_lag_bytes{standby="b"}': "0x20 stale", "scanline_postgres_up": "1x60"},
    ),
    Case(
        "ScanlineStandbyGone",
        "it is there",
        False,
        "20m",
        {'scanline_postgres_replication_lag_bytes{standby="b"}': "0x60", "scanline_postgres_up": "1x60"},
    ),
    Case(
        "ScanlineStandbyGone",
        "PostgreSQL does not answer",
        False,
        "20m",
        {'scanline_postgres_replication_lag_bytes{standby="b"}': "0x20 stale", "scanline_postgres_up": "1x20 0x40"},
    ),
    Case(
        "ScanlineConnectionsNearLimit",
        "95 of 97",
        True,
        "10m",
        {
            'scanline_postgres_connections_count{state="idle"}': "90x40",
            'scanline_postgres_connections_count{state="active"}': "5x40",
            "scanline_postgres_connections_limit": "97x40",
        },
    ),
    Case(
        "ScanlineConnectionsNearLimit",
        "50 of 97",
        False,
        "10m",
        {'scanline_postgres_connections_count{state="idle"}': "50x40", "scanline_postgres_connections_limit": "97x40"},
    ),
    Case(
        "ScanlineLongTransaction",
        "ten minutes",
        True,
        "5m",
        {"scanline_postgres_longest_transaction_seconds": "600x20"},
    ),
    Case(
        "ScanlineLongTransaction", "a minute", False, "5m", {"scanline_postgres_longest_transaction_seconds": "60x20"}
    ),
    Case(
        "ScanlineCertificateExpiring",
        "in 11 days",
        True,
        "2m",
        {'scanline_certificate_expiry_seconds{file="a.pem"}': "1000000x20"},
    ),
    Case(
        "ScanlineCertificateExpiring",
        "in 23 days",
        False,
        "2m",
        {'scanline_certificate_expiry_seconds{file="a.pem"}': "2000000x20"},
    ),
    Case(
        "ScanlineCertificateUnreadable",
        "no such file",
        True,
        "8m",
        {'scanline_certificate_readable{file="a.pem"}': "0x20"},
    ),
    Case(
        "ScanlineCertificateUnreadable",
        "it was read",
        False,
        "8m",
        {'scanline_certificate_readable{file="a.pem"}': "1x20"},
    ),
    Case(
        "ScanlineStatusTopicNotCompacted",
        "it is not",
        True,
        "8m",
        {'scanline_topic_compacted{topic="scan.status.v1"}': "0x40"},
    ),
    Case(
        "ScanlineStatusTopicNotCompacted",
        "another need not be",
        False,
        "8m",
        {
            'scanline_topic_compacted{topic="scan.status.v1"}': "1x40",
            'scanline_topic_compacted{topic="scan.records.v1"}': "0x40",
        },
    ),
    Case(
        "ScanlineAcceptObjective",
        "half is late: fast, and slow as well",
        True,
        "2h",
        answers("0+50x200", "0+100x200", "0x200"),
        "1m",
        2,
    ),
    Case(
        "ScanlineAcceptObjective",
        "all fail",
        True,
        "2h",
        {
            'scanline_api_request_seconds_count{route="/v1/tenants/{tenant_id}/scans",method="POST",status="503"}': "0+9x200",
        },
        "1m",
        2,
    ),
    Case(
        "ScanlineAcceptObjective",
        "2 % are late for hours: slow alone",
        True,
        "8h",
        answers("0+98x500", "0+100x500", "0x500"),
        "1m",
    ),
    Case(
        "ScanlineAcceptObjective",
        "one in a thousand is late",
        False,
        "8h",
        answers("0+999x500", "0+1000x500", "0x500"),
        "1m",
    ),
    Case(
        "ScanlineAcceptObjective",
        "it is over",
        False,
        "8h",
        answers("0+50x20 1100+100x500", "0+100x20 2100+100x500", "0x600"),
        "1m",
    ),
    Case(
        "ScanlineCommitObjective",
        "half of the slices: fast, and slow as well",
        True,
        "2h",
        slices("0+50x200", "0+100x200"),
        "1m",
        2,
    ),
    Case(
        "ScanlineCommitObjective",
        "a partition of two stands, nothing is written: fast, and slow as well",
        True,
        "2h",
        {'scanline_lag_seconds{partition="1"}': "100x200", 'scanline_lag_seconds{partition="2"}': "0x200"},
        "1m",
        2,
    ),
    Case(
        "ScanlineCommitObjective",
        "all in time",
        False,
        "8h",
        slices("0+100x500", "0+100x500") | {'scanline_lag_seconds{partition="1"}': "1x500"},
        "1m",
    ),
)
