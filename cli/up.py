"""`scanline up`: the whole system, until Ctrl-C."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from cli.interrupts import sigterm_as_ctrl_c
from cli.options import ApiProcesses, Json, below
from cli.output import console, show
from infra.errors import InfraError, Interrupted
from infra.processes.running_file import announced, forget
from infra.processes.supervisor import follow_logs
from infra.settings import InfraSettings
from infra.stack import Stack


def up(
    workers: int = typer.Option(1, min=1, max=16, help="số worker / worker processes"),
    api_processes: ApiProcesses = 1,
    data_dir: Annotated[Path | None, below("up")] = None,
    json: Json = False,
) -> None:
    """Chạy toàn bộ hệ thống; Ctrl-C để dừng. / Run the whole system; Ctrl-C stops all of it."""
    sigterm_as_ctrl_c()
    folder = data_dir or InfraSettings().data_dir / "up"
    try:
        with Stack(folder, workers=workers, api_processes=api_processes, exporter=True) as stack:
            ended = _run(stack, as_json=json)
    except KeyboardInterrupt:  # before all of it ran
        raise Interrupted.of("interrupted_stopped") from None
    if ended:
        raise ended


def _run(stack: Stack, *, as_json: bool) -> InfraError | None:
    """Runs until Ctrl-C, or until one of the processes ends by itself."""
    forget(stack.data_dir)
    stack.start()
    env = stack.env | {"SCANLINE_API_URL": stack.apis[0].base_url}
    exporter = next(each for each in stack.services if each.name.startswith("exporter"))
    own = {"api": stack.apis[0].settings, "worker": stack.workers[0].settings, "exporter": exporter.settings}
    stopping = threading.Event()
    with announced(stack.data_dir, env, own):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        rows = [
            {"process": "kafka", "pid": _pid(stack.kafka.pid, as_json), "address": stack.kafka.bootstrap},
            {
                "process": "postgres",
                "pid": _pid(stack.postgres.pid, as_json),
                "address": f"127.0.0.1:{stack.postgres.port}",
            },
            *(
                {"process": each.name, "pid": _pid(each.pid, as_json), "address": each.base_url}
                for each in stack.services
            ),
        ]
        show(rows, title="Scanline", as_json=as_json)
        if not as_json:
            where = f"Dữ liệu và nhật ký / data and logs: {stack.data_dir}"
            console.print(f"{where}\nCtrl-C: dừng / stop", soft_wrap=True, highlight=False, markup=False)
        return follow_logs(stack, stopping)


def _pid(pid: int | None, as_json: bool) -> int | str | None:
    """A name rather than a figure: for people it is written as it is typed."""
    return pid if as_json else str(pid)
