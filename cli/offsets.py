"""`scanline offsets reset`: where a lane goes on whose log was replaced."""

import typer

from cli.options import PIPELINE, Json, Pipeline
from cli.output import show, stderr
from infra.errors import InfraError
from infra.settings import InfraSettings
from operations.offset_reset import reset as set_anew


def reset(
    partition: int | None = typer.Option(None, min=0, help="phân vùng / the partition"),
    every: bool = typer.Option(
        False, "--all", help="mọi phân vùng đang dừng với log_replaced / each that waits with log_replaced"
    ),
    to: str = typer.Option(..., help="earliest | latest | OFFSET"),
    yes: bool = typer.Option(False, "--yes", help="kể cả khi bỏ qua thông điệp chưa đọc / even over unread messages"),
    pipeline: Pipeline = PIPELINE,
    json: Json = False,
) -> None:
    """Đặt lại vị trí đọc khi làn dừng với lý do log_replaced; worker tự tiếp tục, không cần khởi động lại.
    / Set where a lane goes on that waits with log_replaced; the worker notices by itself.

    Topic được tạo lại: --to earliest. Broker mất phần cuối: --to latest --yes nếu phần còn lại đã được ghi. /
    A topic made anew: --to earliest. A broker lost its end: --to latest --yes if all that is left was written.
    """
    if (partition is None) == (not every):
        raise InfraError.of("offsets_partition_or_all")
    settings = InfraSettings()
    done = set_anew(settings.kafka_bootstrap, settings.url("write"), pipeline, partition, to, yes)
    show([each._asdict() for each in done.resets], title="stream_offsets", as_json=json)
    if done.gone:
        gone = ", ".join(map(str, done.gone))
        stderr.print(
            f"Topic không còn phân vùng {gone}: offset của chúng được giữ nguyên. /"
            f" The topic has no partition {gone} any more: their offsets were left as they are.",
        )
