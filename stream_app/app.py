"""The Faust app: one agent that hands slices to lanes, and the timers around them."""

import os
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import faust
from yarl import URL

from schemas.topics import METADATA_REFRESH_MS, RECORDS_TOPIC
from sinks.postgres import PostgresSink
from sinks.postgres.engine import write_engine
from sinks.postgres.native.reader import native_reader
from sinks.postgres.tenant_counts import TenantCounts
from stream_app.broker_logs import Ends, LogBounds
from stream_app.faust_bridge.skipped_messages import LOOK_SECONDS as POSITIONS_SECONDS
from stream_app.faust_bridge.skipped_messages import SkippedMessages
from stream_app.faust_bridge.transport import SliceConsumer, SliceTransport
from stream_app.lanes.backoff import Backoff
from stream_app.lanes.batch import Limits
from stream_app.lanes.dead_letter_limit import Limit
from stream_app.lanes.group import Lanes
from stream_app.lanes.lane import Settings
from stream_app.lanes.log_checks import LOOK_SECONDS as LOGS_SECONDS
from stream_app.lanes.log_checks import Logs
from stream_app.lanes.watchdog import LOOK_SECONDS, Watchdog, WatchdogRules
from stream_app.lanes.writers import Writers
from stream_app.publisher import Publisher
from stream_app.settings import WorkerSettings

if TYPE_CHECKING:
    from schemas.traces import Traces

_POSITIONS_SECONDS = 5.0
_HEARTBEAT_SECONDS = 1.0  # at most
Timer = TypeVar("Timer", bound=Callable[[], Coroutine[Any, Any, None]])


def build_lanes(settings: WorkerSettings) -> Lanes:
    """The lanes with their sink and their publisher, not yet assigned anything."""
    engine = write_engine(
        settings.postgres_write_url.get_secret_value(),
        connections=settings.write_connections,
        deadline_seconds=settings.write_deadline_seconds,
    )
    return Lanes(
        PostgresSink(
            engine,
            settings.stream_pipeline,
            TenantCounts(settings.metrics_tenants) if settings.metrics_tenants else None,
            native_reader() if settings.stream_native_reader == "auto" else None,
        ),
        Publisher(settings.kafka_bootstrap),
        Writers(settings.stream_writers, settings.write_connections),
        Settings(
            limits=Limits(settings.stream_window_rows, settings.stream_window_bytes, settings.stream_scan_rows),
            window_seconds=settings.stream_window_ms / 1000,
            lane_bytes=settings.stream_lane_bytes,
            backoff=Backoff(settings.stream_attempts, settings.stream_backoff_seconds),
            probe_seconds=settings.stream_probe_seconds,
            dead_letters=Limit(settings.dead_letter_run, settings.dead_letter_share, settings.dead_letter_window),
        ),
        _traces(settings.traces_endpoint),
    )


def _traces(endpoint: str | None) -> "Traces | None":
    if not endpoint:
        return None
    from schemas.traces import Traces

    return Traces("scanline-worker", endpoint)


class ScanlineApp(faust.App):
    """Faust's app, of which it is known what it runs with."""

    watchdog: Watchdog

    @property
    def slices(self) -> SliceConsumer:
        """Its consumer."""
        consumer = self.consumer
        assert isinstance(consumer, SliceConsumer)
        return consumer

    def every(self, seconds: float) -> Callable[[Timer], Timer]:
        """Decorates what is to be called so often, on the event loop."""
        decorate: Callable[[Timer], Timer] = self.timer(interval=seconds)
        return decorate


def build_app(settings: WorkerSettings, lanes: Lanes) -> ScanlineApp:
    """The app, ready for a faust.Worker. At-least-once on Kafka's side; PostgreSQL makes it exactly once."""
    broker = f"kafka://{settings.kafka_bootstrap.replace(',', ';kafka://')}"
    name = f"{socket.gethostname()}:{os.getpid()}"  # as in stream_offsets: it tells the group's members apart
    app = ScanlineApp(
        settings.stream_pipeline,
        env={},  # from the environment Faust would take BROKER_URL or PROCESSING_GUARANTEE over what is said here
        broker=broker,
        broker_client_id=name,
        store="memory://",
        datadir=settings.stream_data_dir,  # Faust makes the folder and keeps nothing in it
        web_enabled=False,
        processing_guarantee="at_least_once",
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_buffer_maxsize=4,  # slices; the bound on memory is the lanes' own
        stream_wait_empty=False,
        broker_max_poll_records=settings.stream_fetch_messages,
        consumer_max_fetch_size=settings.stream_fetch_bytes,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=METADATA_REFRESH_MS,
        broker_session_timeout=settings.session_timeout_seconds,
        # also how soon a worker learns that another has come or gone: long sessions must not make that slow
        broker_heartbeat_interval=min(_HEARTBEAT_SECONDS, settings.session_timeout_seconds / 4),
        broker_max_poll_interval=86_400.0,  # lanes that wait for the database for hours are no reason to leave the group
        broker_request_timeout=max(30.0, settings.session_timeout_seconds),
        worker_redirect_stdouts=False,
    )
    urls = [URL(url) for url in broker.split(";")]
    logs = Logs(lanes, LogBounds(settings.kafka_bootstrap))

    class _Consumer(SliceConsumer):
        pass

    class _Transport(SliceTransport):
        Consumer = _Consumer

    _Consumer.lanes = lanes
    _Consumer.logs = logs
    _Consumer.client_name = name
    app._transport = _Transport(urls, app)
    topic = app.topic(RECORDS_TOPIC, acks=False, key_serializer="raw", value_serializer="raw", value_type=None)

    @app.agent(topic, isolated_partitions=True, name="scanline.lanes")
    async def to_lanes(stream: Any) -> None:
        async for event in stream.events():
            await lanes.deliver(event.message.partition, event.message.value)

    @app.on_partitions_revoked.connect(weak=False)
    async def stop_lanes(_: Any, revoked: Any, **kwargs: Any) -> None:
        await lanes.revoke()

    @app.every(_POSITIONS_SECONDS)
    async def commit_positions() -> None:
        await app.slices.commit_positions()
        await lanes.verify()

    @app.every(1.0)
    async def measure() -> None:
        lanes.measure(app.slices.lag_of)
        lanes.tell_again(every=False)

    skipped = SkippedMessages(lanes, lambda partition: app.slices.position_of(partition))

    @app.every(POSITIONS_SECONDS)
    async def hold_positions() -> None:
        await skipped.look()

    @app.every(LOGS_SECONDS)
    async def hold_logs() -> None:
        await logs.look()

    watchdog = Watchdog(
        lanes,
        WatchdogRules(settings.stream_stall_seconds, settings.stream_stall_restarts, settings.stream_standing_seconds),
        lambda partition, written, end: app.slices.unread(partition, written, end),
        Ends(settings.kafka_bootstrap),
        lambda partition: app.slices.revive(partition),
    )
    app.watchdog = watchdog
    watchdog.start()

    @app.every(min(LOOK_SECONDS, settings.stream_stall_seconds / 4, settings.stream_standing_seconds / 4))
    async def watch() -> None:
        watchdog.look()

    @app.every(settings.status_reconcile_seconds)
    async def reconcile_statuses() -> None:
        lanes.tell_again(every=True)

    return app
