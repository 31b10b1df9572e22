"""A link to PostgreSQL that is slow rather than away stores rows all the same; one that swallows them is noticed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from infra.processes.child import free_port
from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import Database, Publisher, assert_accounted, changed, wait_for
from tests.load import LONG, metric, worker_log
from tests.murmur2 import partition_of
from trials import generator
from trials.chaos.links import Hop, Link

KILOBYTES: Final = 20  # a second
SETTINGS: Final = {"SCANLINE_WRITE_DEADLINE_SECONDS": "3", "SCANLINE_STREAM_PROBE_SECONDS": "0.2"}

# Transactions of the worker's in a statement that began when a single one would have missed its deadline: it is sent in parts.
LASTING: Final = """
SELECT pid FROM pg_stat_activity
WHERE application_name = 'scanline-worker' AND query_start > xact_start + interval '4 seconds'
"""


@pytest.fixture
def link(stack: Stack, tmp_path: Path) -> Iterator[Link]:
    """Between the worker and PostgreSQL."""
    between = Link("worker-postgres", [Hop(free_port(), stack.postgres.port)], tmp_path / "link.log")
    between.start()
    yield between
    between.stop()


def start_worker(stack: Stack, link: Link, stall_seconds: int) -> Service:
    url = stack.env["SCANLINE_POSTGRES_WRITE_URL"].replace(f":{stack.postgres.port}/", f":{link.port}/")
    settings = {
        **SETTINGS,
        "SCANLINE_POSTGRES_WRITE_URL": url,
        "SCANLINE_STREAM_STALL_SECONDS": str(stall_seconds),
    }
    return stack.start_worker(settings)


@pytest.mark.long
def test_over_a_slow_link_everything_is_stored(stack: Stack, link: Link) -> None:
    """Neither the rows of one message, nor the bytes of one refused record, pass within a statement's deadline; and a call that
    takes longer than a lane may stand still is not started again while it gets on."""
    worker = start_worker(stack, link, stall_seconds=10)
    lines = generator.records(600, 1, "slow")
    lines[300] = changed(lines[300], name="a" * 50_000)
    with Database(stack.postgres.superuser_dsn()) as database, Publisher(stack.kafka.bootstrap) as publisher:
        before = publisher.scan("slow", generator.records(10, 2, "slow"))
        publisher.flush()
        assert database.finished("slow", before)["status"] == "completed"
        link.slow(latency_ms=5, rate_kb=KILOBYTES)
        scan = publisher.scan("slow", lines)
        publisher.flush()
        row = database.finished("slow", scan, LONG)
        assert (row["status"], row["records_stored"]) == ("completed_with_errors", 599)
        assert_accounted(database, "slow", scan)
        assert database.rejected("slow", scan)[0]["original"].tobytes() == lines[300]
        assert metric(worker, "scanline_sink_part_bytes") > 0
        assert metric(worker, "scanline_stream_stalls_total") == 0
        link.heal()
        after = [publisher.scan("slow", generator.records(1_000, 3 + number, "slow")) for number in range(6)]
        publisher.flush()
        for each in after:
            assert database.finished("slow", each, LONG)["status"] == "completed"


def test_a_link_that_falls_silent_between_two_parts_is_given_up(stack: Stack, link: Link) -> None:
    """It takes every byte, confirms it and delivers none, so that no timeout of TCP's or PostgreSQL's runs out. The transaction
    has gone on for longer than one deadline by then, and the watchdog is far away."""
    worker = start_worker(stack, link, stall_seconds=600)
    lines = generator.records(600, 1, "silent")
    with Database(stack.postgres.superuser_dsn()) as database, Publisher(stack.kafka.bootstrap) as publisher:
        before = publisher.scan("silent", generator.records(10, 2, "silent"))
        publisher.flush()
        assert database.finished("silent", before)["status"] == "completed"
        link.slow(latency_ms=5, rate_kb=KILOBYTES)
        scan = publisher.scan("silent", lines)
        publisher.flush()
        wait_for(lambda: metric(worker, "scanline_sink_part_bytes") and database.rows(LASTING), "parts are sent", LONG)
        failed = f"partition {partition_of(b'silent')}: attempt"  # not of other lanes, which time out too
        before_silence = worker_log(worker).count(failed)
        assert link.pid is not None
        os.kill(link.pid, signal.SIGSTOP)  # not link.stall(), which heals it first
        try:
            wait_for(lambda: worker_log(worker).count(failed) > before_silence, "the call is given up")
        finally:
            os.kill(link.pid, signal.SIGCONT)
        assert metric(worker, "scanline_stream_stalls_total") == 0
        link.heal()
        assert database.finished("silent", scan, LONG)["records_stored"] == len(lines)
        assert_accounted(database, "silent", scan)
