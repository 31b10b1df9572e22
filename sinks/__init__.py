"""The sinks: where the rows of a micro-batch are written."""
