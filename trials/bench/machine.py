"""Describes the machine that the figures were measured on, and which process used the processor."""

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

from infra.settings import PROJECT
from infra.stack import Stack

_PACKAGES: Final = (
    "faust-streaming",
    "aiokafka",
    "confluent-kafka",
    "fastapi",
    "uvicorn",
    "msgspec",
    "psycopg2-binary",
)


def commit() -> str:
    """Short hash of the checkout, with `+` when it has changes; `unknown` outside of a checkout."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()


def describe(postgres: str) -> dict[str, Any]:
    """Processor, memory and versions; `postgres` is the server's own word for its version."""
    return {
        "commit": commit(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30), 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "postgresql": postgres,
        **{package: version(package) for package in _PACKAGES},
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """Processor seconds used so far, by kind of process. Differences of two calls are a stage profile."""
    return cpu_seconds_of(
        {
            "api": [service.pid for service in stack.apis],
            "worker": [service.pid for service in stack.workers],
            "postgres": [stack.postgres.pid],
            "kafka": [stack.kafka.pid],
        }
    )


def cpu_seconds_of(pids: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """The processor time of each process; `client` is this process itself, its threads included."""
    own = os.times()
    return {kind: sum(map(_tree, each)) for kind, each in pids.items()} | {"client": own.user + own.system}


def _tree(pid: int) -> float:
    """The processor time of a process, of what runs below it, and of what ran below it and has been waited for."""
    total = 0.0
    try:
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            try:
                times = one.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        return 0.0
    return total


def since(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """The seconds used in between."""
    return {kind: round(after[kind] - before.get(kind, 0.0), 2) for kind in after}
