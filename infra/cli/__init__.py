"""The `scanline` command. One module per command; each has register(app)."""

import importlib
import pkgutil
import sys

import typer
from rich.console import Console
from rich.markup import escape

from infra.errors import InfraError

app = typer.Typer(
    help="Scanline: kết quả quét vào PostgreSQL, mỗi bản ghi đúng một lần. / Scan results into PostgreSQL, exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

for _module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
    _command = importlib.import_module(f"{__name__}.{_module.name}")
    if hasattr(_command, "register"):
        _command.register(app)


def main() -> None:
    """Entry point: known errors are shown as sentences, in both languages."""
    try:
        app()
    except InfraError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"[red]{escape(error.vi)}[/red]\n{escape(error.en)}", highlight=False
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
