"""A cluster whose brokers are away for longer than anybody asks and waits: lanes go on, and nobody has to help afterwards.

librdkafka's admin client tells an unanswered question for offsets as an offset of -1001, without an error, and hears of new leaders
once in five minutes: worker and API must take the one for no answer, and not wait for the other.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from confluent_kafka import ElectionType, KafkaException

from infra.processes.services import Service
from kafka_client.clients import quiet_admin
from kafka_client.offsets import Log, topic_logs_of
from schemas.topics import RECORDS_TOPIC
from stream_app.broker_logs import Ends, LogBounds
from tests.helpers import Database, wait_for
from tests.load import LONG, Load, assert_exactly, hold, metric, wait_for_messages, worker_log
from trials.chaos.rig import Rig

pytestmark = pytest.mark.long

AWAY_SECONDS = 30.0  # the worker asks every two seconds, for five at most, and believes what it hears three times
PARTITIONS = list(range(12))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path / "rig", brokers=3) as running:
        running.start_servers()
        yield running


def elect_preferred_leaders(bootstrap: str) -> None:
    """What brokers do by themselves every five minutes: leadership moves although nobody was lost."""
    admin = quiet_admin(bootstrap)  # held until it has answered
    admin.elect_leaders(ElectionType.PREFERRED, None).result()


def answer_for_unknown_scan(url: str) -> int:
    """404 takes that the API has read all that the status topic holds now."""
    return httpx.get(f"{url}/v1/tenants/tenant-00/scans/{uuid.uuid4()}", timeout=60).status_code


def test_one_broker_away_for_half_a_minute(rig: Rig) -> None:
    """Everything goes on, without it and with it."""
    worker, api = rig.start_worker(), rig.start_api()
    with Load(rig.kafka.bootstrap) as load, Database(rig.admin_dsn) as database:
        wait_for_messages(database, 120)
        leader = rig.kafka.leader_of(RECORDS_TOPIC, 0)
        leader.kill()
        wait_for_messages(database, 200)
        hold(AWAY_SECONDS)
        wait_for_messages(database, 200)
        wait_for(lambda: answer_for_unknown_scan(api.base_url) == 404, "the API hears of the new leaders")
        leader.start()
        rig.kafka.wait_until_ready()
        rig.kafka.wait_until_in_sync()
        wait_for_messages(database, 200)
        elect_preferred_leaders(rig.kafka.bootstrap)
        wait_for_messages(database, 200)
        wait_for(lambda: answer_for_unknown_scan(api.base_url) == 404, "the API hears of the leaders again")
    assert_exactly(rig, load.published)
    assert_nobody_had_to_help(worker)


@pytest.mark.parametrize("way", ["two killed", "all frozen"])
def test_a_cluster_away_for_half_a_minute(rig: Rig, way: str) -> None:
    """Nothing can be written, and all goes on by itself afterwards."""
    worker = rig.start_worker()
    with Load(rig.kafka.bootstrap) as load, Database(rig.admin_dsn) as database:
        wait_for_messages(database, 120)
        if way == "two killed":
            victims = rig.kafka.brokers[:2]
            for broker in victims:
                broker.kill()
            hold(AWAY_SECONDS)
            for broker in victims:
                broker.start()
        else:
            for broker in rig.kafka.brokers:
                broker.freeze()
            hold(AWAY_SECONDS)
            for broker in rig.kafka.brokers:
                broker.thaw()
        rig.kafka.wait_until_ready()
        wait_for_messages(database, 200)
    assert_exactly(rig, load.published)
    assert_nobody_had_to_help(worker)


def assert_nobody_had_to_help(worker: Service) -> None:
    assert "not the log that offset" not in worker_log(worker)
    assert metric(worker, "scanline_stream_paused_lanes_count") == 0
    wait_for(worker.is_ready, "the worker is ready", LONG)


def test_offsets_are_reported_while_brokers_come_and_go(rig: Rig) -> None:
    """By clients that live as long as their process."""
    bounds, ends, admin = LogBounds(rig.kafka.bootstrap), Ends(rig.kafka.bootstrap), quiet_admin(rig.kafka.bootstrap)

    def are_told() -> bool:
        logs, read_to = bounds(PARTITIONS).logs, ends(PARTITIONS)
        assert set(logs.values()) <= {Log(0, 0)} and set(read_to.values()) <= {0}
        try:
            assert set(topic_logs_of(admin, RECORDS_TOPIC, PARTITIONS, 10).logs.values()) == {Log(0, 0)}
        except (KafkaException, TimeoutError):
            return False
        return sorted(logs) == sorted(read_to) == PARTITIONS

    assert are_told()
    leader = rig.kafka.leader_of(RECORDS_TOPIC, 0)
    leader.kill()
    wait_for(are_told, "the other brokers lead, and are asked")
    leader.start()
    rig.kafka.wait_until_ready()
    rig.kafka.wait_until_in_sync()
    assert are_told()
    elect_preferred_leaders(rig.kafka.bootstrap)
    wait_for(are_told, "the old leaders are asked again", 20)
    for broker in rig.kafka.brokers[:2]:
        broker.freeze()
    assert not are_told()
    for broker in rig.kafka.brokers[:2]:
        broker.thaw()
    wait_for(are_told, "all are back")
