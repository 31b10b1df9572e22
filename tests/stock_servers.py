"""Servers that were made once, as folders to copy: to format Kafka's log, to make a PostgreSQL cluster, its tables and the
topics takes longer than most tests do with them."""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.stack import Stack

_MADE = ("kafka/logs", "kafka/formatted", "postgres/cluster", "postgres/passwords")


def stock(folder: Path, partitions: int = 12) -> Path:
    """The folder of a stack that ran and was stopped: with topics and tables, and without a record. Made by the first of the
    test processes that asks."""
    folder /= str(partitions)
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "stack"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            shutil.rmtree(made, ignore_errors=True)
            with Stack(made, partitions=partitions) as stack:
                stack.start_servers()
            (folder / "ready").touch()
    return made


def lay(made: Path, data_dir: Path) -> None:
    """Copies the servers' data there, with its owners and holes. Ports are not among it: each stack chooses its own."""
    for name in _MADE:
        (data_dir / name).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(made / name), str(data_dir / name)], check=True)


@contextmanager
def copied_stack(data_dir: Path, stock_dir: Path, partitions: int = 12) -> Iterator[Stack]:
    """Running servers, copies of the stock; of what they leave only the logs are kept."""
    lay(stock(stock_dir, partitions), data_dir)
    running = Stack(data_dir, partitions=partitions)
    try:
        running.start_servers()
        yield running
    finally:
        end(running)


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
