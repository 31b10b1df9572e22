"""Settings of the exporter, from SCANLINE_* in the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.log_lines import Form


class ExporterSettings(BaseSettings):
    """All settings of the exporter."""

    model_config = SettingsConfigDict(env_prefix="SCANLINE_", extra="ignore")

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="host:port[,host:port]")
    postgres_monitor_url: SecretStr = Field(description="SQLAlchemy URL of the monitor role")
    stream_pipeline: str = Field("inventory", description="the workers' consumer group")
    exporter_host: str = Field("127.0.0.1", description="where /metrics, /healthz and /readyz listen")
    exporter_port: int = Field(9102, ge=0, le=65535)
    exporter_interval_seconds: Annotated[float, Field(ge=0.2, le=300)] = Field(5, description="between two looks")
    exporter_answer_seconds: Annotated[float, Field(ge=0.2, le=60)] = Field(
        5, description="until one answer of Kafka or PostgreSQL must be there"
    )
    exporter_kafka_dir: Path | None = Field(None, description="a folder on the disk of Kafka's logs")
    exporter_postgres_dir: Path | None = Field(None, description="a folder on PostgreSQL's disk")
    exporter_certificates: str | None = Field(None, description="PEM files, separated by commas")
    log_level: str = "INFO"
    log_format: Form = Field("text", description="text for a terminal, json for what collects log lines")
