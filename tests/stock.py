"""Runs tests/stock_faust.py on a test's own broker, and reads back what it did and what it committed."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from infra.processes.child import Child
from infra.stack import Stack
from tests.helpers import PATIENCE

_ROOT: Final = Path(__file__).resolve().parents[1]
_PASSES: Final = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}


class Done(NamedTuple):
    """A message that an agent of stock Faust was done with."""

    partition: int
    offset: int
    value: str


class Stock:
    """A topic and the processes of a stock app that read it. A context manager: the processes end with it.

    `agent` is what stock_faust takes: "batches", "isolated", or how many actors share the stream.
    """

    def __init__(self, stack: Stack, topic: str, agent: str, partitions: int = 1) -> None:
        self.topic = topic
        self._bootstrap = stack.kafka.bootstrap
        self._partitions = partitions
        self._agent = agent
        self._log = stack.data_dir / "logs" / f"{topic}.jsonl"
        self._output = stack.data_dir / "logs" / f"{topic}.log"
        self._children: list[Child] = []
        self._producer = Producer({"bootstrap.servers": self._bootstrap, "acks": "all", "linger.ms": 5})
        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)

    def send(self, values: Sequence[bytes], partition: int = 0) -> None:
        """Waits until they are acknowledged."""
        for value in values:
            self._producer.produce(self.topic, value, partition=partition)
        assert not self._producer.flush(PATIENCE)

    def start(self) -> Child:
        """One more worker."""
        child = Child(
            f"stock-{len(self._children)}",
            [sys.executable, "-m", "tests.stock_faust", self._bootstrap, self.topic, str(self._log), self._agent],
            log_file=self._output,
            env=os.environ,
            cwd=_ROOT,
        )
        self._children.append(child)
        return child

    def done(self) -> list[Done]:
        """In the order in which they were written down, by all workers."""
        lines = self._log.read_bytes().splitlines() if self._log.exists() else []
        read = map(json.loads, lines)
        return [Done(each["partition"], each["offset"], each["value"]) for each in read]

    def committed(self) -> list[int]:
        """The group's offset of each partition; below 0 where there is none, nothing at all while the broker cannot say."""
        consumer = Consumer({"bootstrap.servers": self._bootstrap, "group.id": f"stock-{self.topic}", "log_level": 0})
        places = [TopicPartition(self.topic, number) for number in range(self._partitions)]
        try:
            return [place.offset for place in consumer.committed(places, timeout=30)]
        except KafkaException as error:
            if error.args[0].code() in _PASSES:
                return []
            raise
        finally:
            consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.kill()
