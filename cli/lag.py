"""`scanline lag`: what has been sent and is not written yet, who is at it, and how fast it goes."""

import datetime as dt
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, NamedTuple

import typer

from cli.interrupts import sigterm_as_ctrl_c
from cli.lag_table import line, table
from cli.options import PIPELINE, Json, Pipeline
from cli.output import console, print_json, stderr
from infra.errors import InfraError
from infra.settings import InfraSettings
from operations import pipelines
from operations.lag import LagMeter, Look, Pace, written_offsets
from schemas.topics import RECORDS_TOPIC


class LookPair(NamedTuple):
    """Two looks, of which the second is shown; `before` is None where there was but one."""

    before: Look | None
    now: Look

    def pace(self, partition: int | None = None) -> Pace | None:
        return None if self.before is None else Pace.between(self.before, self.now, partition)


def lag(
    pipeline: Pipeline = PIPELINE,
    watch: bool = typer.Option(False, help="theo dõi đến khi Ctrl-C / follow until Ctrl-C"),
    every: float = typer.Option(
        2.0, min=0.5, max=3600, help="giây giữa hai lần xem với --watch / seconds between looks"
    ),
    over: float = typer.Option(
        1.0, min=0, max=60, help="đo tốc độ trong số giây này; 0: không đo / seconds to measure rates over; 0: none"
    ),
    json: Json = False,
) -> None:
    """Lượng tồn đọng của từng phân vùng. / How many messages of each partition wait to be written."""
    settings = InfraSettings()
    url = settings.postgres_read_url
    if url is not None:
        pipelines.check(url.get_secret_value(), pipeline)
    with closing(LagMeter(settings.kafka_bootstrap, pipeline)) as meter:

        def look() -> Look:
            return meter.look(None if url is None else written_offsets(url.get_secret_value(), pipeline))

        if watch:
            sigterm_as_ctrl_c()
            with suppress(KeyboardInterrupt):
                _watch(look, every, pipeline, as_json=json)
            return
        found = LookPair(None, look())
        if over:
            time.sleep(over)
            found = LookPair(found.now, look())
    if found.now.counted_by == "group":
        why = (
            ("Chưa có SCANLINE_POSTGRES_READ_URL", "SCANLINE_POSTGRES_READ_URL is not set")
            if url is None
            else ("PostgreSQL không trả lời", "PostgreSQL does not answer")
        )
        stderr.print(f"{why[0]}: tính theo offset của nhóm. / {why[1]}: counted by the group's offsets.")
    if json:
        print_json(_document(found, pipeline))
    else:
        console.print(table(found.now, found.pace, console.width))


def _document(found: LookPair, pipeline: str) -> dict[str, Any]:
    def paced(partition: int | None = None) -> dict[str, Any]:
        pace = found.pace(partition)
        return {
            "written_per_second": None if pace is None else round(pace.written, 3),
            "sent_per_second": None if pace is None else round(pace.sent, 3),
            "seconds_to_empty": None
            if pace is None or pace.seconds_to_empty is None
            else round(pace.seconds_to_empty, 1),
        }

    now = found.now
    return {
        "topic": RECORDS_TOPIC,
        "pipeline": pipeline,
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "counted_by": now.counted_by,
        "measured_over_seconds": None if found.before is None else round(now.at - found.before.at, 3),
        "lag": now.lag,
        "lag_seconds": None if now.lag_seconds is None else round(now.lag_seconds, 3),
        **paced(),
        "partitions": [
            {
                **each._asdict(),
                "lag_seconds": None if each.lag_seconds is None else round(each.lag_seconds, 3),
                "since": None if each.since is None else dt.datetime.fromtimestamp(each.since, dt.UTC).isoformat(),
                **paced(each.partition),
            }
            for each in now.partitions
        ],
    }


def _watch(look: Callable[[], Look], every: float, pipeline: str, *, as_json: bool) -> None:
    """Shows look after look, each with the rates since the one before. A terminal has the table in one place; a pipe
    gets a line for each. A Kafka that does not answer is said, and asked again."""
    before: Look | None = None
    redraws = not as_json and sys.stdout.isatty()
    screen: Any = None
    if redraws:
        from rich.live import Live  # for this alone

        screen = Live(console=console, auto_refresh=False)
        screen.start()
    try:
        while True:
            started = time.monotonic()
            try:
                found = LookPair(before, look())
            except InfraError as error:
                if as_json:
                    print_json({"error": {"code": error.code, "vi": error.vi, "en": error.en}})
                elif screen is not None:
                    screen.update(f"{error.vi}\n{error.en}", refresh=True)
                else:
                    console.print(f"{error.vi} / {error.en}", soft_wrap=True, highlight=False, markup=False)
            else:
                before = found.now
                if as_json:
                    print_json(_document(found, pipeline))
                elif screen is not None:
                    screen.update(table(found.now, found.pace, console.width), refresh=True)
                else:
                    console.print(line(found.now, found.pace()), soft_wrap=True, highlight=False, markup=False)
                    sys.stdout.flush()
            time.sleep(max(0.0, every - (time.monotonic() - started)))
    finally:
        if screen is not None:
            screen.stop()
