"""The Kubernetes manifests are valid, and mean what they should; each rule finds what is put in against it. No cluster is
needed."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import pytest
import yaml

from infra.errors import InfraError
from infra.settings import PROJECT
from tests.helpers import wait_for
from tests.manifests import (
    FOLDER,
    PROMETHEUS,
    RULES,
    SCALED,
    Manifest,
    damaged,
    manifests,
    named,
    of_kind,
)
from tests.monitoring import prometheus
from trials.chaos.go_toolchain import go_programs

ALL: Final = manifests()
_KEDA: Final = "github.com/kedacore/keda/v2@v2.18.0"
_KEDA_SUM: Final = "h1:ttR223fii/4QJ0YvtrhcWHaEoezByb/t5CeFopjl6EI="  # as go.sum would have it
_CRD: Final = "config/crd/bases/keda.sh_scaledobjects.yaml"
_SCALER: Final = "pkg/scalers/apache_kafka_scaler.go"
_CONFIG_MAP_BYTES: Final = 1 << 20  # the most that one may hold


def _id(manifest: Manifest) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def _valid(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("manifest", [each for each in ALL if each["kind"] != SCALED], ids=_id)
def test_it_is_valid_and_has_no_field_that_there_is_not(manifest: Manifest) -> None:
    _valid(manifest)


@pytest.mark.parametrize(
    "damage",
    [
        lambda api: api["spec"].update(replica=3),
        lambda api: api["spec"].update(replicas="three"),
        lambda api: api["spec"]["template"]["spec"]["containers"][0]["readinessProbe"].update(periodSecond=2),
        lambda api: api["spec"].pop("selector"),
    ],
)
def test_a_wrong_field_is_found(damage: Callable[[Manifest], object]) -> None:
    api = named(damaged(ALL, "Deployment", "scanline-api", damage), "Deployment", "scanline-api")
    with pytest.raises(kubernetes_validate.ValidationError):
        _valid(api)


# What each rule is there to find.
DAMAGES: Final[list[tuple[str, str, str, Callable[[Manifest], object]]]] = [
    ("references", "Secret", "scanline-postgres-read", lambda it: it["metadata"].update(name="scanline-reader")),
    ("references", "Secret", "scanline-postgres-read", lambda it: it["stringData"].update(password="x")),
    (
        "references",
        "Secret",
        "scanline-postgres-read",
        lambda it: it["stringData"].update(url=it["stringData"]["url"].replace("REPLACE", "hunter2")),
    ),
    ("references", "ConfigMap", "scanline", lambda it: it["metadata"].update(name="settings")),
    ("references", "ServiceAccount", "scanline", lambda it: it["metadata"].update(name="default")),
    ("references", "Deployment", "scanline-api", lambda it: pod(it).update(volumes=[])),
    ("references", "Service", "scanline-api", lambda it: it["metadata"].pop("namespace")),
    ("settings", "Deployment", "scanline-api", lambda it: setting(it, "SCANLINE_API_PORT", name="SCANLINE_PORT")),
    ("settings", "Deployment", "scanline-api", lambda it: setting(it, "SCANLINE_API_PORT", value="80 00")),
    (
        "settings",
        "Deployment",
        "scanline-worker",
        lambda it: setting(it, "SCANLINE_POSTGRES_WRITE_URL", name="SCANLINE_POSTGRES_READ_URL"),
    ),
    ("settings", "Job", "scanline-setup", lambda it: setting(it, "SCANLINE_KAFKA_REPLICATION", value="three")),
    ("settings", "Job", "scanline-roles", lambda it: container(it)["env"].pop()),
    ("commands", "Job", "scanline-setup", lambda it: container(it).update(command=["scanline", "topic"])),
    ("commands", "Deployment", "scanline-worker", lambda it: container(it).update(command=["python", "-m", "sinks"])),
    ("images", "Deployment", "scanline-api", lambda it: container(it).update(image="scanline:latest")),
    ("images", "Job", "scanline-setup", lambda it: container(it).update(image="scanline:0.0.9")),
    ("probes", "Deployment", "scanline-api", lambda it: container(it)["ports"][0].update(containerPort=8080)),
    ("probes", "Deployment", "scanline-api", lambda it: container(it)["ports"][0].update(name="web")),
    (
        "probes",
        "Deployment",
        "scanline-worker",
        lambda it: container(it)["livenessProbe"]["httpGet"].update(path="/readyz"),
    ),
    ("probes", "Deployment", "scanline-exporter", lambda it: container(it).pop("readinessProbe")),
    ("probes", "Deployment", "scanline-exporter", lambda it: setting(it, "SCANLINE_EXPORTER_HOST", value="127.0.0.1")),
    (
        "probes",
        "Deployment",
        "scanline-worker",
        lambda it: it["spec"]["template"]["metadata"]["annotations"].update({"prometheus.io/port": "9102"}),
    ),
    ("patience", "Deployment", "scanline-api", lambda it: pod(it).update(terminationGracePeriodSeconds=40)),
    ("patience", "Deployment", "scanline-api", lambda it: setting(it, "SCANLINE_API_SHUTDOWN_SECONDS", value="40")),
    ("patience", "Deployment", "scanline-api", lambda it: container(it)["readinessProbe"].update(failureThreshold=4)),
    ("patience", "Deployment", "scanline-worker", lambda it: setting(it, "SCANLINE_SHUTDOWN_SECONDS", value="30")),
    ("rights", "Deployment", "scanline-api", lambda it: pod(it)["securityContext"].pop("runAsNonRoot")),
    ("rights", "Deployment", "scanline-api", lambda it: pod(it)["securityContext"].update(runAsUser=0)),
    ("rights", "Deployment", "scanline-api", lambda it: pod(it)["securityContext"].pop("seccompProfile")),
    (
        "rights",
        "Job",
        "scanline-setup",
        lambda it: container(it)["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    ("rights", "Deployment", "scanline-worker", lambda it: container(it)["securityContext"].pop("capabilities")),
    ("rights", "Deployment", "scanline-worker", lambda it: container(it).update(volumeMounts=[])),
    ("rights", "Deployment", "scanline-worker", lambda it: pod(it).pop("enableServiceLinks")),
    ("rights", "ServiceAccount", "scanline", lambda it: it.pop("automountServiceAccountToken")),
    ("resources", "Deployment", "scanline-api", lambda it: container(it)["resources"].pop("limits")),
    ("resources", "Job", "scanline-roles", lambda it: container(it)["resources"]["limits"].update(memory="64Mi")),
    ("selectors", "Service", "scanline-api", lambda it: it["spec"]["selector"].pop("app.kubernetes.io/component")),
    ("selectors", "Service", "scanline-api", lambda it: it["spec"]["ports"][0].update(targetPort="health")),
    (
        "selectors",
        "PodDisruptionBudget",
        "scanline-worker",
        lambda it: it["spec"]["selector"]["matchLabels"].update({"app.kubernetes.io/component": "workers"}),
    ),
    ("network", "NetworkPolicy", "default-deny", lambda it: it["spec"].update(policyTypes=["Ingress"])),
    ("network", "NetworkPolicy", "to-kafka", lambda it: it["spec"]["egress"][0].pop("to")),
    ("network", "NetworkPolicy", "to-postgres", lambda it: it["spec"]["egress"][0]["ports"][0].update(port=5433)),
    ("network", "NetworkPolicy", "ingress-to-api", lambda it: it["spec"].update(podSelector={}, ingress=[{}])),
    ("network", "NetworkPolicy", "ingress-to-api", lambda it: it["spec"]["ingress"][0]["ports"][0].update(port="web")),
    ("network", "NetworkPolicy", "monitoring-to-all", lambda it: it["spec"]["ingress"][0].update({"from": [{}]})),
    ("scaling", "ScaledObject", "scanline-worker", lambda it: it["spec"].update(maxReplicaCount=13)),
    ("scaling", "Deployment", "scanline-worker", lambda it: it["spec"].update(replicas=2)),
    ("scaling", "ConfigMap", "scanline", lambda it: it["data"].update(SCANLINE_STREAM_PIPELINE="other")),
    ("connections", "Deployment", "scanline-api", lambda it: it["spec"].update(replicas=6)),
    ("connections", "Deployment", "scanline-worker", lambda it: setting(it, "SCANLINE_WRITE_CONNECTIONS", value="50")),
    ("compose", "ConfigMap", "scanline", lambda it: it["data"].update(SCANLINE_LOG_FORMAT="text")),
    ("compose", "Deployment", "scanline-worker", lambda it: pod(it).update(terminationGracePeriodSeconds=60)),
    (
        "compose",
        "Secret",
        "scanline-postgres-write",
        lambda it: it["stringData"].update(url=it["stringData"]["url"].replace("_writer", "_migrator")),
    ),
]


def pod(workload: Manifest) -> Any:
    return workload["spec"]["template"]["spec"]


def container(workload: Manifest) -> Any:
    return pod(workload)["containers"][0]


def setting(workload: Manifest, variable: str, **changed: str) -> None:
    """Changes one of the container's variables."""
    (found,) = [each for each in container(workload)["env"] if each["name"] == variable]
    found.update(changed)


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_holds(rule: str) -> None:
    assert list(RULES[rule](ALL)) == []


@pytest.mark.parametrize(("rule", "kind", "name", "damage"), DAMAGES)
def test_a_rule_finds_what_is_wrong(rule: str, kind: str, name: str, damage: Callable[[Manifest], object]) -> None:
    assert list(RULES[rule](damaged(ALL, kind, name, damage)))


def test_every_rule_can_fail() -> None:
    assert {rule for rule, *_ in DAMAGES} == set(RULES)


@pytest.fixture(scope="module")
def keda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """KEDA's sources, as the Go module proxy has them; skips where there is none."""
    folder = tmp_path_factory.mktemp("module")
    said = []
    try:
        for go in go_programs():
            done = subprocess.run(
                [go, "mod", "download", "-json", _KEDA], cwd=folder, capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                found = json.loads(done.stdout)
                assert found["Sum"] == _KEDA_SUM
                return Path(found["Dir"])
            said.append(done.stdout + done.stderr)
    except InfraError as error:
        said.append(str(error))
    pytest.skip(f"KEDA's definition comes through Go's module proxy: {' '.join(said)[-500:]}")


def _scaled(documents: list[Manifest]) -> Manifest:
    (found,) = of_kind(documents, SCALED)
    return found


def _refused(keda: Path, scaled: Manifest) -> list[str]:
    """What KEDA would not take, or would not look at."""
    definition = yaml.safe_load((keda / _CRD).read_text(encoding="utf-8"))
    (version,) = [each for each in definition["spec"]["versions"] if f"keda.sh/{each['name']}" == scaled["apiVersion"]]
    schema = strict(version["schema"]["openAPIV3Schema"])
    found = [f"{each.json_path}: {each.message}" for each in jsonschema.Draft7Validator(schema).iter_errors(scaled)]
    known = set(re.findall(r'keda:"name=(\w+),', (keda / _SCALER).read_text(encoding="utf-8")))
    for trigger in scaled["spec"].get("triggers", ()):
        found += [f"trigger: {name}" for name in trigger["metadata"] if name not in known]
    return found


def strict(schema: Any) -> Any:
    """The schema with no room for fields that it does not name, which Kubernetes would drop without a word."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: strict(each) for name, each in schema.items()}
    # the object's own metadata is described elsewhere
    return {"additionalProperties": False, **inner} if isinstance(schema.get("properties"), dict) else inner


def test_keda_takes_what_scales_the_workers(keda: Path) -> None:
    assert _refused(keda, _scaled(ALL)) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda it: it["spec"].update(maxReplicas=12),
        lambda it: it["spec"].update(maxReplicaCount="12"),
        lambda it: it["spec"].pop("scaleTargetRef"),
        lambda it: it["spec"]["triggers"][0].pop("type"),
        lambda it: it["spec"]["triggers"][0]["metadata"].update(lagThreshold=1000),
        lambda it: it["spec"]["triggers"][0]["metadata"].update(threshold="1000"),
        lambda it: it["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"].update(scaleSideways={}),
    ],
)
def test_what_keda_would_not_take_is_found(keda: Path, damage: Callable[[Manifest], object]) -> None:
    assert _refused(keda, _scaled(damaged(ALL, SCALED, "scanline-worker", damage)))


@pytest.mark.parametrize("folder", ["json", "rules"])
def test_dashboards_and_rules_find_room_in_a_config_map(folder: str) -> None:
    files = [file for file in (PROJECT / "dashboards" / folder).iterdir() if file.is_file()]
    assert files and sum(file.stat().st_size for file in files) < _CONFIG_MAP_BYTES


def test_every_manifest_is_in_the_page_that_says_how_to_apply_them() -> None:
    page = (PROJECT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    for file in FOLDER.rglob("*.y*ml"):
        assert f"{file.relative_to(FOLDER)}" in page, file.name


def test_prometheus_finds_the_pods_and_calls_their_jobs_as_the_dashboards_do(tmp_path: Path) -> None:
    """A real Prometheus, to which the pods' labels are told: by Kubernetes it would learn the same."""
    (config,) = yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))["scrape_configs"]
    del config["kubernetes_sd_configs"]
    config["static_configs"] = []
    expected = set()
    for number, deployment in enumerate(of_kind(ALL, "Deployment")):
        template = deployment["spec"]["template"]["metadata"]
        labels = {f"__meta_kubernetes_pod_label_{_label(name)}": value for name, value in template["labels"].items()}
        for name, value in template["annotations"].items():
            labels[f"__meta_kubernetes_pod_annotation_{_label(name)}"] = value
        for port in (container(deployment)["ports"][0]["containerPort"], 1):  # the second is of another container
            target = f"127.1.0.{number + 1}:{port}"
            at = {"__meta_kubernetes_pod_container_port_number": str(port)}
            config["static_configs"].append({"targets": [target], "labels": labels | at})
            if port != 1:
                expected.add((f"scanline-{_component(template)}", f"http://{target}/metrics"))
    config["static_configs"].append({"targets": ["127.1.0.9:80"]})  # a pod that says nothing
    with prometheus(tmp_path, {}, scrape_configs=[config]) as server:
        found = wait_for(lambda: (server.get("targets") or {}).get("activeTargets"), "what Prometheus scrapes")
        assert {(each["labels"]["job"], each["scrapeUrl"]) for each in found} == expected


def _label(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _component(template: Manifest) -> str:
    return str(template["labels"]["app.kubernetes.io/component"])
