"""Clients over HTTP that do as the documentation tells them: an Idempotency-Key for each scan, and on a 503 the same once
more."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import httpx

from tests.load import Scan, keys_of
from tests.submissions import JSON, submit
from tests.thread_block import ThreadBlock
from trials import generator

PAUSE_SECONDS: Final = 0.3  # of a client, after each scan
AGAIN_SECONDS: Final = 0.3  # sooner than Retry-After says


class RetryingClients(ThreadBlock):
    """Each submits a scan after the other, until the block ends. A context manager."""

    def __init__(self, base_url: str, clients: int = 2, records: int = 50) -> None:
        self._url = base_url
        self._records = records
        super().__init__([partial(self._run, number) for number in range(clients)])
        self.published: dict[Scan, Sequence[str]] = {}
        self.refused: list[str] = []  # codes of 503s, which were repeated
        self.errors: list[str] = []  # whatever else came

    def _run(self, number: int) -> None:
        tenant, seed = f"http-{number}", 0
        with httpx.Client(base_url=self._url, timeout=60) as http:
            while not self._stopping.wait(PAUSE_SECONDS):
                seed += 1
                lines = generator.records(self._records, seed, tenant)
                try:
                    self._submit(http, tenant, lines, f"key-{seed}")
                except (httpx.HTTPError, KeyError) as error:
                    self.errors.append(f"{tenant}: {error!r}")

    def _submit(self, http: httpx.Client, tenant: str, lines: list[bytes], key: str) -> None:
        while True:
            answer = submit(http, tenant, generator.body(lines), JSON, idempotency_key=key)
            if answer.status_code in (200, 202):
                self.published[tenant, answer.json()["scan_id"]] = keys_of(lines)
                return
            if answer.status_code != 503 or "retry-after" not in answer.headers:
                self.errors.append(f"{tenant}: {answer.status_code} {answer.text}")
                return
            self.refused.append(answer.json()["code"])
            time.sleep(AGAIN_SECONDS)
