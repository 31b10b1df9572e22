"""The Faust worker: slices in, micro-batches out. May import schemas and sinks."""
