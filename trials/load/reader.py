"""Somebody who reads while others write: without one, no connection of the read pool would ever be opened."""

import random
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import httpx

_PAUSE: Final = 0.5  # seconds between two reads
_TIMEOUT: Final = httpx.Timeout(10, connect=3)


class ApiReader:
    """A context manager. Entered, it asks one of the APIs for a page of some tenant's processing activities, over and over, from
    a thread of its own. What is answered does not matter: servers may be away."""

    def __init__(self, urls: Sequence[str], tenants: Sequence[str]) -> None:
        self._urls = list(urls)
        self._tenants = list(tenants)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self.answered = 0  # by 200

    def _run(self) -> None:
        rng = random.Random(0)
        with httpx.Client(timeout=_TIMEOUT, trust_env=False) as http:
            while not self._stopping.wait(_PAUSE):
                place = f"{rng.choice(self._urls)}/v1/tenants/{rng.choice(self._tenants)}/processing-activities"
                try:
                    answer = http.get(place, params={"sensitive": "true"})
                except httpx.HTTPError:
                    continue
                self.answered += answer.status_code == 200

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
