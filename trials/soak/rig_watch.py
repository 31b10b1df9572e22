"""Measures a running rig: each process under a name of its own, one that was started again under another."""

import re
from collections import defaultdict
from typing import Final

from infra.loopback import opened
from infra.processes.services import Service
from trials.chaos.rig import Rig
from trials.checker.checker import messages_behind
from trials.soak.sampler import Sample, database_figures, memory_mib

_KEPT: Final = re.compile(r"^scanline_status_kept_bytes (\S+)$", re.MULTILINE)
_MIB: Final = 1 << 20


class Watch:
    """Call it for a sample: `memory P` and, for an API, `kept P` (statuses it must hold) in MiB, `lag` in messages,
    `connections write` and `read`, `stored` in records since the servers were made. What cannot be measured is left
    out."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._seen: dict[str, list[int]] = defaultdict(list)  # process ids of each server, in their order

    def __call__(self) -> Sample:
        apis, pids = self._rig.apis, self._pids()
        kept = {f"kept {api.name}": held for api in apis if (held := _kept_mib(api)) is not None}
        lag = messages_behind(self._rig.admin_dsn, self._rig.admin_bootstrap)
        behind = {} if lag is None else {"lag": float(lag)}
        return memory_mib(pids) | kept | behind | database_figures(self._rig.admin_dsn)

    def _pids(self) -> dict[str, int]:
        pids = {service.name: service.pid for service in (*self._rig.apis, *self._rig.workers)}
        for kind, server in (("kafka", self._rig.kafka.brokers[0]), ("postgres", self._rig.postgres)):
            if server.running:
                pids[self._named(kind, server.pid)] = server.pid
        return pids

    def _named(self, kind: str, pid: int) -> str:
        if pid not in self._seen[kind]:
            self._seen[kind].append(pid)
        return f"{kind}-{self._seen[kind].index(pid) + 1}"


def _kept_mib(api: Service) -> float | None:
    try:
        with opened(api.metrics_url, 2) as answer:
            found = _KEPT.search(answer.read().decode())
    except OSError:  # frozen, or just killed
        return None
    return round(float(found[1]) / _MIB, 2) if found else None
