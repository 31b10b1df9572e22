"""The settings of the command line: where they come from, what they may be, and what is said of one that is wrong."""

from pathlib import Path

import pytest

from infra.errors import InfraError
from infra.processes.running_file import announced
from infra.settings import PROJECT, InfraSettings


@pytest.fixture(autouse=True)
def _nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANLINE_DATA_DIR", str(tmp_path))


def test_each_is_read_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANLINE_KAFKA_PARTITIONS", "7")
    monkeypatch.setenv("SCANLINE_JAVA_HOME", "/opt/java")
    monkeypatch.setenv("scanline_api_url", "http://127.0.0.1:1")  # whatever the case of its name
    monkeypatch.setenv("SCANLINE_NOBODY_KNOWS_IT", "x")
    settings = InfraSettings()
    assert (settings.kafka_partitions, settings.java_home) == (7, Path("/opt/java"))
    assert settings.api_url == "http://127.0.0.1:1"
    assert settings.kafka_libs == PROJECT / ".runtime" / "kafka" / "libs"
    assert settings.postgres_read_url is None


def test_a_running_system_gives_what_the_environment_leaves_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "up"
    folder.mkdir()
    url = "postgresql://reader:a ${HOME} #1@127.0.0.1:1/x"
    found = {"SCANLINE_POSTGRES_READ_URL": url, "SCANLINE_KAFKA_BOOTSTRAP": "127.0.0.1:2"}
    monkeypatch.setenv("SCANLINE_KAFKA_BOOTSTRAP", "127.0.0.1:3")
    with announced(folder, found):
        settings = InfraSettings()
        assert settings.url("read") == url
        assert settings.kafka_bootstrap == "127.0.0.1:3"
    with pytest.raises(InfraError, match="SCANLINE_POSTGRES_READ_URL"):
        InfraSettings().url("read")


def test_everything_that_is_wrong_is_named_in_both_languages_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANLINE_KAFKA_PARTITIONS", "0")
    monkeypatch.setenv("SCANLINE_KAFKA_REPLICATION", "hush")
    monkeypatch.setenv("SCANLINE_API_URL", "hush\udcff")
    with pytest.raises(InfraError) as caught:
        InfraSettings()
    assert caught.value.code == "settings_wrong"
    assert caught.value.vi == (
        "Cấu hình không đúng: SCANLINE_KAFKA_PARTITIONS: phải từ 1 trở lên;"
        " SCANLINE_KAFKA_REPLICATION: phải là số nguyên; SCANLINE_API_URL: không phải UTF-8."
    )
    assert caught.value.en == (
        "Settings are wrong: SCANLINE_KAFKA_PARTITIONS: must be 1 or more;"
        " SCANLINE_KAFKA_REPLICATION: must be a whole number; SCANLINE_API_URL: is not UTF-8."
    )


def test_a_password_is_printed_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANLINE_POSTGRES_WRITE_URL", "postgresql://writer:hush@127.0.0.1:1/x")
    settings = InfraSettings()
    assert settings.url("write") == "postgresql://writer:hush@127.0.0.1:1/x"
    assert "hush" not in f"{settings} {settings!r} {settings.shown()} {settings.postgres_write_url}"
    assert settings.shown()["postgres_write_url"] == "**********"
