"""`scanline dlq allow`: lets a lane go on that the dead-letter limit has stopped."""

import typer

from cli.options import PIPELINE, Json, Pipeline
from cli.output import show
from infra.settings import InfraSettings
from operations.dead_letters.allowance import allow as let_pass


def allow(
    partition: int = typer.Option(..., min=0, help="phân vùng đang dừng / the partition that stands still"),
    count: int = typer.Option(..., min=1, help="số thông điệp kế tiếp / how many messages from here on"),
    pipeline: Pipeline = PIPELINE,
    json: Json = False,
) -> None:
    """Cho phép các thông điệp không đọc được kế tiếp vào scan.dlq.v1, dù vượt giới hạn.
    / Let the next messages go to scan.dlq.v1 where they cannot be read, although they are over the limit.

    Chỉ dùng khi đã xem chúng và biết lỗi ở bên gửi: nếu lỗi ở worker, hãy triển khai bản sửa, làn sẽ tự tiếp tục. /
    Only after a look at them, when the sender is at fault: with the fault in the worker, deploy a version that can read
    them, and the lane goes on by itself.
    """
    made = let_pass(InfraSettings().url("write"), pipeline, partition, count)
    show([made._asdict()], title="scan.dlq.v1", as_json=json)
