"""`scanline errors` and `scanline mend`: a scan's rejected records, written to a file and sent back as corrections."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer
from rich.progress import BarColumn, Progress, TextColumn

from cli.options import Json, ScanId, Tenant
from cli.output import show, stderr
from cli.scan_rows import NOT_ENDED, NOT_WELL, checked_tenant, show_scan
from infra.errors import InfraError
from infra.settings import InfraSettings
from operations.api_client import ApiClient
from operations.progress_columns import BytesColumn

_PIECE: Final = 256 * 1024


def _pieces(file: Path, progress: Progress) -> Iterator[bytes]:
    task = progress.add_task("Gửi / sending", total=file.stat().st_size)
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece
            progress.update(task, advance=len(piece))


def _as_array(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines as one JSON array, byte by byte as they came: a scan can have more than memory holds, and numbers that Python
    would not give back."""
    before = b"["
    for line in lines:
        yield before + line.rstrip(b"\n")
        before = b",\n"
    yield b"[]\n" if before == b"[" else b"]\n"


def errors(
    scan_id: ScanId,
    tenant: Tenant,
    json: bool = typer.Option(False, "--json", help="một mảng thay vì NDJSON / one array instead of NDJSON"),
) -> None:
    """Bản ghi bị từ chối của một lượt quét, dạng NDJSON. / The rejected records of a scan, as NDJSON.

    Sửa «record» trong từng dòng rồi gửi lại bằng `scanline mend`. / Mend «record» in each line, then `scanline mend`.
    """
    with ApiClient(InfraSettings().api_url) as api:
        lines = api.errors(checked_tenant(tenant), scan_id)
        for piece in _as_array(lines) if json else lines:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def mend(
    scan_id: ScanId,
    file: Path = typer.Argument(help="các dòng của `scanline errors`, đã sửa / lines of `scanline errors`, mended"),
    *,
    tenant: Tenant,
    wait: float = typer.Option(30, min=0, max=300, help="chờ kết quả tối đa số giây này / seconds to wait"),
    json: Json = False,
) -> None:
    """Gửi lại bản ghi đã sửa vào chính lượt quét đó. / Send mended records back into the same scan.

    Mã thoát: 0 không còn bản ghi bị từ chối; 1 còn, hoặc lỗi; 3 chưa xét xong khi hết giờ chờ. /
    Exit code: 0 nothing is rejected any more; 1 something is, or an error; 3 not judged within --wait.
    """
    if not file.is_file():
        raise InfraError.of("file_missing", file=file)
    hidden = json or not stderr.is_terminal
    columns = (TextColumn("{task.description}"), BarColumn(), BytesColumn())
    with (
        ApiClient(InfraSettings().api_url) as api,
        Progress(*columns, console=stderr, disable=hidden) as progress,
    ):
        answer = api.mend(checked_tenant(tenant), scan_id, _pieces(file, progress), wait)
    if "records_rejected" not in answer:  # taken, and not judged yet
        row = {name: answer[name] for name in ("scan_id", "tenant_id", "records", "left", "version")}
        show([row], title="mend", as_json=json)
        raise typer.Exit(NOT_ENDED)
    show_scan(answer, as_json=json)
    raise typer.Exit(NOT_WELL if answer["records_rejected"] else 0)
