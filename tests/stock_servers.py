"""Servers that were made once, as folders to copy: to format Kafka's log, to make a PostgreSQL cluster, its tables and the
topics takes longer than most tests do with them."""

import fcntl
import shutil
import subprocess
from pathlib import Path

from infra.stack import Stack

_MADE = ("kafka/logs", "kafka/formatted", "postgres/cluster", "postgres/passwords")


def stock(folder: Path) -> Path:
    """The folder of a stack that ran and was stopped: with topics and tables, and without a record. Made by the first of the
    test processes that asks."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "stack"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            shutil.rmtree(made, ignore_errors=True)
            with Stack(made) as stack:
                stack.start_servers()
            (folder / "ready").touch()
    return made


def lay(made: Path, data_dir: Path) -> None:
    """Copies the servers' data there, with its owners and holes. Ports are not among it: each stack chooses its own."""
    for name in _MADE:
        (data_dir / name).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(made / name), str(data_dir / name)], check=True)


def end(stack: Stack) -> None:
    """At once, as nobody will read its data again, and what it took on the disk is free; the logs stay."""
    for service in stack.services:
        if service.returncode is None:
            service.kill()
    stack.kafka.kill()
    stack.postgres.stop("immediate")  # a kill waits until its children have noticed
    stack.stop()
    for name in ("kafka/logs", "postgres/cluster"):
        shutil.rmtree(stack.data_dir / name, ignore_errors=True)
