"""A partition whose statuses were not delivered is told again, in whatever moment that is found out."""

import threading

from infra.processes.child import free_port
from stream_app.publisher import Publisher


class SlowSet(set[int]):
    """Takes its time to add, so that somebody else gets to ask meanwhile; no longer than it takes one who may not."""

    def __init__(self) -> None:
        super().__init__()
        self.adding = threading.Event()
        self.asked = threading.Event()

    def add(self, partition: int) -> None:
        self.adding.set()
        self.asked.wait(0.3)
        super().add(partition)


def test_a_failure_is_not_lost_when_it_comes_while_others_are_asked_for() -> None:
    publisher = Publisher(f"127.0.0.1:{free_port()}")
    publisher._failed = slow = SlowSet()
    failing = threading.Thread(target=publisher._fail, args=(3,))
    failing.start()
    slow.adding.wait()
    found = set(publisher.failed_partitions())
    slow.asked.set()
    failing.join()
    found |= publisher.failed_partitions()
    publisher.close(0)
    assert found == {3}
