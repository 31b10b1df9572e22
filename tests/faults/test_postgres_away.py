"""PostgreSQL is away for a while: scans are still accepted, the workers say that they wait, and nothing is lost."""

import httpx
from confluent_kafka import Consumer, TopicPartition

from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import DEAD_LETTERS, wait_for
from tests.load import LONG, Load, assert_exactly, hold, keys_of, metric
from tests.submissions import accepted, submit
from trials import generator

AWAY_SECONDS = 20
SETTINGS = {"SCANLINE_SESSION_TIMEOUT_SECONDS": "3"}


def paused_lanes(worker: Service) -> float:
    return metric(worker, "scanline_stream_paused_lanes_count")


def dead_letters(bootstrap: str) -> int:
    """Messages in the dead-letter topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "not-used", "log_level": 0})
    try:
        parts = consumer.list_topics(DEAD_LETTERS, timeout=30).topics[DEAD_LETTERS].partitions
        return sum(consumer.get_watermark_offsets(TopicPartition(DEAD_LETTERS, each), timeout=30)[1] for each in parts)
    finally:
        consumer.close()


def submitted(http: httpx.Client, tenant: str, rounds: int) -> dict[tuple[str, str], list[str]]:
    """Scans accepted over HTTP, and their keys."""
    scans = {}
    for number in range(rounds):
        lines = generator.records(500, number, tenant)
        answer = accepted(submit(http, tenant, generator.body(lines)))
        scans[tenant, answer["scan_id"]] = keys_of(lines)
    return scans


def test_postgres_stopped_while_scans_arrive(stack: Stack) -> None:
    api = stack.start_api()
    early = stack.start_worker(SETTINGS)
    over_http = {}
    with httpx.Client(base_url=api.base_url, timeout=60) as http, Load(stack.kafka.bootstrap) as load:
        over_http |= submitted(http, "before", 3)
        stack.postgres.stop()
        over_http |= submitted(http, "during", 10)
        wait_for(lambda: paused_lanes(early), "lanes are paused", LONG)
        health = early.health()
        assert not health["ok"] and health["paused_partitions"]
        assert metric(early, "scanline_sink_errors_total", sqlstate_class="08") > 0
        late = stack.start_worker(SETTINGS, wait=False)  # finds no database when it starts
        hold(AWAY_SECONDS)
        assert paused_lanes(early) and not early.is_ready()
        over_http |= submitted(http, "during", 1)
        stack.postgres.start()
        stack.postgres.wait_until_ready()
        for worker in (early, late):
            worker.wait_until_ready(LONG)
        over_http |= submitted(http, "after", 3)
    assert_exactly(stack, load.published | over_http)
    assert [paused_lanes(worker) for worker in (early, late)] == [0, 0]
    assert dead_letters(stack.kafka.bootstrap) == 0
