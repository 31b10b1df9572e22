"""Watches a running stack: passes its processes' log lines on, and notices when one ends."""

import threading
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from infra.errors import InfraError
from infra.stack import Stack

_POLL: Final = 0.3
_COLOURS: Final = ("cyan", "green", "magenta", "yellow", "blue")


class LogTail:
    """New lines of one log file, from `start` on: what stands before it is of an earlier run."""

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._read = start
        self._rest = b""

    def lines(self, *, last: bool = False) -> list[str]:
        """Gives the lines that are complete; with `last` also the one that has no end yet."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        if last and self._rest:
            lines, self._rest = [*lines, self._rest], b""
        return [line.decode("utf-8", "replace") for line in lines]


def follow_logs(stack: Stack, stopping: threading.Event) -> InfraError | None:
    """Prints log lines with the process's name until `stopping` is set or a process ends by itself.

    Returns what there is to say about the process that ended; nothing is restarted behind the operator's back.
    """
    console = Console(stderr=True, highlight=False)
    tails = [(service, LogTail(service.log_file, service.log_start)) for service in stack.services]
    while True:
        last_look = stopping.wait(_POLL)
        for at, (service, tail) in enumerate(tails):
            for line in tail.lines(last=last_look):
                label = (f"{service.name:>9}", _COLOURS[at % len(_COLOURS)])
                console.print(Text.assemble(label, " ", line), soft_wrap=True)
        if last_look:
            return None
        for service in stack.services:
            if service.returncode is not None:
                return InfraError.of(
                    "process_ended", name=service.name, returncode=service.returncode, log=service.log_file
                )
        for name, server in (("kafka", stack.kafka), ("postgres", stack.postgres)):
            if not server.running:
                return InfraError.of("server_ended", name=name, log=server.log_file)
