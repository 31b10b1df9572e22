"""All commands of `scanline`. One module per command; each has register(app)."""

import importlib
import pkgutil
from typing import Final

import typer

import cli

app: Final = typer.Typer(
    help="Scanline: kết quả quét vào PostgreSQL, mỗi bản ghi đúng một lần. / Scan results into PostgreSQL, exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

for _module in sorted(pkgutil.iter_modules(cli.__path__), key=lambda module: module.name):
    try:
        _command = importlib.import_module(f"{cli.__name__}.{_module.name}")
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "trials":
            raise
        continue  # the production image has no trials, and none of the commands that need them
    if hasattr(_command, "register"):
        _command.register(app)
