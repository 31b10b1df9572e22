"""`scanline offsets reset`: where a lane goes on whose log was replaced."""

from typing import Final

import typer

from cli.options import PIPELINE, Json, Pipeline
from cli.output import show, stderr
from cli.usage import WrongUse
from infra.errors import InfraError
from infra.settings import InfraSettings
from operations import pipelines
from operations.offset_reset import reset as set_anew

_NAMED: Final = ("earliest", "latest")


def reset(
    partition: int | None = typer.Option(None, min=0, help="phân vùng / the partition"),
    every: bool = typer.Option(
        False, "--all", help="mọi phân vùng đang dừng với log_replaced / each that waits with log_replaced"
    ),
    to: str = typer.Option(..., help="đọc tiếp từ đâu / where it goes on: earliest | latest | OFFSET"),
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
    if to not in _NAMED and not (to.isascii() and to.isdigit()):  # also where no partition waits for it
        raise WrongUse.not_one_of("--to", to, [*_NAMED, "OFFSET"])
    settings = InfraSettings()
    pipelines.check(settings.url("write"), pipeline)
    done = set_anew(settings.kafka_bootstrap, settings.url("write"), pipeline, partition, to, yes)
    show([each._asdict() for each in done.resets], title="stream_offsets", as_json=json)
    if done.gone:
        gone = ", ".join(map(str, done.gone))
        stderr.print(
            f"Topic không còn phân vùng {gone}: offset của chúng được giữ nguyên. /"
            f" The topic has no partition {gone} any more: their offsets were left as they are.",
        )
