"""Submitting over HTTP as a stubborn client: the same request, the same Idempotency-Key, at any address, until it is
answered."""

import gzip
import json
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import httpx
import zstandard

from operations.body_lines import lines_of
from trials.checker.history import History, Offer

_PASSING: Final = frozenset({408, 409, 425, 429})  # and everything from 500 on
_TIMEOUT: Final = httpx.Timeout(15, connect=3)
_PAUSE: Final = (0.1, 0.8)  # seconds between attempts
_FINAL: Final = frozenset({"completed", "completed_with_errors", "failed", "cancelled"})
Bytes = Callable[[], bytes | Iterator[bytes]]  # called for every attempt


class Sender:
    """One client with a connection to each address. For one thread."""

    def __init__(self, history: History, urls: Sequence[str], rng: random.Random, give_up: Callable[[], bool]) -> None:
        self._history = history
        self._urls = [url.rstrip("/") for url in urls]
        self._rng = rng
        self._give_up = give_up
        self._http = httpx.Client(timeout=_TIMEOUT, trust_env=False)

    def submit(
        self, tenant: str, offer: Offer, content: Bytes, headers: Mapping[str, str], *, source: str | None = None
    ) -> str | None:
        """Submits until it is acknowledged; returns the scan's id. None: given up, or (without a key) no answer to the
        one attempt."""
        more = {"Idempotency-Key": f'"{offer.key}"'} if offer.key is not None else {}
        while True:
            answer = self._ask("POST", f"/v1/tenants/{tenant}/scans", content, {**headers, **more}, source)
            if answer is not None and answer.status_code in (200, 202):
                found = answer.json()
                count = found["records"] if "records" in found else found["records_total"]
                self._history.add_accepted(offer.id, found["scan_id"], count)
                return str(found["scan_id"])
            if answer is not None and not _passes(answer):
                self._history.add_refused(offer.id, answer.status_code, _code(answer))
                return None
            if offer.key is None or self._give_up():
                return None
            time.sleep(self._rng.uniform(*_PAUSE))

    def cancel(self, tenant: str, scan: str) -> None:
        """Asks until there is an answer; a scan that has ended already stays as it is."""
        while not self._give_up():
            answer = self._ask("POST", f"/v1/tenants/{tenant}/scans/{scan}/cancel", lambda: b"", {}, None)
            if answer is not None and answer.status_code == 202:
                self._history.add_cancel(tenant, scan)
                return
            if answer is not None and _code(answer) == "scan_finished":
                return
            time.sleep(self._rng.uniform(*_PAUSE))

    def follow(self, tenant: str, scan: str) -> None:
        """Asks for the status until the scan has ended, and notes what was told."""
        while not self._give_up():
            answer = self._ask("GET", f"/v1/tenants/{tenant}/scans/{scan}", lambda: b"", {}, None)
            if answer is not None and answer.status_code == 200 and answer.json()["status"] in _FINAL:
                self._history.add_told(tenant, scan, answer.json())
                return
            time.sleep(self._rng.uniform(*_PAUSE))

    def listen(self, tenant: str, scan: str) -> None:
        """Server-sent events until the one that says that the scan has ended."""
        while not self._give_up():
            with suppress(httpx.HTTPError, ValueError):
                url = f"{self._rng.choice(self._urls)}/v1/tenants/{tenant}/scans/{scan}/events"
                with self._http.stream("GET", url) as answer:
                    for line in lines_of(answer.iter_bytes()):
                        status = json.loads(line[5:]) if line.startswith(b"data:") else {}
                        if status.get("status") in _FINAL:
                            self._history.add_told(tenant, scan, status)
                            return
                        if self._give_up():
                            return
            time.sleep(self._rng.uniform(*_PAUSE))

    def vanish(self, tenant: str, offer: Offer, begin: bytes, *, abruptly: bool) -> None:
        """Sends the beginning of an upload and closes the connection; `abruptly` with a reset."""
        place = urlsplit(self._rng.choice(self._urls))
        key = f'Idempotency-Key: "{offer.key}"\r\n' if offer.key is not None else ""
        head = (
            f"POST /v1/tenants/{tenant}/scans?source={offer.body} HTTP/1.1\r\nHost: {place.netloc}\r\n"
            f"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n{key}\r\n"
        )
        with suppress(OSError):
            with socket.create_connection((place.hostname or "127.0.0.1", place.port or 80), timeout=3) as wire:
                wire.sendall(head.encode() + f"{len(begin):x}\r\n".encode() + begin + b"\r\n")
                time.sleep(self._rng.uniform(0, 0.3))
                if abruptly:
                    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _ask(
        self, method: str, path: str, content: Bytes, headers: Mapping[str, str], source: str | None
    ) -> httpx.Response | None:
        query = {"source": source} if source is not None else {}
        url = self._rng.choice(self._urls) + path
        try:
            return self._http.request(method, url, content=content(), headers=dict(headers), params=query)
        except httpx.HTTPError:
            return None


def _passes(answer: httpx.Response) -> bool:
    return answer.status_code >= 500 or answer.status_code in _PASSING


def _code(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def packed(data: bytes, encoding: str) -> bytes:
    """gzip or zstd."""
    return gzip.compress(data, 1, mtime=0) if encoding == "gzip" else zstandard.compress(data, 1)


def slowly(data: bytes, rng: random.Random) -> Callable[[], Iterator[bytes]]:
    """A body in up to ten pieces, about 1.5 s in all; the same pieces for every attempt."""
    step = max(1, len(data) // 10 + 1)
    pauses = [rng.uniform(0.05, 0.25) for _ in range(10)]

    def pieces() -> Iterator[bytes]:
        for pause, at in zip(pauses, range(0, len(data), step), strict=False):
            time.sleep(pause)
            yield data[at : at + step]

    return pieces
