"""`scanline statuses`: what the status topic says of scans, held against PostgreSQL."""

import typer

from cli.options import PIPELINE, Json, Pipeline
from cli.output import show, stderr
from infra.settings import InfraSettings
from operations import pipelines
from operations.published_statuses import SETTLED_SECONDS, compare, publish


def statuses(
    publish_all: bool = typer.Option(
        False,
        "--publish",
        help="phát lại theo PostgreSQL; lượt quét mà PostgreSQL không có thì bị quên"
        " / publish what PostgreSQL says; a scan that it does not know is forgotten",
    ),
    older_than: float = typer.Option(
        SETTLED_SECONDS,
        min=0,
        help="chỉ những gì không đổi trong số giây này / only what did not change for so many seconds",
    ),
    pipeline: Pipeline = PIPELINE,
    json: Json = False,
) -> None:
    """So tình trạng đã phát với PostgreSQL, và phát lại. / Hold published statuses against PostgreSQL, and publish again.

    Sau khi một trong hai được khôi phục. / After one of the two was restored.
    Mã thoát 1 khi có khác biệt chưa phát lại. / Exit code 1 where something differs and was not published.
    """
    settings = InfraSettings()
    pipelines.check(settings.url("read"), pipeline)
    compared = compare(settings.kafka_bootstrap, settings.url("read"), pipeline, older_than)
    if publish_all:
        publish(settings.kafka_bootstrap, compared.found)
    rows = [difference._asdict() for difference, _ in compared.found]
    show(rows, title="scan.status.v1", as_json=json, empty="không có khác biệt / nothing differs")
    if not json:
        stderr.print(f"{compared.scans} lượt quét đã so / scans compared")
    if rows and not publish_all:
        raise typer.Exit(1)
