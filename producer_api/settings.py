"""Settings of the API, from SCANLINE_* in the environment."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from schemas.log_lines import Form
from schemas.trace_settings import TraceSettings

MIB = 1024 * 1024


class ApiSettings(TraceSettings):
    """All settings of the API. Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="SCANLINE_", extra="ignore")

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="host:port[,host:port]")
    postgres_read_url: SecretStr = Field(description="SQLAlchemy URL of the reader role")
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8000
    api_processes: Annotated[int, Field(ge=1, le=64)] = 1
    log_level: str = "INFO"
    log_format: Form = Field("text", description="text for a terminal, json for what collects log lines")

    api_json_records: Annotated[int, Field(ge=1)] = Field(10_000, description="most records of a JSON body")
    api_ndjson_records: Annotated[int, Field(ge=1)] = Field(2_000_000, description="most records of an NDJSON stream")
    api_json_bytes: Annotated[int, Field(ge=1024)] = Field(16 * MIB, description="JSON body as sent")
    api_json_inflated_bytes: Annotated[int, Field(ge=1024)] = Field(32 * MIB, description="JSON body decompressed")
    api_ndjson_bytes: Annotated[int, Field(ge=1024)] = Field(2048 * MIB, description="NDJSON stream as sent")
    api_ndjson_inflated_bytes: Annotated[int, Field(ge=1024)] = Field(4096 * MIB, description="NDJSON decompressed")
    api_inflation_ratio: Annotated[int, Field(ge=2)] = Field(
        250, description="most times a body may grow by decompression; asked from the first 8 MiB on"
    )
    api_buffer_bytes: Annotated[int, Field(ge=MIB)] = Field(
        96 * MIB, description="of bodies, held at the same time and shared by all uploads; who gets no room waits"
    )
    api_backlog_messages: Annotated[int, Field(ge=0)] = Field(
        2_000_000, description="messages that may wait for a worker before submissions get 503; 0: any number"
    )
    api_backlog_poll_seconds: Annotated[float, Field(gt=0)] = Field(5, description="between looks at the backlog")
    stream_pipeline: str = Field("inventory", description="the workers' consumer group")
    api_buffer_wait_seconds: Annotated[float, Field(ge=0)] = Field(
        10, description="how long the line for room may stand still before who waits in it gets 503"
    )
    api_stream_messages: Annotated[int, Field(ge=1, le=100)] = Field(
        6, description="messages of one NDJSON stream that may wait for Kafka"
    )
    api_stream_silence_seconds: Annotated[float, Field(gt=0)] = Field(
        60, description="an upload that sends nothing for so long is given up"
    )
    api_stream_bytes_per_second: Annotated[int, Field(ge=0)] = Field(
        100,
        description="an upload that stays slower than this, once it has been waited for as long as above, is given up",
    )
    api_head_seconds: Annotated[float, Field(gt=0)] = Field(
        10.0, description="until the headers of a request, or of a new connection, must be complete"
    )
    api_head_bytes: Annotated[int, Field(ge=1024)] = Field(64 * 1024, description="request line and headers together")
    api_connections: Annotated[int, Field(ge=1)] = Field(
        2_000, description="connections of one process; requests on more get 503"
    )
    api_publish_deadline_seconds: Annotated[float, Field(gt=0)] = Field(
        10, description="until a submission that Kafka does not take is answered 503"
    )
    api_delivery_seconds: Annotated[float, Field(gt=0)] = Field(8, description="librdkafka's message.timeout.ms")
    api_kafka_buffer_kib: Annotated[int, Field(ge=1024)] = Field(96 * 1024, description="librdkafka's send buffer")
    api_linger_ms: Annotated[int, Field(ge=0, le=1000)] = 2
    api_upload_lease_seconds: Annotated[float, Field(gt=0)] = Field(
        15,
        description="an unfinished keyed upload whose process said nothing for so long may be taken up again;"
        " above SCANLINE_API_DELIVERY_SECONDS",
    )
    api_wait_seconds: Annotated[float, Field(ge=0, le=300)] = Field(
        30, description="most that Prefer: wait may ask for"
    )
    api_heartbeat_seconds: Annotated[float, Field(gt=0)] = Field(
        15, description="between comments on a quiet event stream"
    )
    api_retry_after_seconds: Annotated[int, Field(ge=1)] = 5
    api_drain_seconds: Annotated[float, Field(ge=0)] = Field(
        3.0, description="served on after SIGTERM while /readyz says 503, so that a load balancer looks away first"
    )
    api_shutdown_seconds: Annotated[int, Field(ge=1)] = Field(
        10, description="running requests get to finish after the drain"
    )
    api_keep_alive_seconds: Annotated[int, Field(ge=1)] = Field(
        75, description="a connection without a request stays open; longer than the load balancer keeps it"
    )
    api_ops: Literal["auto", "on", "off"] = Field(
        "auto", description="the operators' page; auto: for who comes straight to this machine, without a proxy"
    )
    api_ops_viewers: Annotated[int, Field(ge=1, le=1_000)] = Field(
        20, description="that one process keeps up to date; more get 503"
    )
    read_connections: Annotated[int, Field(ge=1, le=100)] = Field(10, description="most connections of the read pool")
    read_deadline_seconds: Annotated[float, Field(gt=0)] = Field(5, description="of one query")
