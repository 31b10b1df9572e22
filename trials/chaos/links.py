"""Connections between two parts that can be broken: a Toxiproxy in the middle, one process per link."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from infra.errors import InfraError
from infra.processes.child import Child, free_port
from trials.chaos import toxiproxy

_ANSWER_SECONDS: Final = 10.0
_START_SECONDS: Final = 30.0
_WAYS: Final = ("upstream", "downstream")


class Hop(NamedTuple):
    """Ports of 127.0.0.1: clients connect to `listen`, and reach `server`."""

    listen: int
    server: int


class Link:
    """The connections between one kind of client and one server, or all brokers of a cluster. Every break acts on the
    connections that are open and on new ones, until `heal` or another break. `state` is what it is now, in a word."""

    def __init__(self, name: str, hops: Sequence[Hop], log_file: Path) -> None:
        self.name = name
        self.hops = tuple(hops)
        self.state = "healthy"
        self._log_file = log_file
        self._child: Child | None = None
        self._http = httpx.Client(trust_env=False, timeout=_ANSWER_SECONDS)

    @property
    def bootstrap(self) -> str:
        """host:port[,host:port] for clients."""
        return ",".join(f"127.0.0.1:{hop.listen}" for hop in self.hops)

    @property
    def port(self) -> int:
        """The port for clients of a single server."""
        return self.hops[0].listen

    @property
    def pid(self) -> int | None:
        """The process id of the proxy."""
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        """Raises InfraError."""
        port = free_port()
        command = [str(toxiproxy.binary()), "-host", "127.0.0.1", "-port", str(port), "-seed", "1"]
        self._child = Child(f"link-{self.name}", command, log_file=self._log_file)
        self._http.base_url = httpx.URL(f"http://127.0.0.1:{port}")
        self._wait_until_ready()
        for number, hop in enumerate(self.hops):
            proxy = {"name": str(number), "listen": f"127.0.0.1:{hop.listen}", "upstream": f"127.0.0.1:{hop.server}"}
            self._call("POST", "/proxies", proxy)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._child is not None and self._child.returncode is None:
            try:
                if self._http.get("/version").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
        raise InfraError.of("chaos_link_not_started", name=self.name, log=self._log_file)

    def cut(self) -> None:
        """Open connections are closed, new ones refused."""
        self._become("cut")
        self._enable(False)

    def slow(
        self, latency_ms: int, jitter_ms: int = 0, rate_kb: int | None = None, *, ways: Sequence[str] = _WAYS
    ) -> None:
        """Each of the ways takes `latency_ms` ± `jitter_ms`, a round trip twice that; at most `rate_kb` KiB a second
        each way. `ways`: "upstream", to the server; "downstream", its answers."""
        self._become("slow")
        self._add("latency", ways, latency=latency_ms, jitter=jitter_ms)
        if rate_kb is not None:
            self._add("bandwidth", rate=rate_kb)

    def blackhole(self) -> None:
        """Loses what is sent, both ways, without an error; new connections are accepted, and as silent. Healing closes
        what was open then: part of it is missing."""
        self._become("blackhole")
        self._add("timeout", timeout=0)

    def stall(self) -> None:
        """Holds what is sent, both ways, until the heal; nothing is lost."""
        self._become("stalled")
        if self._child is not None:
            self._child.signal(signal.SIGSTOP)

    def heal(self) -> None:
        """Makes the link work again."""
        if self.state == "stalled" and self._child is not None:
            self._child.signal(signal.SIGCONT)
        self.state = "healthy"
        try:
            self._enable(True)
            for number in range(len(self.hops)):
                for toxic in self._call("GET", f"/proxies/{number}/toxics"):
                    self._call("DELETE", f"/proxies/{number}/toxics/{toxic['name']}")
        except httpx.TransportError:
            # taking a toxic from a connection that dies in that moment can block the proxy for good: a new one, then
            self.stop()
            self.start()

    def _become(self, state: str) -> None:
        if self.state != "healthy":
            self.heal()
        self.state = state

    def _enable(self, wanted: bool) -> None:
        for number in range(len(self.hops)):
            self._call("POST", f"/proxies/{number}", {"enabled": wanted})

    def _add(self, kind: str, ways: Sequence[str] = _WAYS, **attributes: int) -> None:
        for number in range(len(self.hops)):
            for way in ways:
                self._call("POST", f"/proxies/{number}/toxics", {"type": kind, "stream": way, "attributes": attributes})

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        """Raises InfraError when the proxy refuses, httpx.TransportError when it does not answer."""
        answer = self._http.request(method, path, json=body)
        if answer.is_error:
            raise InfraError.of(
                "chaos_link_refused", name=self.name, method=method, path=path, reason=answer.text.strip()
            )
        return answer.json() if answer.content else None

    def stop(self) -> None:
        """Closes every connection through it."""
        if self._child is not None:
            self._child.kill()
            self._child = None
