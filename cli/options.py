"""Options that several commands have, each said once."""

from typing import Annotated, Any, Final

import typer

PIPELINE: Final = "inventory"
Json = Annotated[bool, typer.Option("--json")]
Pipeline = Annotated[str, typer.Option(envvar="SCANLINE_STREAM_PIPELINE", help="nhóm tiêu thụ / group")]
Tenant = Annotated[str, typer.Option(help="mã tổ chức / tenant id")]
ScanId = Annotated[str, typer.Argument(help="mã lượt quét / scan id")]


def below(name: str) -> Any:
    """The path below --data-dir where a command keeps what it writes."""
    return typer.Option(help=f"default: .data/{name} in the project")
