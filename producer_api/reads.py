"""Reads from PostgreSQL: rejected records and processing activities, through a pool of their own."""

import base64
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import REGISTRY, Collector
from sqlalchemy import Select, create_engine, select, tuple_
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from producer_api import metrics
from producer_api.settings import ApiSettings
from schemas.errors import FieldError
from schemas.tables import processing_activities, rejected_records, scans

_CHUNK: Final = 1_000  # rows of an NDJSON download read at a time
_check_json: Final = msgspec.json.Decoder(msgspec.Raw).decode


class ReadsUnavailable(Exception):
    """PostgreSQL did not answer in time."""


class Filters(NamedTuple):
    """Of processing activities; None means all."""

    scan_id: uuid.UUID | None = None
    category: str | None = None
    sensitive: bool | None = None
    cross_border: bool | None = None


class _Pool(Collector):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        pool: Any = self._engine.pool
        connections = GaugeMetricFamily(
            "scanline_pool_connections_count",
            "Connections by state. All in use for long: raise the pool's size or lower the load.",
            labels=["pool", "state"],
        )
        connections.add_metric(["read", "in_use"], pool.checkedout())
        connections.add_metric(["read", "idle"], pool.checkedin())
        yield connections
        limit = GaugeMetricFamily("scanline_pool_limit_count", "Most connections the pool may open.", labels=["pool"])
        limit.add_metric(["read"], pool.size())
        yield limit


class Reader:
    """Blocking calls, made from the thread pool. Each raises ReadsUnavailable."""

    def __init__(self, settings: ApiSettings) -> None:
        seconds = settings.read_deadline_seconds
        self._engine = create_engine(
            settings.postgres_read_url.get_secret_value(),
            pool_size=settings.read_connections,
            max_overflow=0,
            pool_timeout=seconds,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(2, int(seconds)),
                "tcp_user_timeout": int(seconds * 1000),
                "application_name": "scanline-api",
                "options": f"-c statement_timeout={int(seconds * 1000)} -c timezone=UTC -c default_transaction_read_only=on",
            },
        )
        self._collector = _Pool(self._engine)
        REGISTRY.register(self._collector)

    def close(self) -> None:
        """Gives every connection back."""
        REGISTRY.unregister(self._collector)
        self._engine.dispose()

    def _rows(self, query: Select[Any]) -> list[Any]:
        asked = time.perf_counter()
        try:
            with self._engine.connect() as connection:
                metrics.POOL_CHECKOUT.labels("read").observe(time.perf_counter() - asked)
                return list(connection.execute(query))
        except SQLAlchemyError as error:
            raise ReadsUnavailable(type(error).__name__) from None

    def has_scan(self, tenant_id: str, scan_id: str) -> bool:
        """Whether anything of the scan was written yet."""
        table = scans
        return bool(
            self._rows(
                select(table.c.scan_id).where(table.c.tenant_id == tenant_id, table.c.scan_id == uuid.UUID(scan_id))
            )
        )

    def errors(self, tenant_id: str, scan_id: str, after: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        """A page of rejected records in the order they were rejected, and where the next one begins."""
        table = rejected_records
        query = (
            select(table)
            .where(table.c.tenant_id == tenant_id, table.c.scan_id == uuid.UUID(scan_id), table.c.id > after)
            .order_by(table.c.id)
            .limit(limit + 1)
        )
        rows = self._rows(query)
        more = rows[limit - 1].id if len(rows) > limit else None
        return [_rejected(row) for row in rows[:limit]], more

    def all_errors(self, tenant_id: str, scan_id: str) -> Iterator[bytes]:
        """Every rejected record as NDJSON, read in chunks."""
        after: int | None = 0
        while after is not None:
            found, after = self.errors(tenant_id, scan_id, after, _CHUNK)
            yield b"".join(msgspec.json.encode(each) + b"\n" for each in found)

    def activities(
        self, tenant_id: str, filters: Filters, after: tuple[uuid.UUID, str] | None, limit: int
    ) -> tuple[list[dict[str, Any]], tuple[str, str] | None]:
        """A page of processing activities by (scan_id, activity_key), and where the next one begins."""
        table = processing_activities
        query = select(table).where(table.c.tenant_id == tenant_id)
        if filters.scan_id is not None:
            query = query.where(table.c.scan_id == filters.scan_id)
        if filters.category is not None:
            query = query.where(table.c.data_categories.any_() == filters.category)
        if filters.sensitive is not None:
            query = query.where(table.c.sensitive == filters.sensitive)
        if filters.cross_border is not None:
            query = query.where(table.c.cross_border == filters.cross_border)
        if after is not None:
            query = query.where(tuple_(table.c.scan_id, table.c.activity_key) > tuple_(*after))
        rows = self._rows(query.order_by(table.c.scan_id, table.c.activity_key).limit(limit + 1))
        last = rows[limit - 1] if len(rows) > limit else None
        more = None if last is None else (str(last.scan_id), last.activity_key)
        return [dict(row._mapping) for row in rows[:limit]], more


def _rejected(row: Any) -> dict[str, Any]:
    """A rejected record as it is shown: why, and the record itself, ready to be mended and sent again."""
    errors = [FieldError(**error) for error in row.errors]
    return {
        "id": row.id,
        "index": row.record_index,
        "activity_key": row.activity_key,
        "code": row.code,
        "pointer": row.pointer,
        "messages": errors[0].messages_for(row.record_index),
        "errors": [{"code": each.code, "pointer": each.pointer, "messages": each.messages} for each in errors],
        **_original(bytes(row.original)),
        "rejected_at": row.rejected_at,
    }


def _original(value: bytes) -> dict[str, Any]:
    """The record as JSON where it is JSON, else its bytes in Base64 (RFC 4648)."""
    try:
        value.decode()
        return {"record": _check_json(value)}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {"record": None, "record_base64": base64.b64encode(value).decode()}
