"""HTTP by hand, for requests that no client library would send: broken off, slow, without an end."""

import json
import socket
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


class Connection:
    """A context manager."""

    def __init__(self, base_url: str) -> None:
        place = urlsplit(base_url)
        self._socket = socket.create_connection((place.hostname, place.port), PATIENCE)

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

    def rest(self) -> bytes:
        """Everything until the server closes."""
        parts = []
        while data := self._socket.recv(65536):
            parts.append(data)
        return b"".join(parts)

    def answer(self) -> Answer:
        """All of it: the server closes after this answer."""
        head, _, body = self.rest().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return Answer(int(first.split()[1]), headers, body)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
