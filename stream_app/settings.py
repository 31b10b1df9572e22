"""Settings of the worker, from SCANLINE_* in the environment."""

import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from schemas.log_lines import Form
from schemas.trace_settings import TraceSettings


class WorkerSettings(TraceSettings):
    """All settings of the worker. There is no setting for Faust's exactly_once, and none can be passed through:
    the transaction in PostgreSQL is what makes rows exact."""

    model_config = SettingsConfigDict(env_prefix="SCANLINE_", extra="ignore")

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="host:port[,host:port]")
    postgres_write_url: SecretStr = Field(description="SQLAlchemy URL of the writer role")
    worker_metrics_host: str = Field("127.0.0.1", description="where /metrics, /healthz and /readyz listen")
    worker_metrics_port: int = Field(9101, ge=0, le=65535)
    log_level: str = "INFO"
    log_format: Form = Field("text", description="text for a terminal, json for what collects log lines")
    metrics_tenants: Annotated[int, Field(ge=0, le=100)] = Field(
        0,
        description="tenants that metrics name, those that sent most lately; the others are added up; 0: none is named",
    )

    stream_data_dir: str = Field(
        default_factory=lambda: str(Path(tempfile.gettempdir()) / "scanline-faust"),
        description="Faust's scratch folder",
    )
    stream_pipeline: str = Field("inventory", description="consumer group, and owner of its rows in stream_offsets")
    stream_native_reader: Literal["auto", "off"] = Field(
        "auto", description="auto: compiled code reads the records where make setup could make it; off: Python does"
    )
    stream_window_rows: Annotated[int, Field(ge=1, le=50_000)] = 5_000
    stream_window_bytes: Annotated[int, Field(ge=1024)] = 8 * 1024 * 1024
    stream_window_ms: Annotated[int, Field(ge=0, le=10_000)] = 100
    stream_scan_rows: Annotated[int, Field(ge=1_000)] = Field(
        1_000, description="most records of one scan in a micro-batch, so that its progress moves"
    )
    stream_lane_bytes: Annotated[int, Field(ge=65_536)] = Field(
        2 * 1024 * 1024, description="fetched and not yet written, per lane; a lane above it is not fetched for"
    )
    stream_fetch_bytes: Annotated[int, Field(ge=65_536)] = Field(1024 * 1024, description="per partition and fetch")
    stream_fetch_messages: Annotated[int, Field(ge=1)] = Field(5_000, description="most messages of a slice")
    stream_writers: Annotated[int, Field(ge=1, le=50)] = Field(
        4, description="calls to the database at the same time; those that take longer than 0.5 s do not count"
    )
    write_connections: Annotated[int, Field(ge=1, le=50)] = Field(50, description="most connections of the write pool")
    write_deadline_seconds: Annotated[float, Field(ge=1)] = Field(15, description="of one answer of the database")
    stream_attempts: Annotated[int, Field(ge=1)] = Field(3, description="before a lane pauses and probes")
    stream_backoff_seconds: Annotated[float, Field(gt=0)] = 0.2
    stream_probe_seconds: Annotated[float, Field(gt=0)] = 1.0
    stream_stall_seconds: Annotated[float, Field(gt=0)] = Field(
        60, description="without progress, after which a lane is started again; above SCANLINE_WRITE_DEADLINE_SECONDS"
    )
    stream_stall_restarts: Annotated[int, Field(ge=0)] = Field(
        3, description="of one lane in vain, after which the worker ends with exit code 70"
    )
    stream_standing_seconds: Annotated[float, Field(gt=0)] = Field(
        60, description="with work on one offset, after which a lane says so in metrics, /readyz and its scans' status"
    )
    dead_letter_run: Annotated[int, Field(ge=1)] = Field(
        100, description="unreadable messages in a row that stop a lane"
    )
    dead_letter_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="unreadable share of the last messages above which a lane stops"
    )
    dead_letter_window: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1_000, description="messages that count for the share"
    )
    shutdown_seconds: Annotated[float, Field(gt=0)] = Field(10, description="a worker takes to stop, at most")
    session_timeout_seconds: Annotated[float, Field(ge=1)] = Field(
        10, description="after which the group gives a silent worker's partitions away"
    )
    status_reconcile_seconds: Annotated[float, Field(gt=0)] = Field(
        60, description="how often statuses that changed recently are published again"
    )
