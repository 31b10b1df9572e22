"""The Kubernetes manifests, and what must hold of them beyond their schemas. Each rule says what breaks it, in one sentence for
each place; nothing where all is well."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from typing import Any, Final, NamedTuple

import pytest
import yaml
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from sqlalchemy.engine import make_url

from cli.commands import all_commands
from infra.errors import InfraError
from infra.postgres.cluster import ROLES
from infra.postgres.server_settings import CONNECTIONS
from infra.settings import PROJECT, InfraSettings
from operations.exporter.settings import ExporterSettings
from producer_api.routes import probes as probe_routes
from producer_api.settings import ApiSettings
from schemas import topics
from stream_app.settings import WorkerSettings

FOLDER: Final = PROJECT / "infra" / "kubernetes"
PROMETHEUS: Final = FOLDER / "examples" / "prometheus.yml"
SCALED: Final = "ScaledObject"
_COMPOSE: Final = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
_WORKLOADS: Final = ("Deployment", "Job")
_SETTINGS: Final[Mapping[str, type[BaseSettings] | type[InfraSettings]]] = {
    "producer_api": ApiSettings,
    "stream_app": WorkerSettings,
    "operations.exporter": ExporterSettings,
}
# What a command of ours cannot do without; a process's settings say so themselves.
_NEEDED: Final = {
    "migrate": {f"SCANLINE_POSTGRES_{role}_URL" for role in ("MIGRATE", "WRITE", "READ", "MONITOR")},
    "topics": {"SCANLINE_KAFKA_BOOTSTRAP", "SCANLINE_KAFKA_PARTITIONS", "SCANLINE_KAFKA_REPLICATION"},
    "setup": {
        "SCANLINE_KAFKA_BOOTSTRAP",
        "SCANLINE_KAFKA_PARTITIONS",
        "SCANLINE_KAFKA_REPLICATION",
        *(f"SCANLINE_POSTGRES_{role}_URL" for role in ("MIGRATE", "WRITE", "READ", "MONITOR", "ADMIN")),
    },
}
# Where each process listens, and the settings that say so.
_LISTENS: Final = {
    "api": ("SCANLINE_API_HOST", "SCANLINE_API_PORT"),
    "worker": ("SCANLINE_WORKER_METRICS_HOST", "SCANLINE_WORKER_METRICS_PORT"),
    "exporter": ("SCANLINE_EXPORTER_HOST", "SCANLINE_EXPORTER_PORT"),
}
_URLS: Final = dict(zip(("migrate", "write", "read", "monitor"), ROLES, strict=True))
_PLACEHOLDER: Final = "REPLACE"
_RESERVED: Final = 5  # connections that PostgreSQL keeps for operators: infra/postgres/server_settings.py
_PATHS: Final = {"readinessProbe": "/readyz", "livenessProbe": "/healthz", "startupProbe": "/healthz"}
_MARGIN: Final = 5  # seconds of a grace period that nothing is planned for: docs/operations.md
# namespace -> the components that it may speak to; component -> the namespaces that it may speak to
_MAY_COME: Final = {"ingress-nginx": {"api"}, "monitoring": {"api", "worker", "exporter"}}
_MAY_GO: Final = {"kube-system": {53}, "kafka": {9092}, "postgres": {5432}}

Manifest = dict[str, Any]
Rule = Callable[[Sequence[Manifest]], Iterator[str]]


def manifests() -> list[Manifest]:
    """All of them, the example's secrets too; what Prometheus reads is none."""
    found = []
    for file in sorted(FOLDER.rglob("*.yaml")):
        found += list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    return found


def of_kind(documents: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in documents if each["kind"] in kinds]


def named(documents: Sequence[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in of_kind(documents, kind) if each["metadata"]["name"] == name]
    return found


def damaged(
    documents: Sequence[Manifest], kind: str, name: str, damage: Callable[[Manifest], object]
) -> list[Manifest]:
    """A copy of all, in which `damage` was done to one."""
    copy = deepcopy(list(documents))
    damage(named(copy, kind, name))
    return copy


class Place(NamedTuple):
    """A container of a workload."""

    workload: Manifest
    container: Manifest

    @property
    def pod(self) -> Manifest:
        return self.workload["spec"]["template"]["spec"]

    @property
    def component(self) -> str:
        return str(self.workload["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"])

    def __str__(self) -> str:
        return f"{self.workload['metadata']['name']}, {self.container['name']}"


def places(documents: Sequence[Manifest]) -> Iterator[Place]:
    for workload in of_kind(documents, *_WORKLOADS):
        pod = workload["spec"]["template"]["spec"]
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            yield Place(workload, container)


def environment(documents: Sequence[Manifest], place: Place) -> dict[str, str]:
    """The variables as the container will have them, with the example's secrets. Raises KeyError for what is not there."""
    found: dict[str, str] = {}
    for source in place.container.get("envFrom", ()):
        found |= _config(documents, source["configMapRef"]["name"])
    for each in place.container.get("env", ()):
        found[each["name"]] = each["value"] if "value" in each else _referred(documents, each["valueFrom"])
    return found


def _config(documents: Sequence[Manifest], name: str) -> dict[str, str]:
    for each in of_kind(documents, "ConfigMap"):
        if each["metadata"]["name"] == name:
            return dict(each["data"])
    raise KeyError(f"no ConfigMap {name}")


def _referred(documents: Sequence[Manifest], reference: Manifest) -> str:
    if "configMapKeyRef" in reference:
        return _config(documents, reference["configMapKeyRef"]["name"])[reference["configMapKeyRef"]["key"]]
    name, key = reference["secretKeyRef"]["name"], reference["secretKeyRef"]["key"]
    for each in of_kind(documents, "Secret"):
        if each["metadata"]["name"] == name:
            return str(each["stringData"][key])
    raise KeyError(f"no Secret {name}")


def references(documents: Sequence[Manifest]) -> Iterator[str]:
    """What is referred to is there, and secrets have no values."""
    accounts = {each["metadata"]["name"] for each in of_kind(documents, "ServiceAccount")}
    for place in places(documents):
        try:
            environment(documents, place)
        except KeyError as error:
            yield f"{place}: {error}"
        if place.pod["serviceAccountName"] not in accounts:
            yield f"{place}: no ServiceAccount {place.pod['serviceAccountName']}"
        volumes = {each["name"] for each in place.pod.get("volumes", ())}
        for mount in place.container.get("volumeMounts", ()):
            if mount["name"] not in volumes:
                yield f"{place}: no volume {mount['name']}"
    for secret in of_kind(documents, "Secret"):
        given = secret.get("stringData", {})
        if "data" in secret or set(given) != {"url"} or make_url(given["url"]).password != _PLACEHOLDER:
            yield f"{secret['metadata']['name']}: has a value"
    for each in documents:
        if each["kind"] != "Namespace" and each["metadata"].get("namespace") != "scanline":
            yield f"{each['metadata']['name']}: in another namespace"


def settings(documents: Sequence[Manifest]) -> Iterator[str]:
    """Each process knows the variables that it is given, has those that it needs, and takes their values."""
    for place in places(documents):
        command = place.container["command"]
        kind = InfraSettings if command[0] == "scanline" else _SETTINGS[command[2]]
        given = environment(documents, place)
        names = {each.name for each in fields(kind)} if kind is InfraSettings else set(kind.model_fields)
        for name in given:
            if name.startswith("SCANLINE_") and name.removeprefix("SCANLINE_").lower() not in names:
                yield f"{place}: {name} is no setting of it"
        needed = _NEEDED[command[1]] if command[0] == "scanline" else set()
        for name in sorted(needed - set(given)):
            yield f"{place}: {name} is not set"
        try:
            with pytest.MonkeyPatch.context() as patched:
                for name, value in given.items():
                    patched.setenv(name, value)
                kind()
        except (ValidationError, InfraError) as error:
            yield f"{place}: {error}"


def commands(documents: Sequence[Manifest]) -> Iterator[str]:
    """What is run is in the image, and is what compose runs."""
    of_compose = [_COMPOSE[name]["command"] for name in _LISTENS]
    for place in places(documents):
        command = place.container["command"]
        if command[0] == "scanline":
            if command[1] not in all_commands(trials=False).commands:
                yield f"{place}: there is no command {command[1]}"
        elif command not in of_compose or not (PROJECT / command[2].replace(".", "/") / "__main__.py").is_file():
            yield f"{place}: {command} is no process of ours"


def images(documents: Sequence[Manifest]) -> Iterator[str]:
    """The version of this checkout, everywhere."""
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for place in places(documents):
        if place.container["image"] != f"scanline:{version}":
            yield f"{place}: {place.container['image']}"


def probes(documents: Sequence[Manifest]) -> Iterator[str]:
    """They ask where the process listens, and what it answers there; so does Prometheus."""
    answered = {route.path for route in probe_routes.router.routes}  # the health server of the others has the same
    for place in places(documents):
        if place.component not in _LISTENS:
            continue
        given = environment(documents, place)
        host, listening = (given.get(name) for name in _LISTENS[place.component])
        ports = {each["name"]: each["containerPort"] for each in place.container["ports"]}
        if host != "0.0.0.0" or list(map(str, ports.values())) != [listening]:
            yield f"{place}: listens at {host}:{listening}, ports are {ports}"
        for kind, path in _PATHS.items():
            asked = place.container.get(kind, {}).get("httpGet", {})
            if asked.get("path") != path or path not in answered or asked.get("port") not in ports:
                yield f"{place}: {kind} asks {asked}"
        scraped = place.workload["spec"]["template"]["metadata"]["annotations"]
        expected = {"prometheus.io/scrape": "true", "prometheus.io/path": "/metrics", "prometheus.io/port": listening}
        if scraped != expected or "/metrics" not in answered:
            yield f"{place}: Prometheus is told {scraped}"


def patience(documents: Sequence[Manifest]) -> Iterator[str]:
    """Who is told to stop has the time it takes, and nobody is sent to it any more."""
    for place in places(documents):
        if place.component == "api":
            known = ApiSettings.model_validate(_values(environment(documents, place)))
            probe = place.container["readinessProbe"]
            notices = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
            if known.api_drain_seconds < notices:
                yield f"{place}: drains for {known.api_drain_seconds} s, unready after {notices} s"
            needs = known.api_drain_seconds + known.api_shutdown_seconds
        elif place.component == "worker":
            needs = WorkerSettings.model_validate(_values(environment(documents, place))).shutdown_seconds
        else:
            continue
        if place.pod["terminationGracePeriodSeconds"] < needs + _MARGIN:
            yield f"{place}: {place.pod['terminationGracePeriodSeconds']} s to stop, takes {needs} s"


def _values(environment: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix("SCANLINE_").lower(): value for name, value in environment.items()}


def rights(documents: Sequence[Manifest]) -> Iterator[str]:
    """No process may do what it does not need."""
    user = next(
        re.search(r"--uid (\d+)", line)
        for line in (PROJECT / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if "useradd" in line
    )
    for place in places(documents):
        pod, own = place.pod.get("securityContext", {}), place.container.get("securityContext", {})
        wanted = {
            "a user of its own": pod.get("runAsNonRoot") is True and str(pod.get("runAsUser")) == user[1],
            "seccomp": pod.get("seccompProfile") == {"type": "RuntimeDefault"},
            "no more rights than at first": own.get("allowPrivilegeEscalation") is False,
            "no writing to the image": own.get("readOnlyRootFilesystem") is True,
            "a place for scratch files": {"name": "tmp", "mountPath": "/tmp"} in place.container["volumeMounts"],
            "no capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "no token": place.pod.get("automountServiceAccountToken") is False,
            # a Service scanline-api would set SCANLINE_API_PORT in every pod
            "no variables of services": place.pod.get("enableServiceLinks") is False,
        }
        yield from (f"{place}: not held: {what}" for what, holds in wanted.items() if not holds)
    for account in of_kind(documents, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{account['metadata']['name']}: has a token"


_UNITS: Final = {"m": 0.001, "": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def _amount(quantity: Any) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(m|Ki|Mi|Gi|)", str(quantity)).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]


def resources(documents: Sequence[Manifest]) -> Iterator[str]:
    """Each container says what it needs and what it may take."""
    for place in places(documents):
        given = place.container.get("resources", {})
        for what in ("cpu", "memory", "ephemeral-storage"):
            asked, limit = (given.get(each, {}).get(what) for each in ("requests", "limits"))
            if asked is None or limit is None or _amount(asked) > _amount(limit):
                yield f"{place}: {what} from {asked} to {limit}"


def selectors(documents: Sequence[Manifest]) -> Iterator[str]:
    """Services, budgets and deployments mean pods that there are, and ports that these have."""
    pods = [(each["spec"]["template"]["metadata"]["labels"], each) for each in of_kind(documents, *_WORKLOADS)]
    for each in of_kind(documents, "Deployment", "PodDisruptionBudget", "Service"):
        name = f"{each['kind']} {each['metadata']['name']}"
        selector = each["spec"]["selector"]
        if each["kind"] == "Service":
            selector = {"matchLabels": selector}
        meant = [workload for labels, workload in pods if _selects(selector, labels)]
        if len(meant) != 1:
            yield f"{name}: means {len(meant)} workloads"
            continue
        if each["kind"] == "Deployment" and meant != [each]:
            yield f"{name}: means others' pods"
        if each["kind"] == "Service":
            ports = {port["name"] for place in places(meant) for port in place.container["ports"]}
            yield from (f"{name}: no port {port}" for port in each["spec"]["ports"] if port["targetPort"] not in ports)
    for each in of_kind(documents, "Deployment"):
        for spread in each["spec"]["template"]["spec"].get("topologySpreadConstraints", ()):
            if spread["labelSelector"] != each["spec"]["selector"]:
                yield f"{each['metadata']['name']}: is spread by {spread['labelSelector']}"


def _selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    matched = all(labels.get(name) == value for name, value in (selector.get("matchLabels") or {}).items())
    return matched and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", ())
    )


def network(documents: Sequence[Manifest]) -> Iterator[str]:
    """Who may talk to whom: nobody, but for what is listed above."""
    policies = of_kind(documents, "NetworkPolicy")
    everyone = [each["spec"] for each in policies if each["spec"]["podSelector"] == {}]
    if {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} not in everyone:
        yield "no policy denies everything first"
    come: dict[str, set[str]] = {}
    for place in places(documents):
        labels = place.workload["spec"]["template"]["metadata"]["labels"]
        ports = {port["containerPort"] for port in place.container.get("ports", ())}
        names = {port["name"] for port in place.container.get("ports", ())}
        go: dict[str, set[int]] = {}
        for policy in policies:
            if not _selects(policy["spec"]["podSelector"], labels):
                continue
            for rule in policy["spec"].get("ingress", ()):
                opened = {port["port"] for port in rule.get("ports", ())}
                for peer in rule.get("from", [{}]):
                    if opened & (ports | names) or not rule.get("ports"):
                        come.setdefault(_namespace(peer), set()).add(place.component)
            for rule in policy["spec"].get("egress", ()):
                for peer in rule.get("to", [{}]):
                    go.setdefault(_namespace(peer), set()).update(port["port"] for port in rule.get("ports", ()))
        if go != _MAY_GO:
            yield f"{place}: may go to {go}"
    if come != _MAY_COME:
        yield f"who may come: {come}"


def _namespace(peer: Manifest) -> str:
    return str(peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name", "anybody"))


def scaling(documents: Sequence[Manifest]) -> Iterator[str]:
    """Workers are scaled by the group that they are in, and never beyond the partitions."""
    (scaled,) = of_kind(documents, SCALED)
    config = _config(documents, "scanline")
    target = named(documents, "Deployment", scaled["spec"]["scaleTargetRef"]["name"])
    if "replicas" in target["spec"]:
        yield "applying the Deployment again would undo what KEDA set"
    partitions = {
        int(environment(documents, place)["SCANLINE_KAFKA_PARTITIONS"])
        for place in places(documents)
        if "SCANLINE_KAFKA_PARTITIONS" in environment(documents, place)
    }
    if partitions != {scaled["spec"]["maxReplicaCount"]}:
        yield f"at most {scaled['spec']['maxReplicaCount']} workers for {partitions} partitions"
    (trigger,) = scaled["spec"]["triggers"]
    told = {name: trigger["metadata"].get(name) for name in ("bootstrapServers", "consumerGroup", "topic")}
    if told != {
        "bootstrapServers": config["SCANLINE_KAFKA_BOOTSTRAP"],
        "consumerGroup": config["SCANLINE_STREAM_PIPELINE"],
        "topic": topics.RECORDS_TOPIC,
    }:
        yield f"it looks at {told}"


def connections(documents: Sequence[Manifest]) -> Iterator[str]:
    """All pools together, at their fullest and in the middle of a rollout, find room in PostgreSQL."""
    (scaled,) = of_kind(documents, SCALED)
    total = 2  # the exporter's, and a migration's
    for place in places(documents):
        given = environment(documents, place)
        if place.component == "api":
            surge = place.workload["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
            total += (place.workload["spec"]["replicas"] + surge) * int(given.get("SCANLINE_READ_CONNECTIONS", 10))
        elif place.component == "worker":
            surge = place.workload["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
            total += (scaled["spec"]["maxReplicaCount"] + surge) * int(given.get("SCANLINE_WRITE_CONNECTIONS", 50))
    if total > CONNECTIONS - _RESERVED:
        yield f"{total} connections, of {CONNECTIONS - _RESERVED}"


def compose(documents: Sequence[Manifest]) -> Iterator[str]:
    """What docker-compose.yml says as well is said alike."""
    for place in places(documents):
        if place.component not in _LISTENS:
            continue
        given, other = environment(documents, place), _COMPOSE[place.component]["environment"]
        for name in (*_LISTENS[place.component], "SCANLINE_LOG_FORMAT"):
            if given[name] != re.sub(r"\$\{\w+:-(\w+)\}", r"\1", other[name]):
                yield f"{place}: {name} is {given[name]}, in compose {other[name]}"
        if place.component == "worker":
            grace = place.pod["terminationGracePeriodSeconds"]
            if f"{grace}s" != _COMPOSE["worker"]["stop_grace_period"]:
                yield f"{place}: {grace} s to stop, in compose {_COMPOSE['worker']['stop_grace_period']}"
    for role, user in _URLS.items():
        url = _referred(documents, {"secretKeyRef": {"name": f"scanline-postgres-{role}", "key": "url"}})
        if make_url(url).username != user:
            yield f"scanline-postgres-{role}: {make_url(url).username}"


RULES: Final[Mapping[str, Rule]] = {
    rule.__name__: rule
    for rule in (
        references, settings, commands, images, probes, patience, rights, resources, selectors, network, scaling,
        connections, compose,
    )
}  # fmt: skip
