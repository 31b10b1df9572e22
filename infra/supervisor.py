"""Watches a running stack: passes its processes' log lines on, and notices when one ends."""

import threading
from pathlib import Path
from typing import IO, Final

from rich.console import Console

from infra.stack import Stack

_POLL: Final = 0.3
_COLOURS: Final = ("cyan", "green", "magenta", "yellow", "blue")


class _Tail:
    """New lines of one log file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def lines(self) -> list[str]:
        if self._file is None:
            if not self._path.exists():
                return []
            self._file = self._path.open(errors="replace")
        return [line.rstrip("\n") for line in self._file.readlines()]


def follow_logs(stack: Stack, stopping: threading.Event) -> str | None:
    """Prints log lines with the process's name until `stopping` is set or a process ends by itself.

    Returns a sentence, in both languages, about the process that ended; nothing is restarted behind the operator's back.
    """
    console = Console(stderr=True, highlight=False)
    tails = [(service, _Tail(service.log_file)) for service in stack.services]
    while True:
        last_look = stopping.wait(_POLL)
        for at, (service, tail) in enumerate(tails):
            for line in tail.lines():
                console.print(
                    f"[{_COLOURS[at % len(_COLOURS)]}]{service.name:>9}[/]", line, markup=True, soft_wrap=True
                )
        if last_look:
            return None
        for service in stack.services:
            if service.returncode is not None:
                return (
                    f"«{service.name}» đã dừng với mã {service.returncode}; xem {service.log_file}. / "
                    f"«{service.name}» ended with code {service.returncode}; see {service.log_file}."
                )
        for name, server in (("kafka", stack.kafka), ("postgres", stack.postgres)):
            if not server.running:
                return f"{name} đã dừng; xem {server.log_file}. / {name} ended; see {server.log_file}."
