"""One real Apache Kafka broker in KRaft mode, from jars, as a child process."""

import base64
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.errors import InfraError
from infra.kafka.class_archive import ClassArchive
from infra.processes.child import Child, free_port, is_free

_HEAP: Final = "512m"
# Compiled quickly and not twice (C1 alone): these brokers live for minutes on machines with few processors, and the second
# compiler took more of them in the first minute than it gave back.
_JVM: Final = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
]
_SESSION_MS: Final = 9000  # the server's own default
_CLUSTER_SESSION_MS: Final = (
    4000  # of several brokers: a partition has no leader until the lost one's session has ended
)


class Listener(NamedTuple):
    """One more port for clients, to whom `advertised` is named instead: the port of a proxy in front of it."""

    name: str  # capital letters
    port: int
    advertised: int


class Node(NamedTuple):
    """A broker's place in a cluster: its number from 1 on, the controllers' ports in that order, the cluster's id."""

    id: int
    controller_ports: Sequence[int]
    cluster_id: str


class KafkaBroker:
    """A broker on 127.0.0.1 with its data under `data_dir`; starting again on the same folder keeps everything."""

    def __init__(
        self,
        data_dir: Path,
        libs: Path,
        java: str = "java",
        port: int | None = None,
        *,
        listeners: Sequence[Listener] = (),
        node: Node | None = None,
        heap: str = _HEAP,
        whole_heap: bool = False,
    ) -> None:
        """Alone, or with `node` one of several. `whole_heap`: it takes all of its heap when it starts, so that whatever
        it takes later is something else."""
        self._data_dir = data_dir
        self._libs = libs
        self._java = java
        self._heap = heap
        self._whole_heap = whole_heap
        self._port_file = data_dir / "ports"
        self.listeners = tuple(listeners)
        if node is None:
            self.port, controller_port = self._ports(port)
            node = Node(1, [controller_port], "")
        else:
            self.port = port or free_port()
        self._node = node
        self.log_dir = data_dir / "logs"
        self.log_file = data_dir / "kafka.log"
        self._child: Child | None = None
        self._archive = ClassArchive(libs, java)

    def _ports(self, wanted: int | None) -> tuple[int, int]:
        """The ports of broker and controller: the last run's, so that clients find the broker again, unless somebody
        took them."""
        if wanted is None and self._port_file.exists():
            last, controller = map(int, self._port_file.read_text().split())
            if is_free(last) and is_free(controller):
                return last, controller
        return wanted or free_port(), free_port()

    @property
    def node_id(self) -> int:
        """The broker's number in the cluster, from 1 on."""
        return self._node.id

    @property
    def bootstrap(self) -> str:
        """host:port for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """True while the process is there, frozen or not."""
        return self._child is not None and self._child.returncode is None

    @property
    def pid(self) -> int:
        """The process id of the JVM. Raises InfraError when it is not running."""
        if self._child is None:
            raise InfraError.of("kafka_not_running")
        return self._child.pid

    def use_jars(self, libs: Path) -> None:
        """Runs on these from its next start on: another version of Kafka, on the same data."""
        self._libs = libs
        self._archive = ClassArchive(libs, self._java)

    def _run(self, *arguments: str) -> list[str]:
        shared = [f"-XX:SharedArchiveFile={self._archive.file}"] if self._archive.file.exists() else []
        return [self._java, f"-Xmx{self._heap}", *_JVM, *shared, "-cp", f"{self._libs}/*", *arguments]

    def prepare(self) -> None:
        """Writes the settings, and formats the storage if it is new. Raises InfraError."""
        if not any(self._libs.glob("kafka_2.13-*.jar")):
            raise InfraError.of("kafka_jars_missing", folder=self._libs)
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._port_file.write_text(f"{self.port} {self._node.controller_ports[self._node.id - 1]}\n")
        formatted = self._data_dir / "formatted"
        self._properties.write_text(self._settings())
        if not formatted.exists() or not (self.log_dir / "meta.properties").exists():
            shutil.rmtree(self.log_dir, ignore_errors=True)  # an interrupted attempt
            self._format()
            formatted.touch()

    @property
    def _properties(self) -> Path:
        return self._data_dir / "server.properties"

    def _settings(self) -> str:
        ports = self._node.controller_ports
        own = [("PLAINTEXT", self.port, self.port), *self.listeners]
        values = {
            "node_id": self._node.id,
            "voters": ",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(ports, 1)),
            "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port, _ in own)
            + f",CONTROLLER://127.0.0.1:{ports[self._node.id - 1]}",
            "advertised": ",".join(f"{name}://127.0.0.1:{advertised}" for name, _, advertised in own),
            "protocols": ",".join(f"{name}:PLAINTEXT" for name in ("CONTROLLER", *(name for name, _, _ in own))),
            "log_dir": self.log_dir,
            "replicas": min(3, len(ports)),
            "in_sync": min(2, len(ports)),
            "session_ms": _SESSION_MS if len(ports) == 1 else _CLUSTER_SESSION_MS,
        }
        text = files("infra.kafka").joinpath("server.properties").read_text()
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def start(self) -> None:
        """Starts the JVM, on new storage or on what is there. Raises InfraError."""
        self.prepare()
        command = self._run("kafka.Kafka", str(self._properties))
        if self._whole_heap:
            command[1:1] = [f"-Xms{self._heap}", "-XX:+AlwaysPreTouch"]
        command[1:1] = self._archive.wanted()
        self._child = Child(f"kafka-{self._node.id}", command, log_file=self.log_file)

    def _format(self) -> None:
        cluster = self._node.cluster_id or new_cluster_id()
        command = self._run("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise InfraError.of("kafka_format_failed", reason=done.stderr[-500:])

    def wait_until_ready(self, seconds: float = 180) -> None:
        """Waits for a metadata answer that names this broker and a controller; an open port is not enough. A process
        that ended is noticed at once: the patience is for slow machines. Raises InfraError."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 200})
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._child is None or self._child.returncode is not None:
                raise InfraError.of("kafka_start_failed", log=self.log_file)
            try:
                answer = admin.list_topics(timeout=2)
                if self._node.id in answer.brokers and answer.controller_id in answer.brokers:
                    return
            except KafkaException:
                pass
            time.sleep(0.05)
        raise InfraError.of("kafka_start_slow", seconds=seconds, log=self.log_file)

    def request_stop(self) -> None:
        """SIGTERM, without waiting."""
        if self._child is not None:
            self._child.signal(signal.SIGTERM)

    def stop(self, seconds: float = 20) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        if self._child is not None:
            self._child.stop(seconds)
            self._archive.keep(whole=self._child.returncode != -signal.SIGKILL)
            self._child = None

    def kill(self) -> None:
        """SIGKILL."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open and silent."""
        if self._child is not None:
            self._child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self._child is not None:
            self._child.signal(signal.SIGCONT)


def new_cluster_id() -> str:
    """A UUID in base64, as Kafka makes its own: never with a dash in front, which the tool would take for an option."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made
