"""The PostgreSQL sink: offsets, rows, rejects, progress and audit in one transaction."""

from sinks.postgres.sink import PostgresSink

__all__ = ["PostgresSink"]
