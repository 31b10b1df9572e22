"""Requests as bytes: every right way to frame a body, every offer beside it, and ways to cut it into segments."""

import random
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import httpx
from sockets import Connection

from tests.helpers import FINAL, wait_for
from tests.submissions import scans_of
from trials import generator

RECORDS: Final = 3


class Sent(NamedTuple):
    """A request as bytes, and where its body begins."""

    data: bytes
    body_at: int


def request(
    tenant: str, body: bytes, *headers: str, version: str = "1.1", target: str = "", begin: str = "", kind: str = "POST"
) -> Sent:
    """The body as it goes over the wire, whatever it is."""
    lines = [
        f"{begin}{kind} {target}{scans_of(tenant)} HTTP/{version}",
        "Host: test",
        "Content-Type: application/x-ndjson",
    ]
    head = "\r\n".join((*lines, *filter(None, headers), "", "")).encode()
    return Sent(head + body, len(head))


def records(tenant: str, count: int = RECORDS) -> bytes:
    return b"\n".join(generator.records(count, random.randrange(1 << 30), tenant)) + b"\n"


def in_chunks(body: bytes, most: int = 1 << 20, size: str = "{:x}", end: bytes = b"0\r\n\r\n") -> bytes:
    """Chunks of at most `most` bytes; `size` writes the line before each."""
    parts = (body[at : at + most] for at in range(0, len(body), most))
    return b"".join(size.format(len(part)).encode() + b"\r\n" + part + b"\r\n" for part in parts) + end


CHUNKED: Final = "Transfer-Encoding: chunked"
TRAILERS: Final = (
    b"0\r\nContent-Encoding: gzip\r\nContent-Type: text/csv\r\nIdempotency-Key: none\r\nUpgrade: h2c\r\n\r\n"
)
Frame = Callable[[str, bytes, str], Sent]  # tenant, records, further header lines -> the request
RIGHT: Final[dict[str, Frame]] = {
    "length": lambda t, body, more: request(t, body, f"Content-Length: {len(body)}", more),
    "length-in-odd-letters": lambda t, body, more: request(t, body, f"CONTENT-length:\t0{len(body)} ", more),
    "length-of-1.0": lambda t, body, more: request(t, body, f"Content-Length: {len(body)}", more, version="1.0"),
    "chunked": lambda t, body, more: request(t, in_chunks(body), CHUNKED, more),
    "chunks-of-seven": lambda t, body, more: request(t, in_chunks(body, 7, "0{:X}"), "transfer-encoding:Chunked", more),
    "chunk-extensions": lambda t, body, more: request(t, in_chunks(body, 99, '{:x};a;b="c;d"'), CHUNKED, more),
    "trailers": lambda t, body, more: request(t, in_chunks(body, 500, end=TRAILERS), CHUNKED, more),
    "absolute-form": lambda t, body, more: request(t, body, f"Content-Length: {len(body)}", more, target="http://test"),
    "after-empty-lines": lambda t, body, more: request(t, in_chunks(body), CHUNKED, more, begin="\r\n\r\n"),
}
H2C: Final = "Upgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"
WEBSOCKET: Final = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
OFFERS: Final = {
    "nothing": "",
    "h2c": f"Connection: Upgrade, HTTP2-Settings\r\n{H2C}",
    "websocket": f"{WEBSOCKET}\r\nConnection: keep-alive, Upgrade",
    "tls": "Connection: upgrade\r\nUpgrade: TLS/1.0, h2c",
    "several": f"Connection: upgrade\r\n{H2C}\r\nUpgrade: websocket",
    "upgrade-alone": "Upgrade: h2c",
    "connection-alone": "Connection: upgrade",
    "expect": "Expect: 100-continue",
    "expect-and-h2c": f"Connection: Upgrade\r\n{H2C}\r\nExpect: 100-Continue",
}


def _odd(sent: Sent) -> Iterator[bytes]:
    chance = random.Random(len(sent.data))
    at = 0
    while at < len(sent.data):
        end = at + chance.randint(1, 700)
        yield sent.data[at:end]
        at = end


SPLITS: Final[dict[str, Callable[[Sent], Any]]] = {
    "whole": lambda sent: [sent.data],
    "head-and-body": lambda sent: [sent.data[: sent.body_at], sent.data[sent.body_at :]],
    "within-the-empty-line": lambda sent: [sent.data[: sent.body_at - 1], sent.data[sent.body_at - 1 :]],
    "odd-pieces": _odd,
    "byte-by-byte": lambda sent: (sent.data[at : at + 1] for at in range(len(sent.data))),
}


def send(connection: Connection, sent: Sent, split: str) -> None:
    for piece in SPLITS[split](sent):
        connection.send(piece)


def final_answer(connection: Connection) -> Any:
    """After a «100 Continue», if there is one."""
    answer = connection.next_answer()
    return connection.next_answer() if answer.status == 100 else answer


def scans(http: httpx.Client, tenant: str) -> list[dict[str, Any]]:
    """What became of the tenant's scans, at a moment when all that are known have ended: one whose sender has gone may only then
    become known."""

    def ended() -> list[list[dict[str, Any]]]:
        found: list[dict[str, Any]] = http.get(scans_of(tenant), params={"limit": 1000}).json()["scans"]
        return [found] if all(scan["status"] in FINAL for scan in found) else []

    (found,) = wait_for(ended, f"the scans of {tenant} have ended")
    return found


def assert_stored(http: httpx.Client, tenant: str, count: int) -> None:
    """So many scans, each with all of its records."""
    found = scans(http, tenant)
    assert len(found) == count
    told = {(scan["status"], scan["records_total"], scan["records_stored"]) for scan in found}
    assert told == {("completed", RECORDS, RECORDS)}
