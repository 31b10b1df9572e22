"""`scanline publish`: a file of records as a scan, over HTTP or straight into Kafka."""

import shlex
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli.interrupts import sigterm_as_ctrl_c
from cli.options import Json, Tenant
from cli.output import console, show, stderr
from cli.scan_rows import checked_tenant, exit_code, has_ended, show_scan, state_words
from infra.errors import InfraError, Interrupted
from infra.settings import InfraSettings
from operations.api_client import ApiClient, Refused
from operations.direct_publisher import DirectPublisher
from operations.progress_columns import BytesColumn, CountColumn
from operations.records_file import Details, RecordsFile
from operations.status_follower import StatusFollower, accounted
from schemas.errors import Text
from schemas.scan_ids import scan_id_for

_LOOK_EVERY: Final = 0.2
Look = Callable[[], dict[str, Any] | None]


@dataclass
class Sending:
    """A submission to be made: what is sent, how, and until when its end is waited for (None: not at all)."""

    tenant: str
    file: RecordsFile
    details: Details
    key: str
    compress: bool
    deadline: Callable[[], float] | None
    quiet: bool
    source_typed: bool  # else it may stand in the file
    accepted: str | None = None  # the scan that the API made of it

    @property
    def scan_id(self) -> str:
        """The scan's id by the API's own rule, so that a key stands for the same scan whichever way it is sent."""
        return self.accepted or scan_id_for(self.tenant, self.key)

    @property
    def again(self) -> Text:
        """The text about what to do when it was not sent to its end, or when its end was not waited for."""
        scan, key = self.scan_id, shlex.quote(self.key)
        return Text(
            f"Lượt quét {scan}, khóa {key}: chạy lại với --idempotency-key {key} để gửi tiếp, phần đã gửi không bị tính hai"
            f" lần; xem: scanline status {scan} --tenant {self.tenant}",
            f"Scan {scan}, key {key}: run it again with --idempotency-key {key} to go on, what was sent counts only once;"
            f" see: scanline status {scan} --tenant {self.tenant}",
        )


def _bar(quiet: bool, *columns: Any) -> Progress:
    hidden = quiet or not stderr.is_terminal
    text = TextColumn("{task.description}")
    return Progress(text, BarColumn(), *columns, TimeElapsedColumn(), console=stderr, disable=hidden)


def _pieces(sending: Sending, progress: Progress) -> Iterator[bytes]:
    task = progress.add_task("Gửi / publishing", total=sending.file.size)
    read = 0

    def on_read(so_far: int) -> None:
        nonlocal read
        read = so_far
        progress.update(task, completed=so_far)

    yield from sending.file.pieces(on_read)
    progress.update(task, total=read)  # of standard input nobody knew it before


def _follow(look: Look, records: int, sending: Sending) -> dict[str, Any] | None:
    """The scan's status when it has ended, or when the time is over."""
    if sending.deadline is None:
        return look()
    until = sending.deadline()
    with _bar(sending.quiet, CountColumn()) as progress:
        task = progress.add_task("Lưu / storing", total=records)
        while True:
            status = look()
            if status is not None:
                progress.update(task, completed=accounted(status))
                if has_ended(status):
                    return status
            if time.monotonic() >= until:
                return status
            time.sleep(_LOOK_EVERY)


def _over_http(sending: Sending, url: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    details = sending.details._asdict()
    names = {"Idempotency-Key": "--idempotency-key"} | ({"source": "--source"} if sending.source_typed else {})
    with ApiClient(url, names) as api:
        if sending.file.found_nothing:
            answer = api.submit_nothing(sending.tenant, details, sending.key)
        else:
            with _bar(sending.quiet, BytesColumn()) as progress:
                pieces = _pieces(sending, progress)
                answer = api.submit(sending.tenant, pieces, details, sending.key, compress=sending.compress)
        sending.accepted = scan_id = str(answer["scan_id"])
        return answer, _follow(lambda: api.status(sending.tenant, scan_id), int(answer["records"]), sending)


def _into_kafka(sending: Sending, bootstrap: str) -> tuple[dict[str, Any], dict[str, Any] | None]:

    place = (sending.tenant, sending.scan_id)
    publisher = DirectPublisher(bootstrap)
    with _bar(sending.quiet, BytesColumn()) as progress:
        count = publisher.publish(*place, _pieces(sending, progress), sending.details)
    answer = {"scan_id": place[1], "tenant_id": sending.tenant, "records": count}
    if sending.deadline is None:
        return answer, None
    with StatusFollower(bootstrap) as follower:
        return answer, _follow(lambda: follower.last([place]).get(place), count, sending)


def _show_accepted(answer: dict[str, Any], status: dict[str, Any] | None, *, as_json: bool) -> None:
    """Nobody waited: what was sent, and where to look."""
    state = status or {"status": "queued"}
    row = {
        "scan_id": answer["scan_id"],
        "tenant_id": answer["tenant_id"],
        "records": answer["records"],
        "status": state["status"] if as_json else state_words(state),
        "replayed": answer.get("replayed", False),
    }
    show([row], title="publish", as_json=as_json)
    if not as_json:
        console.print(
            f"Theo dõi / follow: scanline tail --scan {row['scan_id']} --tenant {row['tenant_id']}",
            soft_wrap=True,
            highlight=False,
        )


def publish(
    file: Path = typer.Argument(
        help='NDJSON, hoặc JSON {"records": [...]} hay [...], nén gzip cũng được; "-" là đầu vào chuẩn'
        ' / NDJSON, or JSON {"records": [...]} or [...], gzipped or not; "-" is standard input'
    ),
    *,
    tenant: Tenant,
    kafka: bool = typer.Option(False, "--kafka", help="thẳng vào Kafka, không qua API / straight into Kafka"),
    source: str = typer.Option("", help="tên máy quét / name of the scanner"),
    idempotency_key: str = typer.Option("", help="gửi lại không bị tính hai lần / sent again, it counts once"),
    wait: float = typer.Option(0, min=0, help="chờ kết quả tối đa số giây này / seconds to wait for the result"),
    follow: bool = typer.Option(False, "--follow", help="chờ đến khi xong / wait until it has ended"),
    compress: bool = typer.Option(False, "--gzip", help="nén khi gửi qua HTTP / compress on the way (HTTP)"),
    json: Json = False,
) -> None:
    """Gửi một tệp bản ghi thành một lượt quét. / Send a file of records as a scan.

    Mã thoát: 0 ổn; 1 có bản ghi không được lưu, hoặc lỗi; 3 chưa xong khi hết giờ chờ. /
    Exit code: 0 well; 1 not every record was stored, or an error; 3 not ended within --wait.
    """
    if kafka and compress:
        raise InfraError.of("publish_gzip_with_kafka")
    sigterm_as_ctrl_c()
    settings = InfraSettings()
    waits = follow or wait > 0
    with RecordsFile(file) as opened:
        sending = Sending(
            checked_tenant(tenant),
            opened,
            opened.details._replace(source=source or opened.details.source),
            idempotency_key or str(uuid.uuid4()),
            compress,
            (lambda: float("inf") if follow else time.monotonic() + wait) if waits else None,
            json,
            bool(source),
        )
        try:
            if kafka:
                answer, status = _into_kafka(sending, settings.kafka_bootstrap)
            else:
                answer, status = _over_http(sending, settings.api_url)
        except Refused:
            raise
        except InfraError as error:
            again = sending.again
            raise InfraError(f"{error.vi} {again.vi}", f"{error.en} {again.en}", error.code) from error
        except KeyboardInterrupt:
            raise Interrupted.of("publish_interrupted", again=sending.again) from None
    if not waits or status is None:
        _show_accepted(answer, status, as_json=json)
    else:
        show_scan(status, as_json=json)
    if waits:
        raise typer.Exit(exit_code(status))
