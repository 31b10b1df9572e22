"""A broker that was stopped in order leaves its classes behind, and the next one maps them instead of parsing jars."""

from pathlib import Path

import psutil
import pytest

from infra.kafka.broker import KafkaBroker
from infra.kafka.class_archive import ClassArchive
from infra.settings import InfraSettings
from tests.servers import Servers


def test_brokers_map_what_an_earlier_one_left(servers: Servers) -> None:
    """Whoever made the servers that this one is a copy of stopped its own in order."""
    settings = InfraSettings()
    brokers = [each for each in psutil.Process().children() if "kafka.Kafka" in each.cmdline()]
    if not brokers:
        pytest.skip("Kafka is none of ours")
    archive = ClassArchive(settings.kafka_libs.resolve(), settings.java()).file
    assert str(archive) in Path(f"/proc/{brokers[0].pid}/maps").read_text()


@pytest.mark.long
def test_the_next_broker_maps_what_the_first_left(tmp_path: Path) -> None:
    settings = InfraSettings()
    libs = tmp_path / "kafka" / "libs"
    libs.parent.mkdir()
    libs.symlink_to(settings.kafka_libs.resolve())
    broker = KafkaBroker(tmp_path / "broker", libs, settings.java())
    archive = ClassArchive(libs, settings.java()).file
    try:
        broker.start()
        broker.wait_until_ready()
        broker.stop(120)
        assert archive.exists() and sorted(libs.parent.iterdir()) == sorted([libs, archive])
        broker.start()
        broker.wait_until_ready()
        assert str(archive) in Path(f"/proc/{broker.pid}/maps").read_text()
    finally:
        broker.stop()


@pytest.mark.long
def test_what_a_killed_broker_wrote_is_not_taken(tmp_path: Path) -> None:
    libs = tmp_path / "libs"
    archive = ClassArchive(libs, "java")
    (option,) = archive.wanted()
    draft = Path(option.partition("=")[2])
    draft.write_text("half of it")
    archive.keep(whole=False)
    assert list(tmp_path.iterdir()) == []
    draft.write_text("all of it")
    archive.keep(whole=True)
    assert list(tmp_path.iterdir()) == [archive.file] and archive.wanted() == []
