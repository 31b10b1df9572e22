"""Options that several commands have, each said once."""

from typing import Annotated, Any, Final

import typer

PIPELINE: Final = "inventory"
Json = Annotated[
    bool, typer.Option("--json", help="một tài liệu JSON cho chương trình / one JSON document, for programs")
]
Pipeline = Annotated[str, typer.Option(envvar="SCANLINE_STREAM_PIPELINE", help="nhóm tiêu thụ / group")]
Tenant = Annotated[str, typer.Option(help="mã tổ chức / tenant id")]
ScanId = Annotated[str, typer.Argument(help="mã lượt quét / scan id")]


ApiProcesses = Annotated[
    int, typer.Option("--api-processes", min=1, max=8, help="số tiến trình của API / processes of the API")
]


def below(name: str) -> Any:
    """The path below --data-dir where a command keeps what it writes."""
    return typer.Option(
        help=f"nơi ghi dữ liệu, mặc định .data/{name} trong dự án / where it writes, by default .data/{name} in the project"
    )
