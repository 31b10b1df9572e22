"""One broker or several, as one cluster."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from infra.errors import InfraError
from infra.kafka.broker import KafkaBroker, Listener, Node, new_cluster_id
from infra.processes.child import free_port

_HEAP_OF_SEVERAL: Final = "320m"


class KafkaCluster:
    """Brokers on 127.0.0.1, each in a folder `1`, `2`, ... below `data_dir`. Several replicate everything three times
    and acknowledge (acks=all) what two have."""

    def __init__(
        self,
        data_dir: Path,
        libs: Path,
        java: str = "java",
        *,
        brokers: int = 1,
        listeners: Sequence[str] = (),
        whole_heap: bool = False,
    ) -> None:
        """Each broker has a port for each of the names in `listeners`, and names another one to clients in its place.
        `whole_heap`: see KafkaBroker."""
        ports = [free_port() for _ in range(brokers)]
        cluster_id = _kept_id(data_dir / "cluster-id")
        self.brokers = [
            KafkaBroker(
                data_dir / str(number),
                libs,
                java,
                free_port(),
                listeners=[Listener(name, free_port(), free_port()) for name in listeners],
                node=Node(number, ports, cluster_id),
                heap=_HEAP_OF_SEVERAL if brokers > 1 else "512m",
                whole_heap=whole_heap,
            )
            for number in range(1, brokers + 1)
        ]

    @property
    def bootstrap(self) -> str:
        """host:port of every broker, with nothing in between."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    @property
    def replication(self) -> int:
        """Copies of each partition."""
        return min(3, len(self.brokers))

    @property
    def min_insync(self) -> int:
        """Copies that must be there before acks=all is answered."""
        return min(2, len(self.brokers))

    @property
    def running(self) -> bool:
        """True while all processes are there."""
        return all(broker.running for broker in self.brokers)

    def start(self) -> None:
        """All that are not running. Raises InfraError."""
        away = [broker for broker in self.brokers if not broker.running]
        with ThreadPoolExecutor(len(self.brokers)) as pool:  # formatting is a Java program each
            list(pool.map(KafkaBroker.prepare, away))
        for broker in away:
            broker.start()

    def wait_until_ready(self, seconds: float = 180) -> None:
        """Waits until every broker answers and knows all others. Raises InfraError."""
        deadline = time.monotonic() + seconds
        for broker in self.brokers:
            broker.wait_until_ready(max(1.0, deadline - time.monotonic()))
        self._wait(lambda metadata: len(metadata.brokers) == len(self.brokers), deadline)

    def wait_until_in_sync(self, seconds: float = 90) -> None:
        """Waits until every partition has a leader and all its copies again. Raises InfraError."""
        self._wait(_in_sync, time.monotonic() + seconds)

    def _wait(self, enough: Callable[[ClusterMetadata], bool], deadline: float) -> None:
        while time.monotonic() < deadline:
            try:
                if enough(self._metadata()):
                    return
            except KafkaException:
                pass
            time.sleep(0.1)
        raise InfraError.of("kafka_cluster_not_whole", folder=self.brokers[0].log_file.parent.parent)

    def _metadata(self) -> ClusterMetadata:
        """The cluster's metadata, from any broker that answers."""
        running = ",".join(broker.bootstrap for broker in self.brokers if broker.running)
        return AdminClient({"bootstrap.servers": running, "log_level": 0}).list_topics(timeout=5)

    def leader_of(self, topic: str, partition: int, seconds: float = 60) -> KafkaBroker:
        """The broker that leads the partition now; waits while nobody does. Raises InfraError."""
        found: list[int] = []

        def look(metadata: ClusterMetadata) -> bool:
            found[:] = [metadata.topics[topic].partitions[partition].leader] if topic in metadata.topics else []
            return bool(found) and found[0] > 0

        self._wait(look, time.monotonic() + seconds)
        return self.brokers[found[0] - 1]

    def stop(self) -> None:
        """All at once, by SIGTERM. A cluster that loses its quorum while stopping is killed after some seconds."""
        for broker in self.brokers:
            broker.thaw()
            broker.request_stop()
        for broker in self.brokers:
            broker.stop(10)

    def kill(self) -> None:
        """SIGKILL for all, frozen ones too."""
        for broker in self.brokers:
            broker.kill()


def _in_sync(metadata: ClusterMetadata) -> bool:
    partitions = [one for topic in metadata.topics.values() for one in topic.partitions.values()]
    return all(one.leader > 0 and len(one.isrs) == len(one.replicas) for one in partitions)


def _kept_id(file: Path) -> str:
    """The last run's: storage that was formatted with one id refuses another."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(new_cluster_id())
    return file.read_text()
