"""`scanline api` and `scanline worker`: one process in the foreground; `scanline up`: all of them."""

import os
import signal
import sys
import threading
from pathlib import Path

import typer

from infra.cli.output import console, show
from infra.running import announced, forget
from infra.settings import InfraSettings
from infra.stack import Stack
from infra.supervisor import follow_logs


def _become(module: str) -> None:
    """The process itself, not a child of ours: signals and exit codes are its own."""
    os.execv(sys.executable, [sys.executable, "-m", module])


def register(app: typer.Typer) -> None:
    """Adds the commands."""

    @app.command()
    def api() -> None:
        """Chạy API. / Run the API."""
        _become("producer_api")

    @app.command()
    def worker() -> None:
        """Chạy một tiến trình xử lý. / Run a worker."""
        _become("stream_app")

    @app.command()
    def up(
        workers: int = typer.Option(1, min=1, max=16),
        api_processes: int = typer.Option(1, "--api-processes", min=1, max=8),
        data_dir: Path | None = typer.Option(None, help="default: .data/up in the project"),
        json: bool = typer.Option(False, "--json"),
    ) -> None:
        """Chạy toàn bộ hệ thống; Ctrl-C để dừng. / Run the whole system; Ctrl-C stops all of it."""
        stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        folder = data_dir or InfraSettings().data_dir / "up"
        with Stack(folder, workers=workers, api_processes=api_processes) as stack:
            forget(stack.data_dir)
            stack.start()
            env = stack.env | {"SCANLINE_API_URL": stack.apis[0].base_url}
            with announced(stack.data_dir, env):
                rows = [
                    {"process": "kafka", "pid": stack.kafka.pid, "address": stack.kafka.bootstrap},
                    {"process": "postgres", "pid": stack.postgres.pid, "address": f"127.0.0.1:{stack.postgres.port}"},
                    *(
                        {"process": service.name, "pid": service.pid, "address": service.base_url}
                        for service in stack.services
                    ),
                ]
                show(rows, title="Scanline", as_json=json)
                if not json:
                    console.print(f"Dữ liệu và nhật ký / data and logs: {folder}   Ctrl-C: dừng / stop")
                ended = follow_logs(stack, stopping)
        if ended:
            console.print(f"[red]{ended}[/red]")
            raise typer.Exit(1)
