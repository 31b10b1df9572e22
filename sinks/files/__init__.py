"""The sink of a replay into files: the pipeline's own rules over a small database beside the output."""

from sinks.files.output import Nowhere, Output
from sinks.files.sink import LocalSink

__all__ = ["LocalSink", "Nowhere", "Output"]
