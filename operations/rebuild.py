"""The live tables again, after the database was lost: tables are made, and workers write from the topic's beginning.

Offsets live in the database, so an empty one means: from the start. Nothing but the worker's own way writes here, and
what it wrote needs no hand-over: live workers simply go on."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import psycopg2
from confluent_kafka import KafkaException
from sqlalchemy.engine import make_url

from infra.errors import InfraError
from infra.postgres.cluster import Urls
from infra.postgres.migrate import prepare_foreign
from infra.processes.services import Processes
from infra.settings import InfraSettings
from operations.lag import measure, written_offsets
from operations.replay.selection import Range, Selection, ranges
from schemas.stored_offset import StoredOffset

_LOOK: Final = 1.0  # seconds between two looks at how far it is
_STILL: Final = 60.0  # seconds without progress after which that is said
_TABLES: Final = ("processing_activities", "scans", "rejected_records", "scan_messages", "tenant_day_counts")


class RebuildProgress(NamedTuple):
    """Offsets written of those the topic held at the start; `still` {partition: next offset} stands for a while."""

    offsets: int
    total: int
    still: Mapping[int, int]


class Workers(Processes):
    """Workers of the rebuild's own, in the pipeline's group."""

    def __init__(self, data_dir: Path, settings: InfraSettings, urls: Urls, pipeline: str) -> None:
        super().__init__(data_dir)
        self._env = {
            "SCANLINE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "SCANLINE_POSTGRES_WRITE_URL": urls.write,
            "SCANLINE_STREAM_PIPELINE": pipeline,
        }

    @property
    def env(self) -> Mapping[str, str]:
        return self._env


def rebuild(
    settings: InfraSettings,
    urls: Urls,
    pipeline: str,
    *,
    workers: int,
    going_on: bool,
    on_cut: Callable[[Mapping[int, int]], None],
    on_progress: Callable[[RebuildProgress], None],
) -> dict[int, Range]:
    """Returns what was in the topic at the start, all of which is written. `workers` are started and stopped here; with
    0 it waits for those that run. `on_cut` hears which partitions begin behind offset 0. Raises InfraError."""
    places = ranges(
        settings.kafka_bootstrap, Selection()
    )  # first of all: without the topic there is nothing to rebuild from
    admin = settings.postgres_admin_url.get_secret_value() if settings.postgres_admin_url else None
    if not going_on:
        _insist_on_nothing(urls.migrate)
    prepare_foreign(urls, admin)
    cut = {number: place.first for number, place in places.items() if place.first}
    if cut:
        on_cut(cut)
    own = Workers(settings.data_dir / "rebuild", settings, urls, pipeline)
    try:
        for _ in range(workers):
            own.start_worker(wait=False)
        _drain(settings.kafka_bootstrap, urls.read, pipeline, places, own, on_progress)
    finally:
        own.stop_services()
    return places


def _insist_on_nothing(url: str) -> None:
    """A database that is not there, and tables that are not there, are as good as empty."""
    try:
        connection = psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    except psycopg2.OperationalError:
        return  # preparing says what is wrong, if anything is
    try:
        with connection, connection.cursor() as cursor:
            for table in _TABLES:
                cursor.execute("SELECT to_regclass(%s)", (table,))
                if cursor.fetchone() == (None,):
                    continue
                cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")
                if cursor.fetchone() == (True,):
                    raise InfraError.of("rebuild_table_not_empty", table=table)
    finally:
        connection.close()


def _drain(
    bootstrap: str,
    read_url: str,
    pipeline: str,
    places: Mapping[int, Range],
    own: Workers,
    on_progress: Callable[[RebuildProgress], None],
) -> None:
    """Waits until every partition is written up to where it ended at the start."""
    moved = dict.fromkeys(places, (0, time.monotonic()))
    while True:
        stored = written_offsets(read_url, pipeline) or {}
        written = {number: each.next_offset for number, each in stored.items()}
        left = {number for number, place in places.items() if place.offsets and written.get(number, 0) < place.end}
        if left:
            left -= _nothing_more(bootstrap, pipeline, stored)  # marks of transactions are nobody's to write
        now = time.monotonic()
        for number in places:
            if number not in left or written.get(number, 0) != moved[number][0]:
                moved[number] = written.get(number, 0), now
        total = sum(place.offsets for place in places.values())
        done = total - sum(
            places[number].end - min(places[number].end, max(places[number].start, written.get(number, 0)))
            for number in left
        )
        still = {number: written.get(number, 0) for number in left if now - moved[number][1] > _STILL}
        on_progress(RebuildProgress(done, total, still))
        if not left:
            return
        _insist_on_running(own)
        time.sleep(_LOOK)


def _nothing_more(bootstrap: str, pipeline: str, written: Mapping[int, StoredOffset]) -> set[int]:
    """Partitions without a message that waits; none while the broker does not say."""
    try:
        return {each.partition for each in measure(bootstrap, pipeline, written) if each.lag == 0}
    except (InfraError, KafkaException):
        return set()


def _insist_on_running(own: Workers) -> None:
    for service in own.services:
        if service.returncode is not None:
            raise InfraError.of(
                "rebuild_process_ended", name=service.name, returncode=service.returncode, log=service.log_file
            )
