"""Traces of a request and of what became of its records, by OpenTelemetry, where a setting says to which collector.

Only processes that trace import this module, or anything of OpenTelemetry. A span says what was done, with which numbers
and how it ended: no tenant, no scan, no path, no text of an exception. Nothing is read from OTEL_* in the environment.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AnyValue

from schemas.decoder import Message

CONVENTIONS: Final = Schemas.V1_44_0  # of names and attributes; stays until somebody compares them with a newer one
HEADER: Final = "traceparent"  # of HTTP, and of Kafka's messages
_MOST_LINKS: Final = 128  # of one span
_EVERY_MS: Final = 1_000
_TIMEOUT_SECONDS: Final = 5.0
_context: Final = TraceContextTextMapPropagator()


class Traces:
    """The spans of one process. Thread-safe."""

    def __init__(self, service: str, endpoint: str) -> None:
        """`endpoint` takes OTLP over HTTP: http://HOST:4318/v1/traces. The settings have checked its host."""
        session = requests.Session()
        session.trust_env = False  # no proxy, and no password of somebody's .netrc
        session.max_redirects = 0  # another host is not an allowed one
        exporter = OTLPSpanExporter(
            endpoint, headers={}, timeout=_TIMEOUT_SECONDS, compression=Compression.Gzip, session=session
        )
        self._provider = TracerProvider(
            ParentBased(ALWAYS_ON),
            Resource({"service.name": service}),
            span_limits=SpanLimits(max_links=_MOST_LINKS),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_EVERY_MS))
        self._tracer = self._provider.get_tracer("scanline", schema_url=CONVENTIONS.value)

    def close(self) -> None:
        """Sends what is left, within the exporter's own time."""
        self._provider.shutdown()

    @contextmanager
    def request(self, method: str, carried: str | None) -> Iterator[Span]:
        """The span of an HTTP request, in the trace that its sender began, if it did."""
        with self._tracer.start_as_current_span(
            method,
            _began(carried),
            SpanKind.SERVER,
            {"http.request.method": method, "url.scheme": "http"},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    @contextmanager
    def micro_batch(self, topic: str, partition: int, messages: Sequence[Message], next_offset: int) -> Iterator[None]:
        """The span of writing a micro-batch, linked to its messages; and in the trace of each of them, of the commit."""
        began = list(_traces_of(messages).values())
        attributes: dict[str, AnyValue] = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(partition),
            "messaging.kafka.offset": next_offset,
        }
        started = time.time_ns()
        with self._tracer.start_as_current_span(
            f"process {topic}",
            Context(),
            SpanKind.CONSUMER,
            {
                **attributes,
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.batch.message_count": len(messages),
            },
            [Link(get_current_span(context).get_span_context()) for context in began],
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR))
                raise
        done: dict[str, AnyValue] = {
            **attributes,
            "messaging.operation.name": "commit",
            "messaging.operation.type": "settle",
        }
        for context in began:
            self._tracer.start_span(
                f"commit {topic}", context, SpanKind.CONSUMER, done, [Link(span.get_span_context())], started
            ).end()


def carried_by(span: Span) -> bytes:
    """The header that has others go on in the span's trace."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}".encode()


def _began(carried: str | None) -> Context:
    """What a traceparent says, if it says anything."""
    return Context() if carried is None else _context.extract({HEADER: carried}, Context())


def _traces_of(messages: Sequence[Message]) -> dict[bytes, Context]:
    """By header, each once: the messages of a scan have the same. As many as a span has links."""
    found: dict[bytes, Context] = {}
    for message in messages:
        for name, value in message.headers:
            if name == HEADER and value and value not in found and len(found) < _MOST_LINKS:
                context = _began(value.decode("ascii", "replace"))
                if get_current_span(context).get_span_context().is_valid:
                    found[value] = context
    return found
