"""HTTP by hand, for requests that no client library would send: broken off, slow, without an end."""

import fcntl
import json
import socket
import struct
import termios
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from tests.helpers import PATIENCE


class Answer(NamedTuple):
    """What the server sent until it closed, or the first answer of it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body of a problem."""
        assert self.headers["content-type"] == "application/problem+json", self
        found: dict[str, Any] = json.loads(self.body)
        assert set(found["messages"]) == {"vi", "en"}
        return found


def _read_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


class Connection:
    """A context manager."""

    def __init__(self, base_url: str) -> None:
        place = urlsplit(base_url)
        self._socket = socket.create_connection((place.hostname, place.port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each write is a segment of its own
        self._received = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def post(self, path: str, kind: str = "application/x-ndjson", length: int | None = None, **headers: str) -> None:
        """The head of a POST; its body is chunked where no length is given."""
        lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Type: {kind}"]
        lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    @property
    def unsent(self) -> int:
        """Bytes that the other side has not acknowledged (SIOCOUTQ)."""
        return int(struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0" * 4))[0])

    def half_close(self) -> None:
        """Nothing more will be sent; what comes can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Closes as a crashed client does, so that what it sent last may be lost."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def rest(self) -> bytes:
        """Everything until the server closes."""
        parts = [self._received]
        while data := self._socket.recv(65536):
            parts.append(data)
        self._received = b""
        return b"".join(parts)

    def answer(self) -> Answer:
        """All of it: the server closes after this answer."""
        head, _, body = self.rest().partition(b"\r\n\r\n")
        return Answer(*_read_head(head), body)

    def next_answer(self) -> Answer:
        """The next of several answers on this connection, by its length."""
        head, self._received = self._until(lambda: b"\r\n\r\n" in self._received).split(b"\r\n\r\n", 1)
        status, headers = _read_head(head)
        length = int(headers.get("content-length", 0))
        received = self._until(lambda: len(self._received) >= length)
        self._received = received[length:]
        return Answer(status, headers, received[:length])

    def _until(self, enough: Callable[[], bool]) -> bytes:
        while not enough():
            data = self._socket.recv(65536)
            assert data, f"the server closed after {self._received!r}"
            self._received += data
        return self._received

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
