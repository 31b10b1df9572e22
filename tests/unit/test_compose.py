"""docker-compose.yml and Dockerfile name nothing that does not exist. No Docker engine is needed."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic_settings import BaseSettings
from sqlalchemy.engine import make_url

from cli import main
from cli.commands import all_commands
from infra.postgres.cluster import ROLES
from infra.settings import InfraSettings
from operations.exporter.settings import ExporterSettings
from producer_api.settings import ApiSettings
from stream_app.settings import WorkerSettings
from tests.commands import environment
from tests.fixed_server import fixed_server
from tests.packages import program

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
SETTINGS: dict[str, type[BaseSettings] | type[InfraSettings]] = {
    "api": ApiSettings,
    "worker": WorkerSettings,
    "exporter": ExporterSettings,
    "setup": InfraSettings,
}
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(:-[^}]*|:\?[^}]+)?\}")


def _example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _strings(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [found for value in node.values() for found in _strings(value)]
    if isinstance(node, list):
        return [found for value in node for found in _strings(value)]
    return [node] if isinstance(node, str) else []


def _filled(text: str, values: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values[match[1]], text)


def test_it_is_valid_against_the_compose_specification() -> None:
    # read as a file: to be run the package wants a newer click than Faust's
    path = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(path)).read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(COMPOSE)] == []
    assert not validator.is_valid(COMPOSE | {"services": {"api": {"imagee": "x"}}})  # the check does check


def test_the_services_are_those_of_the_design() -> None:
    assert set(SERVICES) == {
        "kafka", "postgres", "setup", "api", "worker", "exporter", "prometheus", "alertmanager", "grafana",
    }  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_or_built_here(name: str) -> None:
    service = SERVICES[name]
    image, tag = service["image"].rsplit(":", 1)
    if "build" in service:
        assert (image, tag) == ("scanline", "local")
        assert (ROOT / service["build"]["context"] / "Dockerfile").is_file()
        assert f"AS {service['build']['target']}" in "\n".join(DOCKERFILE)
    else:
        assert tag != "latest" and re.search(r"\d", tag)


def test_kafka_is_the_version_the_project_runs() -> None:
    version = SERVICES["kafka"]["image"].rsplit(":", 1)[1]
    pom = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "infra" / "kafka").glob("*.xml"))
    assert version in pom


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{SCANLINE_[A-Z]+_PORT:-\d+\}:\d+", port)


def test_default_ports_do_not_collide() -> None:
    ports = [
        _filled(port, _example()).split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])
    ]
    assert len(set(ports)) == len(ports)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"setup"}))
def test_every_service_says_whether_it_is_well(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD" and check["retries"] > 0


def test_health_is_asked_where_the_processes_listen() -> None:
    ports = {
        "api": "SCANLINE_API_PORT",
        "worker": "SCANLINE_WORKER_METRICS_PORT",
        "exporter": "SCANLINE_EXPORTER_PORT",
    }
    for name, port in ports.items():
        listening = SERVICES[name]["environment"][port]
        assert f"http://127.0.0.1:{listening}/" in SERVICES[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", ["api", "worker", "exporter"])
def test_health_is_not_asked_through_a_proxy(name: str) -> None:
    """An engine hands the proxy of its configuration to every container."""
    with fixed_server(b"{}") as url:
        command = SERVICES[name]["healthcheck"]["test"][1:]
        assert command[0] == "python"
        script = re.sub(r"http://127\.0\.0\.1:\d+/\w+", url, command[-1])
        done = subprocess.run([sys.executable, *command[1:-1], script], env=environment({}), check=False, timeout=60)
    assert done.returncode == 0


def test_what_is_waited_for_exists() -> None:
    for service in SERVICES.values():
        waits = service.get("depends_on", {})
        for other in waits:
            assert other in SERVICES
            if isinstance(waits, dict) and waits[other]["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]
    assert "postgres" not in SERVICES["api"]["depends_on"]


def test_every_variable_is_in_the_example_and_passwords_have_no_default() -> None:
    example = _example()
    used: dict[str, set[str]] = {}
    for text in _strings(SERVICES):
        for name, default in _VARIABLE.findall(text):
            used.setdefault(name, set()).add(default[:2])
    assert set(used) == set(example)
    for name, defaults in used.items():
        if "PASSWORD" in name:
            assert defaults == {":?"}, name
            assert re.fullmatch(r"[A-Za-z0-9]+", example[name]), "passwords go into URLs"


def test_no_password_is_written_down() -> None:
    for text in _strings(SERVICES):
        assert not re.search(r"://[^:@/]+:(?!\$\{)[^@/]+@", text)
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert value.startswith("${")


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_one_the_process_reads(name: str) -> None:
    environment = SERVICES[name]["environment"]
    kind = SETTINGS[name]
    known = {field.name for field in fields(kind)} if kind is InfraSettings else kind.model_fields
    known = {f"SCANLINE_{each}".upper() for each in known}
    assert set(environment) <= known


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_are_complete_and_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(variable, _filled(value, _example()))
    settings = SETTINGS[name]()
    assert settings.kafka_bootstrap == "kafka:9094"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_command_exists(name: str) -> None:
    command = SERVICES[name]["command"]
    if command[:2] == ["python", "-m"]:
        assert (ROOT / command[2].replace(".", "/") / "__main__.py").is_file()
    else:
        assert command[0] == "scanline" and command[1] in all_commands(trials=False).commands
        assert f"from {main.__module__} import {main.__name__}" in "\n".join(DOCKERFILE)


def test_volumes_and_mounted_files_exist() -> None:
    named = set(COMPOSE["volumes"])
    used = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists()
            else:
                used.add(source)
    assert used == named


def test_prometheus_reads_what_is_there() -> None:
    config = yaml.safe_load((ROOT / "infra/compose/prometheus.yml").read_text(encoding="utf-8"))
    api, worker, exporter = config["scrape_configs"]
    assert api["static_configs"][0]["targets"] == [f"api:{SERVICES['api']['environment']['SCANLINE_API_PORT']}"]
    port = SERVICES["exporter"]["environment"]["SCANLINE_EXPORTER_PORT"]
    assert exporter["static_configs"][0]["targets"] == [f"exporter:{port}"]
    lookup = worker["dns_sd_configs"][0]
    assert set(lookup["names"]) <= set(SERVICES)
    assert str(lookup["port"]) == SERVICES["worker"]["environment"]["SCANLINE_WORKER_METRICS_PORT"]


def mounted(service: str, path: str) -> Path:
    """What the project gives this service at that path."""
    (source,) = [each.split(":")[0] for each in SERVICES[service]["volumes"] if each.split(":")[1] == path]
    return ROOT / source


def test_alerts_are_worked_out_and_come_to_alertmanager() -> None:
    config = yaml.safe_load((ROOT / "infra/compose/prometheus.yml").read_text(encoding="utf-8"))
    assert config["rule_files"] == ["/etc/prometheus/rules/*.yml"]
    assert list(mounted("prometheus", "/etc/prometheus/rules").glob("*.yml"))
    targets = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert targets == ["alertmanager:" + SERVICES["alertmanager"]["ports"][0].rsplit(":", 1)[1]]


@pytest.mark.parametrize("tool", ["promtool", "amtool"])
def test_monitoring_takes_its_configuration(tool: str, tmp_path: Path) -> None:
    """Where the files lie in the container is where they lie here."""
    binary = program(tool, {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}[tool])
    name = {"promtool": "prometheus", "amtool": "alertmanager"}[tool]
    config = (ROOT / f"infra/compose/{name}.yml").read_text(encoding="utf-8")
    file = tmp_path / "config.yml"
    file.write_text(config.replace("/etc/prometheus/rules", str(ROOT / "dashboards/rules")))
    check = {"promtool": ["check", "config"], "amtool": ["check-config"]}[tool]
    done = subprocess.run([binary, *check, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_roles_are_those_that_the_migrations_grant_to() -> None:
    for process, role in zip(("MIGRATE", "WRITE", "READ", "MONITOR"), ROLES, strict=True):
        urls = {service.get("environment", {}).get(f"SCANLINE_POSTGRES_{process}_URL") for service in SERVICES.values()}
        assert {make_url(_filled(url, _example())).username for url in urls - {None}} == {role}
    assert SERVICES["postgres"]["environment"]["POSTGRES_USER"] == ROLES[0]


def test_grafana_asks_prometheus() -> None:
    path = ROOT / "infra/compose/grafana/provisioning/datasources/prometheus.yml"
    source = yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    assert SERVICES["prometheus"]["ports"][0].endswith(":9090")


def test_grafana_finds_the_dashboards() -> None:
    path = ROOT / "infra/compose/grafana/provisioning/dashboards/scanline.yml"
    (provider,) = yaml.safe_load(path.read_text(encoding="utf-8"))["providers"]
    assert list(mounted("grafana", provider["options"]["path"]).glob("*.json"))


def test_the_image_copies_what_exists_and_runs_as_nobody_in_particular() -> None:
    copied = [line.split()[1:-1] for line in DOCKERFILE if line.startswith("COPY ") and "--from" not in line]
    sources = {source for line in copied for source in line}
    for source in sources:
        assert (ROOT / source).exists(), source
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*" and {line[1:] for line in ignored if line.startswith("!")} == sources
    users = [line.split()[1] for line in DOCKERFILE if line.startswith("USER ")]
    assert users and users[-1] not in ("root", "0")
    assert "--require-hashes" in "\n".join(DOCKERFILE)


def test_every_package_the_processes_need_is_in_the_image() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "trials", "dashboards"}
    copied = {line.split()[1] for line in DOCKERFILE if line.startswith("COPY ") and "--from" not in line}
    assert packages <= copied


def _as_in_the_image(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`scanline` where there is no package `trials`."""
    code = "import sys; sys.modules['trials'] = None; from cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment({}))


def test_without_trials_the_command_line_has_all_the_other_commands() -> None:
    shown = _as_in_the_image("--help").stdout
    for name in all_commands(trials=False).commands:
        assert f" {name} " in shown, name
    for name in ("demo", "bench", "chaos", "soak"):
        assert f" {name} " not in shown, name
    refused = _as_in_the_image("demo")
    assert refused.returncode == 2
    assert "Không có lệnh «demo»" in refused.stderr and "There is no command «demo»" in refused.stderr
