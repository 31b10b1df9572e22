"""Submitting over HTTP as a scanner would: whole bodies, streams in odd pieces, uploads held open at will."""

import queue
import random
import threading
import uuid
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx
from confluent_kafka import Consumer, Message, TopicPartition

from tests.helpers import PATIENCE, RECORDS, wait_for

JSON: Final = {"Content-Type": "application/json"}
NDJSON: Final = {"Content-Type": "application/x-ndjson"}
FOUND_NOTHING: Final = b'{"records": [], "complete": true}'


def scans_of(tenant: str) -> str:
    return f"/v1/tenants/{tenant}/scans"


def submit(
    http: httpx.Client, tenant: str, body: Any, headers: Mapping[str, str] = JSON, **more: str
) -> httpx.Response:
    """POST /scans; further headers by name, `idempotency_key="k"`."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return http.post(scans_of(tenant), content=body, headers={**headers, **named})


def accepted(answer: httpx.Response) -> dict[str, Any]:
    """The body of a 202."""
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == body["links"]["self"]
    return body


def odd_pieces(body: bytes, seed: int = 0, most: int = 5_000) -> Iterator[bytes]:
    """The body cut anywhere: within lines and within characters."""
    chance = random.Random(seed)
    at = 0
    while at < len(body):
        end = at + chance.randint(1, most)
        yield body[at:end]
        at = end


class AnyScan:
    """Equals every scan id."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str(uuid.UUID(other)) == other


class _Broken(Exception):
    """The upload is to break off."""


class HeldUpload:
    """A POST /scans that has sent `begin` and waits. A context manager; left without `finish`, it breaks off."""

    def __init__(self, base_url: str, tenant: str, begin: bytes, headers: Mapping[str, str]) -> None:
        self._next: queue.Queue[bytes | None] = queue.Queue()
        self._begin = begin
        self._request = (base_url + scans_of(tenant), {**NDJSON, **headers})
        self._answer: httpx.Response | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        url, headers = self._request
        try:
            self._answer = httpx.post(url, content=self._pieces(), headers=headers, timeout=PATIENCE)
        except (_Broken, httpx.HTTPError):
            return

    def _pieces(self) -> Iterator[bytes]:
        yield self._begin
        while True:
            piece = self._next.get(timeout=PATIENCE)
            if piece is None:
                raise _Broken
            if not piece:
                return
            yield piece

    def send(self, piece: bytes) -> None:
        self._next.put(piece)

    def finish(self, rest: bytes = b"") -> httpx.Response:
        """Sends the rest; returns the answer."""
        for piece in filter(None, (rest,)):
            self._next.put(piece)
        self._next.put(b"")
        self._thread.join(PATIENCE)
        assert self._answer is not None, "the upload got no answer"
        return self._answer

    def break_off(self) -> None:
        """Closes the connection."""
        self._next.put(None)
        self._thread.join(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self.break_off()


def wait_until_taken(http: httpx.Client, tenant: str) -> str:
    """Waits until the tenant's one scan is known to this API; returns its id."""
    found = wait_for(lambda: http.get(scans_of(tenant)).json()["scans"], f"a scan of {tenant} is known")
    assert len(found) == 1
    return str(found[0]["scan_id"])


class RecordsTopic:
    """What is published to scan.records.v1 from now on."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "not-used", "enable.auto.commit": False})
        count = len(self._consumer.list_topics(RECORDS, timeout=30).topics[RECORDS].partitions)
        self._places = {number: self._end(number) for number in range(count)}

    def _end(self, number: int) -> int:
        return int(self._consumer.get_watermark_offsets(TopicPartition(RECORDS, number), timeout=30)[1])

    def messages(self, tenant: str) -> list[Message]:
        """Those of the tenant, in order."""
        ends = {number: self._end(number) for number in self._places}
        left = sum(ends.values()) - sum(self._places.values())
        self._consumer.assign([TopicPartition(RECORDS, number, at) for number, at in self._places.items()])
        found: list[Message] = []
        while left > 0:
            message = self._consumer.poll(PATIENCE)
            assert message is not None and message.error() is None, message
            if message.offset() < ends[message.partition()]:
                left -= 1
                found.append(message)
        self._consumer.close()
        return [message for message in found if message.key() == tenant.encode()]
