"""Load that never lets go: many tenants, over HTTP and directly, with everything that goes wrong on the sender's
side."""

import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import Consumer, TopicPartition

from trials import generator
from trials.checker.history import History, Offer
from trials.load.http_sender import Sender, packed, slowly
from trials.load.kafka_sender import DirectPublisher
from trials.load.mix import Made, make

TOPICS: Final = ("scan.records.v1", "scan.status.v1", "scan.dlq.v1")
_JSON: Final = {"Content-Type": "application/json"}
_NDJSON: Final = {"Content-Type": "application/x-ndjson"}
_AT_ONCE: Final = 100  # records in a direct publisher's array
# way of sending, weight
HTTP_WAYS: Final = {
    "json": 30,
    "ndjson": 15,
    "gzip": 6,
    "zstd": 6,
    "slow": 6,
    "again": 8,
    "other-key": 4,
    "no-key": 4,
    "cancelled": 5,
    "vanished": 5,
    "vanished-then-whole": 3,
}
DIRECT_WAYS: Final = {
    "arrays": 30,
    "singles": 15,
    "mixed": 20,
    "arrays-twice": 10,
    "singles-twice": 8,
    "stopped": 4,
    "junk": 3,
}


class Load:
    """A context manager. Entered, it sends; left, it stops offering and waits until all that was begun is acknowledged.

    `rate` is in records a second, None for as fast as it goes. `name` begins every tenant's name and every key; it must
    be new on these servers. `patience` in seconds is for one offer, and for what is under way when the block ends."""

    def __init__(
        self,
        history: History,
        api_urls: Sequence[str],
        bootstrap: str,
        *,
        seed: int = 0,
        rate: float | None = None,
        tenants: int = 24,
        http_threads: int = 6,
        direct_threads: int = 1,
        patience: float = 120.0,
        followed: float = 0.15,
        name: str | None = None,
    ) -> None:
        self._history = history
        self._urls = list(api_urls)
        self._seed = seed
        self._rate = rate
        self._patience = patience
        self._followed = followed
        self.name = name if name is not None else f"c{seed:08x}"
        self.tenants = [f"{self.name}-{number:02}" for number in range(tenants)]
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._due = 0.0  # when the next record may be offered
        self._going = threading.Event()
        self._going.set()
        self._ending = threading.Event()
        self._give_up_at = float("inf")
        self._errors: list[BaseException] = []
        self._ways = [("http", number) for number in range(http_threads)] + [
            ("direct", number) for number in range(direct_threads)
        ]
        self._threads = [
            threading.Thread(target=self._run, args=way, name=f"chaos-{way[0]}-{way[1]}", daemon=True)
            for way in self._ways
        ]
        self._followers: list[threading.Thread] = []
        history.begin(self.tenants, ends_of(bootstrap))
        self._direct = DirectPublisher(history, bootstrap)

    def pause(self) -> None:
        """Offers nothing new until `resume`."""
        self._going.clear()

    def resume(self) -> None:
        """Offers new records again after `pause`."""
        self._going.set()

    def stop_offering(self) -> None:
        """Offers nothing new any more; what was begun goes on."""
        if not self._ending.is_set():
            self._give_up_at = time.monotonic() + self._patience
        self._ending.set()
        self._going.set()

    def stop(self) -> None:
        """Stops offering, and waits for what was begun. Raises what went wrong inside the load itself."""
        self.stop_offering()
        for thread in (*self._threads, *self._followers):
            if thread.ident is not None:
                thread.join()
        self._direct.close(max(5.0, self._give_up_at - time.monotonic()))
        self._history.flush()
        if self._errors:
            raise self._errors[0]

    def one_scan(self, way: str = "json", records: int = 100, tenant: str | None = None) -> str | None:
        """Sends exactly this, in the caller's thread, by one of HTTP_WAYS or DIRECT_WAYS. Returns the scan's id, None
        where it was not acknowledged. What is published directly may be acknowledged later."""
        rng = random.Random(f"{self._seed}/{way}/{next(self._numbers)}")
        tenant = tenant if tenant is not None else rng.choice(self.tenants)
        if way in DIRECT_WAYS:
            return self._publish(way, tenant, records, rng)
        sender = self._sender(rng)
        try:
            return self._submit(way, tenant, records, rng, sender)
        finally:
            sender.close()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _sender(self, rng: random.Random) -> Sender:
        deadline = time.monotonic() + self._patience
        return Sender(self._history, self._urls, rng, lambda: time.monotonic() > min(deadline, self._give_up_at))

    def _run(self, front: str, number: int) -> None:
        rng = random.Random(f"{self._seed}/{front}/{number}")
        ways = HTTP_WAYS if front == "http" else DIRECT_WAYS
        try:
            while not self._ending.is_set():
                count = _size(rng)
                way = rng.choices(list(ways), list(ways.values()))[0]
                tenant = rng.choice(self.tenants)
                if not self._may_offer(count):
                    return
                if front == "direct":
                    self._publish(way, tenant, count, rng)
                    continue
                sender = self._sender(rng)
                try:
                    self._submit(way, tenant, count, rng, sender)
                finally:
                    sender.close()
        except BaseException as error:
            self._errors.append(error)

    def _may_offer(self, count: int) -> bool:
        """Waits for the pace; False when the end comes first."""
        with self._lock:
            due = self._due = max(self._due, time.monotonic() - 1.0)  # what a pause has saved up is not made up for
            if self._rate is not None:
                self._due += count / self._rate
        while not self._ending.is_set():
            wait = due - time.monotonic()
            if wait <= 0 and self._going.is_set():
                return True
            self._ending.wait(min(max(wait, 0.02), 0.2))
        return False

    def _body(self, tenant: str, count: int, rng: random.Random, *, lines_too: bool = False) -> Made:
        made = make(f"{self.name}.{next(self._numbers):05}", tenant, count, rng, lines_too=lines_too)
        self._history.add_body(made.body)
        return made

    def _offer(self, made: Made, way: str, *, key: bool = True, scan: str | None = None) -> Offer:
        name = f"{self.name}/{next(self._numbers)}"
        offer = Offer(name, made.body.id, way, name if key else None, scan)
        self._history.add_offer(offer)
        return offer

    def _submit(self, way: str, tenant: str, count: int, rng: random.Random, sender: Sender) -> str | None:
        lines_too = way in ("ndjson", "gzip", "zstd", "slow", "vanished", "vanished-then-whole")
        made = self._body(tenant, count, rng, lines_too=lines_too)
        offer = self._offer(made, way, key=way != "no-key" and (way != "vanished" or rng.random() < 0.5))
        lined = generator.ndjson(made.lines)
        if way.startswith("vanished"):
            sender.vanish(tenant, offer, lined[: rng.randrange(1, len(lined))], abruptly=rng.random() < 0.5)
            if way == "vanished":
                return None
        content: Callable[[], Any]
        if lines_too:
            data = packed(lined, way) if way in ("gzip", "zstd") else lined
            headers = _NDJSON | ({"Content-Encoding": way} if way in ("gzip", "zstd") else {})
            source: str | None = made.body.id
            content = slowly(data, rng) if way == "slow" else lambda: data
        else:
            data = generator.body(made.lines, made.body.id)
            headers, source, content = _JSON, None, lambda: data
        scan = sender.submit(tenant, offer, content, headers, source=source)
        if scan is None:
            return None
        if way == "cancelled":
            sender.cancel(tenant, scan)
        elif way == "again":
            sender.submit(tenant, offer, content, headers, source=source)
        elif way == "other-key":
            sender.submit(tenant, self._offer(made, way), content, headers, source=source)
        if rng.random() < self._followed:
            self._follow(tenant, scan, rng.random() < 0.5)
        return scan

    def _follow(self, tenant: str, scan: str, events: bool) -> None:
        def run() -> None:
            sender = self._sender(random.Random(scan))
            try:
                (sender.listen if events else sender.follow)(tenant, scan)
            except BaseException as error:
                self._errors.append(error)
            finally:
                sender.close()

        thread = threading.Thread(target=run, name="chaos-follower", daemon=True)
        thread.start()
        self._followers.append(thread)

    def _publish(self, way: str, tenant: str, count: int, rng: random.Random) -> str:
        made = self._body(tenant, count, rng)
        scan = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        offer = self._offer(made, way, key=False, scan=scan)
        publish = self._direct
        arrays = {"singles": 0, "singles-twice": 0, "mixed": count // 2}.get(way, count)
        pieces = [(at, made.lines[at : min(at + _AT_ONCE, arrays)]) for at in range(0, arrays, _AT_ONCE)]
        if rng.random() < 0.3:
            publish.send(tenant, offer, "opened", b'{"source":"%b"}' % made.body.id.encode())
        for at, lines in pieces:
            publish.array(tenant, offer, lines, at)
            if way == "stopped" and rng.random() < 0.5:
                publish.send(tenant, offer, "cancelled", b'{"reason":"by_request"}')
        if way == "arrays-twice":
            for at, lines in rng.sample(pieces, len(pieces)):
                publish.array(tenant, offer, lines, at)
        singles = made.lines[arrays:]
        if way == "singles-twice":
            singles = singles + rng.sample(singles, len(singles) // 3)
        for line in singles:
            publish.send(tenant, offer, "records", line, 1)
        if way == "junk":
            publish.junk(tenant, offer, rng.randrange(3))
        publish.close_scan(tenant, offer, count)
        return scan


def _size(rng: random.Random) -> int:
    chance = rng.random()
    if chance < 0.6:
        return rng.randint(1, 60)
    return rng.randint(60, 400) if chance < 0.96 else rng.randint(1_001, 2_500)


def ends_of(bootstrap: str) -> dict[str, dict[int, int]]:
    """The end of each topic now."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "not-used", "log_level": 0})
    try:
        ends: dict[str, dict[int, int]] = {}
        for topic in TOPICS:
            partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
            ends[topic] = {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
                for number in partitions
            }
        return ends
    finally:
        consumer.close()
