"""A light HTTP/1.1 load client: ready-made bodies over plain sockets; it leaves the processors to the servers."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

_TIMEOUT: Final = 120.0


class Call(NamedTuple):
    """One submission to make, or another request; `after` seconds from the start of the run."""

    tenant: str
    body: bytes = b""
    content_type: str = "application/json"
    after: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()
    path: str = "/scans"  # below the tenant
    method: str = "POST"


class Answer(NamedTuple):
    """The answer to a request. `seconds` from opening the connection to the last byte of the answer."""

    tenant: str
    status: int
    seconds: float
    document: dict[str, Any]

    @property
    def scan_id(self) -> str:
        """Empty where the submission was refused."""
        return str(self.document.get("scan_id", ""))


def submit_all(base_urls: Sequence[str], calls: Sequence[Call]) -> list[Answer]:
    """Makes all calls, each on a connection of its own and at its time, spread over the API processes in turn."""
    return asyncio.run(_submit_all(base_urls, calls))


async def _submit_all(base_urls: Sequence[str], calls: Sequence[Call]) -> list[Answer]:
    start = time.perf_counter()
    tasks = [
        asyncio.create_task(_submit(base_urls[number % len(base_urls)], call, start))
        for number, call in enumerate(calls)
    ]
    return list(await asyncio.gather(*tasks))


async def _submit(base_url: str, call: Call, start: float) -> Answer:
    delay = start + call.after - time.perf_counter()
    if delay > 0:
        await asyncio.sleep(delay)
    return await call_one(base_url, call)


async def call_one(base_url: str, call: Call) -> Answer:
    """Makes one call, on a connection of its own, now."""
    address = urlsplit(base_url)
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            try:
                writer.write(_head(address.netloc, call))
                writer.write(call.body)
                # The answer may come before the body is all sent (a refusal): read, do not wait for the sending to end.
                status, content = await _read(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        return Answer(call.tenant, 0, time.perf_counter() - began, {"error": type(error).__name__})
    seconds = time.perf_counter() - began
    try:
        document = json.loads(content)
    except ValueError:
        document = {}
    return Answer(call.tenant, status, seconds, document if isinstance(document, dict) else {})


def _head(host: str, call: Call) -> bytes:
    path = f"/v1/tenants/{call.tenant}{call.path}"
    if call.content_type != "application/json":
        path += "?source=bench"
    lines = [
        f"{call.method} {path} HTTP/1.1",
        f"Host: {host}",
        *([f"Content-Type: {call.content_type}", f"Content-Length: {len(call.body)}"] if call.body else []),
        *(f"{name}: {value}" for name, value in call.headers),
        "Connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """(status, body) of an answer with a Content-Length or one that ends with the connection."""
    status = int((await reader.readline()).split()[1])
    length: int | None = None
    while (line := await reader.readline()).strip():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    return status, await (reader.read() if length is None else reader.readexactly(length))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0..1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]
