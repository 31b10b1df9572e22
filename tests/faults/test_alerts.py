"""What breaks reaches an operator, in Vietnamese and English: by Prometheus' rules and through Alertmanager, as a mail and at
a webhook. And so does its end."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from infra.processes.child import free_port
from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import Database, Publisher, new_scan, wait_for
from tests.load import LONG
from tests.monitoring import RULES, Inbox, alertmanager, prometheus
from tests.row_locks import held
from trials import generator
from trials.chaos.links import Hop, Link


@contextmanager
def watched(folder: Path, worker: Service) -> Iterator[Inbox]:
    """What the operators of this worker get."""
    with alertmanager(folder) as (url, inbox):
        with prometheus(folder, {"scanline-worker": [worker]}, rules=RULES, alertmanager=url):
            yield inbox


def told(inbox: Inbox, alert: str) -> tuple[EmailMessage, dict[str, Any]]:
    """The mail and what the webhook got, once both are there."""
    mail = wait_for(lambda: inbox.mail(alert, "ALERT"), f"a mail tells {alert}", LONG)
    post = wait_for(lambda: inbox.post(alert, "firing"), f"the webhook is told {alert}", LONG)
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    for note in post["annotations"].values():
        assert note in text
    assert post["annotations"]["summary_vi"] in mail["Subject"]
    assert text.index(post["annotations"]["summary_vi"]) < text.index(post["annotations"]["summary_en"])
    return mail, post


def over(inbox: Inbox, alert: str) -> None:
    wait_for(lambda: inbox.mail(alert, "OVER"), f"a mail says that {alert} is over", LONG)
    wait_for(lambda: inbox.post(alert, "resolved"), f"the webhook is told that {alert} is over", LONG)


@pytest.mark.long
def test_postgres_stopped(stack: Stack, tmp_path: Path) -> None:
    worker = stack.start_worker()
    with Publisher(stack.kafka.bootstrap) as publisher, watched(tmp_path, worker) as inbox:
        stack.postgres.stop()
        publisher.scan("alerts", generator.records(10, 1, "alerts"))
        _, post = told(inbox, "ScanlineLanePaused")
        assert re.fullmatch(r"Số làn tạm dừng: \d+, lý do: database", post["annotations"]["summary_vi"])
        assert re.fullmatch(r"Lanes paused: \d+, reason: database", post["annotations"]["summary_en"])
        assert post["labels"]["severity"] == "critical"
        stack.postgres.start()
        stack.postgres.wait_until_ready()
        over(inbox, "ScanlineLanePaused")


@pytest.mark.long
def test_a_slow_database(stack: Stack, tmp_path: Path) -> None:
    """Each answer takes seconds; the micro-batch is written all the same."""
    link = Link("worker-postgres", [Hop(free_port(), stack.postgres.port)], tmp_path / "link.log")
    link.start()
    try:
        url = stack.env["SCANLINE_POSTGRES_WRITE_URL"].replace(f":{stack.postgres.port}/", f":{link.port}/")
        worker = stack.start_worker({"SCANLINE_POSTGRES_WRITE_URL": url})
        with (
            Publisher(stack.kafka.bootstrap) as publisher,
            Database(stack.postgres.superuser_dsn()) as database,
            watched(tmp_path, worker) as inbox,
        ):
            first = publisher.scan("alerts", generator.records(10, 1, "alerts"))
            publisher.flush()
            database.finished("alerts", first)
            link.slow(latency_ms=1_500)
            second = publisher.scan("alerts", generator.records(100, 2, "alerts"))
            publisher.flush()
            _, post = told(inbox, "ScanlineMicroBatchSlow")
            assert "có lô nhỏ ghi lâu hơn 5 giây" in post["annotations"]["summary_vi"]
            assert "took longer than 5 seconds" in post["annotations"]["summary_en"]
            link.heal()
            assert database.finished("alerts", second, LONG)["records_stored"] == 100
    finally:
        link.stop()


@pytest.mark.long
def test_a_stuck_lane(stack: Stack, tmp_path: Path) -> None:
    """Somebody else's transaction holds a row that the lane needs."""
    settings = {"SCANLINE_WRITE_DEADLINE_SECONDS": "600", "SCANLINE_STREAM_STALL_SECONDS": "900"}
    worker = stack.start_worker(settings)
    scan, lines = new_scan(), generator.records(20, 1, "alerts")
    with (
        Publisher(stack.kafka.bootstrap) as publisher,
        Database(stack.postgres.superuser_dsn()) as database,
        watched(tmp_path, worker) as inbox,
    ):
        publisher.records("alerts", scan, lines[:10])
        publisher.flush()
        wait_for(lambda: database.scan("alerts", scan), "the scan is there")
        with held(stack, [("alerts", scan)]):
            publisher.records("alerts", scan, lines[10:], first=10)
            publisher.closed("alerts", scan, len(lines))
            publisher.flush()
            _, post = told(inbox, "ScanlineLaneStuck")
            assert "có việc mà đứng yên" in post["annotations"]["summary_vi"]
            assert "that have work and stand still" in post["annotations"]["summary_en"]
        over(inbox, "ScanlineLaneStuck")
        assert database.finished("alerts", scan, LONG)["status"] == "completed"
